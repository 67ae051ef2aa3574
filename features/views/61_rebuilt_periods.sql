-- Driver periods counted again from the sealed trips and events, to hold against driver_months.
-- needs: sealed_trips, sealed_events, assigned_to
CREATE OR REPLACE VIEW rebuilt_periods AS
WITH happened AS (
    SELECT e.trip_key, count(*) AS events,
        count(*) FILTER (WHERE k.name = 'harsh_braking') AS harsh_brakings,
        count(*) FILTER (WHERE k.name = 'harsh_acceleration') AS harsh_accelerations,
        count(*) FILTER (WHERE k.name IN ('harsh_turn_left', 'harsh_turn_right')) AS harsh_turns,
        count(*) FILTER (WHERE k.name = 'speeding') AS speedings, count(*) FILTER (WHERE k.name = 'impact') AS impacts
    FROM sealed_events e JOIN event_kinds k USING (kind)
    GROUP BY e.trip_key
), weighed AS (
    SELECT t.*, coalesce(t.represents, 1)::BIGINT AS weight, h.* EXCLUDE (trip_key)
    FROM sealed_assigned t LEFT JOIN happened h USING (trip_key)
    WHERE t.driver_id IS NOT NULL
)
SELECT policy_id, driver_id, month, sum(weight)::BIGINT AS trips,
    coalesce(sum(weight) FILTER (WHERE NOT complete), 0)::BIGINT AS incomplete_trips,
    coalesce(sum(weight * distance_mm), 0)::BIGINT AS distance_mm,
    coalesce(sum(weight * (distance_mm * greatest(samples - accel_null_samples, 0) // samples)), 0)::BIGINT AS accel_mm,
    coalesce(sum(weight * distance_mm) FILTER (WHERE utc_offset_min IS NULL OR clock_suspect), 0)::BIGINT
        AS local_unknown_mm,
    coalesce(sum(weight * moving_ms), 0)::BIGINT AS moving_ms,
    min(start_ms) AS first_start_ms, max(start_ms + coalesce(duration_ms, 0)) AS last_end_ms,
    coalesce(sum(weight * harsh_brakings), 0)::BIGINT AS harsh_brakings,
    coalesce(sum(weight * harsh_accelerations), 0)::BIGINT AS harsh_accelerations,
    coalesce(sum(weight * harsh_turns), 0)::BIGINT AS harsh_turns,
    coalesce(sum(weight * speedings), 0)::BIGINT AS speedings, coalesce(sum(weight * impacts), 0)::BIGINT AS impacts
FROM weighed
GROUP BY policy_id, driver_id, month;
