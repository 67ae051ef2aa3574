-- Drivers on a rating date: policy of that day, what was known before, days on risk and claims after.
-- needs: driver_periods, policies_file, claims_file
CREATE OR REPLACE VIEW rating_rows AS
WITH label AS (
    SELECT e.rating_date, e.driver_id, sum(e.days)::BIGINT AS days, sum(coalesce(c.claims, 0))::BIGINT AS claims,
        sum(coalesce(c.claim_amount, 0)) AS claim_amount
    FROM exposure e
    LEFT JOIN (
        SELECT e.rating_date, e.policy_id, e.from_day, count(*) AS claims, sum(c.amount) AS claim_amount
        FROM exposure e
        JOIN claims c ON c.policy_id = e.policy_id AND c.occurred_on >= e.from_day AND c.occurred_on < e.until_day
        GROUP BY ALL
    ) c USING (rating_date, policy_id, from_day)
    GROUP BY e.rating_date, e.driver_id
), dated AS (
    SELECT l.*, p.policy_id
    FROM label l ASOF LEFT JOIN policies p ON p.driver_id = l.driver_id AND l.rating_date >= p."start"
)
SELECT d.rating_date, d.driver_id, d.policy_id, w.* EXCLUDE (rating_date, driver_id),
    d.days AS days_after, d.claims AS claims_after, d.claim_amount AS claim_amount_after
FROM dated d LEFT JOIN driver_windows w USING (rating_date, driver_id);
