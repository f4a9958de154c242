-- Detects customers whom a scoring model left out, and scores of customers who are not in this build's features. A
-- returned row is a scoring model with as many customers missing or too many.
with customers as (
    select customer_id from {{ ref('customer_feature_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
)

select
    scoring_model,
    (select count() from customers) as customer_count,
    uniqExact(customer_id) as scored_count,
    countIf(customer_id in (select customer_id from customers)) as scored_in_build_count
from {{ ref('customer_scores') }}
group by scoring_model
-- Without a build of this invocation (`dbt test` alone) there is nothing to compare.
having customer_count > 0 and (scored_count != customer_count or scored_in_build_count != customer_count)
