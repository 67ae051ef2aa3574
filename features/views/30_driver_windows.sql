-- What was known of each driver on a rating date: sums of the months that had ended by then, nothing after.
-- needs: driver_periods
CREATE OR REPLACE VIEW driver_windows AS
SELECT r.rating_date, m.driver_id, count(DISTINCT m.month) AS months, sum(m.trips)::BIGINT AS trips,
    sum(m.distance_km) AS exposure_km, sum(m.accel_km) AS accel_km, sum(m.lateral_km) AS lateral_km,
    date_diff('millisecond', min(m.first_start_utc), any_value(r.window_end)::TIMESTAMP) / 8.64e7 AS exposure_days,
    sum(m.harsh_brakings)::BIGINT AS harsh_brakings, sum(m.harsh_accelerations)::BIGINT AS harsh_accelerations,
    sum(m.harsh_turns)::BIGINT AS harsh_turns, sum(m.speedings)::BIGINT AS speedings
FROM rating_dates r JOIN driver_months m ON m.month >= r.window_start AND m.month < r.window_end
GROUP BY r.rating_date, m.driver_id;
