-- Which driver a device counts for, from when until when: by the policies.
-- needs: sealed_trips, policies_file
CREATE OR REPLACE VIEW assigned_to AS
SELECT device_id, policy_id, driver_id, epoch_ms("start"::TIMESTAMP) AS start_ms,
    coalesce(epoch_ms("end"::TIMESTAMP), 4611686018427387904) AS end_ms
FROM policies;
