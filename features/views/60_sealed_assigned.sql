-- Sealed trips with the policy that covered their start (without --policies each device is its own driver).
-- needs: sealed_trips, assigned_to
CREATE OR REPLACE VIEW sealed_assigned AS
SELECT CASE WHEN t.start_ms < p.end_ms THEN p.policy_id END AS policy_id,
    CASE WHEN t.start_ms < p.end_ms THEN p.driver_id END AS driver_id,
    date_trunc('month', make_timestamp(t.start_ms * 1000))::DATE AS month, t.*
FROM sealed_trips t ASOF LEFT JOIN assigned_to p ON p.device_id = t.device_id AND t.start_ms >= p.start_ms;
