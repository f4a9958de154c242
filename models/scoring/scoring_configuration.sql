-- One row: the configuration that counts on the as-of date, and a version that changes when any of it changes.
{{ config(order_by='tuple()') }}

{% set versions = [] -%}
{% for seed in configuration_seeds().split(',') %}{% do versions.append(configured(seed)) %}{% endfor %}

select
    {{ as_of() }} as as_of_date,
    policy.policy as policy,
    policy.scoring_model as scoring_model,
    policy.override_days_without_end as override_days_without_end,
    {% for component in ['r', 'f', 'm', 'p'] -%}
    (select sumIf(weight, component = '{{ component }}') from {{ configured('score_weights') }}) as {{ component }}_weight,
    {% endfor -%}
    {{ config_version(versions) }} as config_version  -- noqa: LT01, LT05, LT06
from {{ configured('tier_policy') }} as policy
where policy.is_in_force = 1
