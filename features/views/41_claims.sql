-- Claims by row of the file, with the policy row that covered the day (driver_id is null where none did).
-- needs: policies_file, claims_file
CREATE OR REPLACE VIEW claims AS
SELECT c.*, CASE WHEN p."end" IS NULL OR c.occurred_on < p."end" THEN p.driver_id END AS driver_id
FROM (
    SELECT * EXCLUDE (driver_id) REPLACE (
        nullif(trim(policy_id::VARCHAR), '') AS policy_id,
        nullif(trim(occurred_on::VARCHAR), '')::DATE AS occurred_on,
        nullif(trim(amount::VARCHAR), '')::DOUBLE AS amount)
    FROM (FROM claims_file UNION ALL BY NAME SELECT NULL::VARCHAR AS driver_id WHERE false)) c  -- one of its own is not read
ASOF LEFT JOIN policies p ON c.policy_id = p.policy_id AND c.occurred_on >= p."start"
-- null: a blank row at the end
WHERE c.policy_id IS NOT NULL;
