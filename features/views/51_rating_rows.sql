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
), running AS (
    SELECT r.rating_date, p.driver_id, arg_max(p.policy_id, (p."start", p.policy_id)) AS policy_id
    FROM rating_dates r JOIN policies p ON p."start" <= r.rating_date AND coalesce(p."end", r.label_end) > r.rating_date
    GROUP BY r.rating_date, p.driver_id
)
SELECT l.rating_date, l.driver_id, p.policy_id, w.* EXCLUDE (rating_date, driver_id),
    l.days AS days_after, l.claims AS claims_after, l.claim_amount AS claim_amount_after
FROM label l JOIN running p USING (rating_date, driver_id) LEFT JOIN driver_windows w USING (rating_date, driver_id);
