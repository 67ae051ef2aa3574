-- Driver periods in words: kilometres, hours, trips, and events of any level by kind.
-- needs: driver_periods
CREATE OR REPLACE VIEW driver_months AS
WITH counted AS (
    PIVOT (SELECT policy_id, driver_id, month, kind, events FROM event_counts)
    ON kind IN ('harsh_braking', 'harsh_acceleration', 'harsh_turn_left', 'harsh_turn_right', 'speeding', 'impact')
    USING coalesce(sum(events), 0)::BIGINT
)
SELECT p.policy_id, p.driver_id, p.month, p.trips, p.incomplete_trips, round(p.distance_mm / 1e6, 6) AS distance_km,
    round(p.accel_mm / 1e6, 6) AS accel_km, round(p.lateral_mm / 1e6, 6) AS lateral_km,
    round(p.moving_ms / 3.6e6, 3) AS moving_h, make_timestamp(p.first_start_ms * 1000) AS first_start_utc,
    make_timestamp(p.last_end_ms * 1000) AS last_end_utc,
    coalesce(c.harsh_braking, 0) AS harsh_brakings, coalesce(c.harsh_acceleration, 0) AS harsh_accelerations,
    coalesce(c.harsh_turn_left, 0) + coalesce(c.harsh_turn_right, 0) AS harsh_turns,
    coalesce(c.speeding, 0) AS speedings, coalesce(c.impact, 0) AS impacts
FROM driver_periods p
LEFT JOIN counted c ON c.driver_id = p.driver_id AND c.month = p.month AND c.policy_id IS NOT DISTINCT FROM p.policy_id;
