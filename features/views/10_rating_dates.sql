-- The dates that drivers are rated on, and the months before (features) and after (claims) that count.
-- needs: driver_periods
CREATE OR REPLACE VIEW rating_dates AS
SELECT rating_date, months,
    (date_trunc('month', rating_date) - to_months(months))::DATE AS window_start,
    date_trunc('month', rating_date)::DATE AS window_end,
    (rating_date + to_months(months))::DATE AS label_end
FROM chosen_rating_dates;
