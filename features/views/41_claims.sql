-- Claims by row of the file, with the policy row that covered the day (driver_id is null where none did).
-- needs: policies_file, claims_file
CREATE OR REPLACE VIEW claims AS
SELECT c.*, CASE WHEN p."end" IS NULL OR c.occurred_on < p."end" THEN p.driver_id END AS driver_id
FROM (
    SELECT * REPLACE (
        nullif(trim(policy_id::VARCHAR), '') AS policy_id,
        nullif(trim(occurred_on::VARCHAR), '')::DATE AS occurred_on,
        nullif(trim(amount::VARCHAR), '')::DOUBLE AS amount)
    FROM claims_file) c
ASOF LEFT JOIN policies p ON c.policy_id = p.policy_id AND c.occurred_on >= p."start";
