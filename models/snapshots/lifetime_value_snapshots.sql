-- One row per scored customer, as-of date and build: what the lifetime value model expected. A day that is decided again keeps it.
{{ config(order_by='customer_id') }}

{% set stored = this if is_carried() else source('predictive', 'lifetime_value') -%}
select
    predicted.* {{ 'except (build_id)' if is_carried() }},
    {{ build_id() }} as build_id
from {{ stored }} as predicted
where predicted.as_of_date = {{ as_of() }} {{ ('and predicted.build_id = ' ~ carried_build_id()) if is_carried() }}
