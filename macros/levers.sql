{# How far a customer is from losing a tier and from gaining the next one, per lever: formulas in docs/definitions.md, "Reason
   card". `customers` names a relation with all customers of one build: the columns of customer_tier_snapshots, beside
   overdue_amount, overdue_days_max, overdue_invoices, complaint_count_90d and has_risk_flag; `base` the same customers, where the
   columns of customer_tier_snapshots alone are cheaper to read. `rules` names a relation of one row with the columns of
   published_builds. Nothing here needs dbt. #}

{# The levers, for a FROM clause: one row per customer with all columns of `customers`, and per target (`keep`, `next`) what each
   lever needs. #}
{% macro customer_levers(customers, rules, base=none) -%}
    (
        with lever_targets as (
            {{ lever_targets(customers, rules) }}
        ),

        lever_needs as (
            select
                targets.*,
                {{ criteria_needs(rules) }},
                {{ gate_needs(rules) }},
                {{ next_dates(rules) }}
            from lever_targets as targets
            {% for target in ['keep', 'next'] -%}
            left join {{ share_bars(base or customers, rules) }} as {{ target }}_bars
                on targets.percentile_group = {{ target }}_bars.percentile_group
                    and targets.{{ target }}_rank = {{ target }}_bars.target_rank
                    and targets.{{ target }}_direction = {{ target }}_bars.direction
            {% endfor %}
        ),

        lever_components as (
            select
                *,
                {{ component_needs(rules) }}
            from lever_needs
        )

        select
            lever_components.*,
            {{ unit_needs(rules) }}
        from (
            select
                max(order_count) as order_count_max,
                max(greatest({{ monetary(rules) }}, 0)) as monetary_max
            from {{ base or customers }}
        ) as maxima
        cross join lever_components
    )
{%- endmacro %}

{# Which rank the customer can lose (`keep_rank`) and gain (`next_rank`), 0 for none, and which way the margin of the criteria
   works there: 1 makes them harder, -1 easier. #}
{% macro lever_targets(customers, rules) -%}
    select
        *,
        if({{ rule(rules, 'percentile_scope') }} = 'region', toString(region_code), '') as percentile_group,
        toUInt8(length({{ rule(rules, 'ladder') }})) as lowest_rank,
        toUInt8(indexOf(arrayMap(step -> step.2, {{ rule(rules, 'ladder') }}), toString(earned_tier))) as earned_rank,
        greatest(earned_rank, cap_rank) as ruled_rank,
        -- While nothing that the customer does can move the tier, no lever applies.
        standing = 'blocked' as is_locked,
        toUInt8(if(is_locked or ruled_rank = lowest_rank, 0, ruled_rank)) as keep_rank,
        toUInt8(if(is_locked, 0, ruled_rank - 1)) as next_rank,
        if(treatment = 'follow', 0, -1) as keep_direction,
        -- Who has earned the next tier already, and is held back by a gate, has only to stay there.
        multiIf(treatment = 'follow', 0, earned_rank <= next_rank, -1, 1) as next_direction
    from {{ customers }}
{%- endmacro %}

{# One rule of the day. An aggregate, so that no row at all is an empty value and not an error. #}
{% macro rule(rules, name) -%}
    (select any({{ name }}) from {{ rules }})
{%- endmacro %}

{# Margins of the criteria by name: what keeps a tier, what makes a candidate, what gains a tier. #}
{% macro margin_of(direction, rules) -%}
    (if({{ direction }} = 0, 0, {{ direction }} * {{ rule(rules, 'criteria_band') }}))
{%- endmacro %}
