{# A version of the ladder whose ranks do not run 1, 2, 3 ..., or whose bounds do not loosen from step to step, or whose
   lowest tier does not take everyone. A returned row is the step that breaks the rule. #}
{% test ladder_has_no_gap(model) %}
with steps as (
    select
        *,
        row_number() over (partition by valid_from order by tier_rank) as position,
        count() over (partition by valid_from) as step_count,
        lagInFrame((minimum_orders_per_month, minimum_average_order_value)) over ladder as better,
        lagInFrame((maximum_lifetime_value_top_share, maximum_score_top_share)) over ladder as better_share
    from {{ model }}
    window ladder as (partition by valid_from order by tier_rank rows between unbounded preceding and current row)
)

select valid_from, tier, tier_rank
from steps
where tier_rank != position
    or (position > 1 and (
        minimum_orders_per_month >= better.1 or minimum_average_order_value >= better.2
        or maximum_lifetime_value_top_share <= better_share.1 or maximum_score_top_share <= better_share.2
    ))
    or (position = step_count and (
        minimum_orders_per_month > 0 or minimum_average_order_value > 0
        or maximum_lifetime_value_top_share < 1 or maximum_score_top_share < 1
    ))
{% endtest %}
