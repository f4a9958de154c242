-- One row per dimension, member and coming week: net sales to expect from the last weekly prediction on, with an interval.

select *
from {{ source('predictive', 'sales_forecast') }}
where as_of_date = (select max(as_of_date) from {{ source('predictive', 'sales_forecast') }})
