-- What is behind a driver period: its trips, each with its events (a trip without events is one row).
-- needs: trips, events
CREATE OR REPLACE VIEW evidence AS
SELECT t.policy_id, t.driver_id, date_trunc('month', timezone('UTC', t.start))::DATE AS month,
    t.trip_id, t.device_id, t.start, t."end", t.distance_km, t.represents, t.complete, t.quality_flags,
    e.kind, e.level, e.onset, e.duration_ms, e.onset_speed_kmh, e.peak_mps2, e.peak_over_limit_kmh, e.rules_version
FROM trips t LEFT JOIN events e USING (trip_id)
WHERE t.driver_id IS NOT NULL;
