-- Events of each driver period by kind and level, as the features count them.
-- needs: driver_periods
CREATE OR REPLACE VIEW event_counts AS
SELECT p.policy_id, p.driver_id, p.month, k.name AS kind, p.entry.key % 8 AS level, p.entry.value AS events
FROM (SELECT policy_id, driver_id, month, unnest(event_counts) AS entry FROM driver_periods) p
JOIN event_kinds k ON k.kind = p.entry.key // 8;
