-- Which driver a device counts for: itself, as no policies were given.
-- needs: sealed_trips, no policies_file
CREATE OR REPLACE VIEW assigned_to AS
SELECT DISTINCT device_id, NULL::VARCHAR AS policy_id, device_id AS driver_id,
    -4611686018427387904 AS start_ms, 4611686018427387904 AS end_ms
FROM sealed_trips;
