{# From measures to the tier they reach. Nothing here needs dbt, so a simulation uses the same text as the models. #}

{# The ladder of a day as one array, best tier first. Elements: tier_rank, tier, minimum_orders_per_month,
   minimum_average_order_value, maximum_lifetime_value_top_share, maximum_score_top_share. #}
{% macro ladder_steps(standards) -%}
    (
        select arraySort(groupArray((
            tier_rank, tier, toFloat64(minimum_orders_per_month), toFloat64(minimum_average_order_value),
            maximum_lifetime_value_top_share, maximum_score_top_share
        )))
        from {{ standards }}
    )
{%- endmacro %}

{# Ranks that the measures reach with every threshold made harder by `margin` (easier when negative), as an array:
   frequency, order value, lifetime value, score. The lowest tier takes everyone, whatever its bounds say. #}
{% macro criterion_ranks(measures, steps, margin) -%}
    [
        toUInt8(arrayFirstIndex(step -> {{ measures.orders_per_month }} >= step.3 * (1 + {{ margin }}) or step.1 = length({{ steps }}), {{ steps }})),
        toUInt8(arrayFirstIndex(
            step -> coalesce({{ measures.average_order_value }} >= step.4 * (1 + {{ margin }}), false) or step.1 = length({{ steps }}), {{ steps }}
        )),
        toUInt8(arrayFirstIndex(step -> {{ measures.lifetime_value_top_share }} <= step.5 * (1 - {{ margin }}) or step.1 = length({{ steps }}), {{ steps }})),
        toUInt8(arrayFirstIndex(step -> {{ measures.score_top_share }} <= step.6 * (1 - {{ margin }}) or step.1 = length({{ steps }}), {{ steps }}))
    ]
{%- endmacro %}

{# The rank under a policy: of the score, or the k-th best of the three criteria, the best tier that at least k of them reach. #}
{% macro policy_rank(ranks, candidate_rule, required_criteria) -%}
    if({{ candidate_rule }} = 'score', {{ ranks }}[4], arraySort(arraySlice({{ ranks }}, 1, 3))[{{ required_criteria }}])
{%- endmacro %}

{# Why the machine does not decide for a customer as for others. #}
{% macro standing(status, days_since_last_order, days_since_first_order, policy) -%}
    cast(
        multiIf(
            {{ status }} in ('blocked', 'closed'), 'blocked',
            {{ days_since_last_order }} > {{ policy }}.lapsed_after_days, 'lapsed',
            {{ days_since_first_order }} < {{ policy }}.new_customer_days, 'new',
            'active'
        ) as Enum8('active' = 0, 'new' = 1, 'lapsed' = 2, 'blocked' = 3)
    )
{%- endmacro %}

{# What the machine does instead. #}
{% macro treatment(standing, policy) -%}
    cast(
        multiIf(
            {{ standing }} = 'blocked', {{ policy }}.blocked_treatment,
            {{ standing }} = 'lapsed', {{ policy }}.lapsed_treatment,
            {{ standing }} = 'new', {{ policy }}.new_customer_treatment,
            'decide'
        ) as Enum8('decide' = 0, 'follow' = 1, 'protect' = 2, 'lowest' = 3, 'freeze' = 4)
    )
{%- endmacro %}

{# Weekdays like '1' or '1,4' as a bit mask, bit 0 = Monday. #}
{% macro weekday_mask(weekdays) -%}
    toUInt8(arraySum(arrayMap(day -> bitShiftLeft(1, toUInt8(day) - 1), splitByChar(',', toString({{ weekdays }})))))
{%- endmacro %}
