-- Policies by row of the file that covers days; "end" is the first day that is not covered, null while running.
-- needs: policies_file
CREATE OR REPLACE VIEW policies AS
WITH typed AS (
    SELECT * REPLACE (
        nullif(trim(policy_id::VARCHAR), '') AS policy_id,
        nullif(trim(driver_id::VARCHAR), '') AS driver_id,
        nullif(trim(device_id::VARCHAR), '') AS device_id,
        nullif(trim("start"::VARCHAR), '')::DATE AS "start",
        nullif(trim("end"::VARCHAR), '')::DATE AS "end",
        nullif(trim(cancelled_on::VARCHAR), '')::DATE AS cancelled_on)
    FROM (FROM policies_file UNION ALL BY NAME SELECT NULL::VARCHAR AS cancelled_on WHERE false)
), begun AS (
    SELECT * REPLACE (least("end", cancelled_on) AS "end") FROM typed
    WHERE policy_id IS NOT NULL AND coalesce("start" < least("end", cancelled_on), true)  -- null: a blank row at the end
), replaced AS (
    -- Of rows that start on one day, which are the same row repeated, one is left with days.
    SELECT * REPLACE (least("end", lead("start") OVER (PARTITION BY policy_id ORDER BY "start")) AS "end") FROM begun
)
SELECT policy_id, driver_id, device_id, "start", "end", * EXCLUDE (policy_id, driver_id, device_id, "start", "end")
FROM replaced
WHERE "end" IS NULL OR "start" < "end";
