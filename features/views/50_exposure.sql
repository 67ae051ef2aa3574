-- Days on risk after each rating date, by policy row, of drivers insured on that day.
-- needs: driver_periods, policies_file
CREATE OR REPLACE VIEW exposure AS
WITH insured AS (
    SELECT DISTINCT r.rating_date, r.label_end, p.driver_id
    FROM rating_dates r JOIN policies p ON p."start" <= r.rating_date AND coalesce(p."end", r.label_end) > r.rating_date
)
SELECT i.rating_date, p.policy_id, p.driver_id, greatest(p."start", i.rating_date) AS from_day,
    least(coalesce(p."end", i.label_end), i.label_end) AS until_day, until_day - from_day AS days, days / 365 AS years
FROM insured i
JOIN (SELECT DISTINCT policy_id, driver_id, "start", "end" FROM policies) p
    ON p.driver_id = i.driver_id AND p."start" < i.label_end AND coalesce(p."end", i.label_end) > i.rating_date;
