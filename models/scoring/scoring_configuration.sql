-- One row: the configuration that counts on the as-of date, and a version that changes when any of it changes.
{{ config(order_by='tuple()') }}

{% set seeds = ['score_weights', 'scoring_models', 'tier_standards', 'tier_policy', 'tier_gates', 'tier_benefits', 'potential_weights'] %}

select
    {{ as_of() }} as as_of_date,
    policy.policy as policy,
    policy.scoring_model as scoring_model,
    policy.override_days_without_end as override_days_without_end,
    {% for component in ['r', 'f', 'm', 'p'] -%}
    (select sumIf(weight, component = '{{ component }}') from {{ configured('score_weights') }}) as {{ component }}_weight,
    {% endfor -%}
    lower(hex(sipHash64(
        {% for seed in seeds -%}
        (select arraySort(groupArray(toString(tuple(* except (comment))))) from {{ configured(seed) }}){{ ',' if not loop.last }}  -- noqa: LT01, LT05, LT06
        {% endfor -%}
    ))) as config_version
from {{ configured('tier_policy') }} as policy
where policy.is_in_force = 1
