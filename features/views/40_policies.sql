-- Policies by row of the file; "end" is the first day that is not covered, null while running.
-- needs: policies_file
CREATE OR REPLACE VIEW policies AS
SELECT policy_id, driver_id, device_id, "start", "end", * EXCLUDE (policy_id, driver_id, device_id, "start", "end")
FROM (
    SELECT * REPLACE (
        nullif(trim(policy_id::VARCHAR), '') AS policy_id,
        nullif(trim(driver_id::VARCHAR), '') AS driver_id,
        nullif(trim(device_id::VARCHAR), '') AS device_id,
        nullif(trim("start"::VARCHAR), '')::DATE AS "start",
        nullif(trim("end"::VARCHAR), '')::DATE AS "end")
    FROM policies_file)
WHERE "end" IS NULL OR "start" < "end";
