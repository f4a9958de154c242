{# How still the tiers of a history hold. Definitions are in docs/state_machine.md. Nothing here needs dbt.

   `histories` names a relation with variant, customer_id and days, an array of packed_day of the stored days, oldest first, at most
   one a week; it is read once. Gives one row per variant. #}
{% macro tier_stability(histories) -%}
    {{ stability_measures(stability_totals(histories)) }}
{%- endmacro %}

{# A day with its tiers in one number, its date in the highest bits: gathered and sorted several times as fast as tuples. #}
{% macro packed_day(as_of_date, tier_rank, candidate_rank) -%}
    bitShiftLeft(toUInt32(toUInt16({{ as_of_date }})), 16) + bitShiftLeft(toUInt32(toUInt8({{ tier_rank }})), 8) + toUInt8({{ candidate_rank }})
{%- endmacro %}

{# The rank of the tier in a packed_day. #}
{% macro tier_of_day(day) -%}
    toUInt8(bitShiftRight({{ day }}, 8))
{%- endmacro %}

{# Rows of variant, customer_id, as_of_date, tier_rank and candidate_rank, one per customer and stored day, put together. #}
{% macro stability_histories(rows) -%}
    (
        select variant, customer_id, arraySort(groupArray({{ packed_day('as_of_date', 'tier_rank', 'candidate_rank') }})) as days
        from {{ rows }}
        group by variant, customer_id
        settings group_by_two_level_threshold = 0, group_by_two_level_threshold_bytes = 0
    )
{%- endmacro %}

{# The sums of histories, one row per variant. Those of parts of the customers add up to those of all, when the first and the last
   date are the same for all parts. With `with_last_tiers` also each customer's tier on the last date, as last_customer_ids and
   last_tier_ranks. #}
{% macro stability_totals(histories, first_date=none, last_date=none, with_last_tiers=false) -%}
    (
        with stability_customers as (
            select
                variant,
                customer_id,
                days,
                arrayMap(day -> toDate(toUInt16(bitShiftRight(day, 16))), days) as dates,
                arrayMap(day -> {{ tier_of_day('day') }}, days) as ranks
            from {{ histories }}
        ),

        stability_changes as (
            select
                variant,
                customer_id,
                days,
                dates,
                ranks,
                {{ first_date or 'min(dates[1]) over (partition by variant)' }} as first_date,
                {{ last_date or 'max(dates[-1]) over (partition by variant)' }} as last_date,
                arrayFilter(i -> ranks[i] != ranks[i - 1], range(2, length(ranks) + 1)) as changes,
                -- What is not four weeks old may still be undone.
                arrayFilter(i -> dates[i] + 28 <= last_date, changes) as judged_changes,
                arrayCount(
                    i -> arrayExists(
                        (day, rank) -> day <= dates[i] + 28 and if(ranks[i] < ranks[i - 1], rank >= ranks[i - 1], rank <= ranks[i - 1]),
                        arraySlice(dates, i + 1, 4), arraySlice(ranks, i + 1, 4)
                    ),
                    judged_changes
                ) as reversed_count,
                if(
                    empty(changes), [],
                    arrayMap((i, following) -> toUInt32(dates[following] - dates[i]), arrayPopBack(changes), arrayPopFront(changes))
                ) as completed_dwell_days
            from stability_customers
        )

        select
            variant,
            any(stability_changes.first_date) as first_date,
            any(stability_changes.last_date) as last_date,
            count() as customer_count,
            sum(length(changes)) as change_count,
            sum(toUInt64(dates[-1] - dates[1])) as step_days,
            sum(arrayCount(i -> ranks[i] < ranks[i - 1], changes)) as upgrade_count,
            sum(length(judged_changes)) as judged_change_count,
            sum(reversed_count) as reversed_change_count,
            sum(arrayCount(day -> {{ tier_of_day('day') }} = toUInt8(day), days)) as agreement_count,
            sum(length(days)) as day_count,
            sumMap(completed_dwell_days, arrayWithConstant(length(completed_dwell_days), toUInt64(1))) as completed_dwells,
            sumMapIf([ranks[1]], [toUInt64(1)], dates[1] = stability_changes.first_date) as first_counts,
            sumMapIf([ranks[-1]], [toUInt64(1)], dates[-1] = stability_changes.last_date) as last_counts
            {%- if with_last_tiers %},
            groupArrayIf((customer_id, ranks[-1]), dates[-1] = stability_changes.last_date) as last_tiers,
            last_tiers.1 as last_customer_ids,
            last_tiers.2 as last_tier_ranks
            {%- endif %}
        from stability_changes
        group by variant
    )
{%- endmacro %}

{# Adds up the totals of parts. #}
{% macro added_stability_totals(parts) -%}
    (
        select
            parts.variant as variant,
            min(parts.first_date) as first_date,
            max(parts.last_date) as last_date,
            {% for name in stability_count_names().split(',') -%}
            sum(parts.{{ name }}) as {{ name }},
            {% endfor -%}
            {% for name in ['completed_dwells', 'first_counts', 'last_counts'] -%}
            sumMap(parts.{{ name }}.1, parts.{{ name }}.2) as {{ name }}{{ ',' if not loop.last }}
            {% endfor -%}
        from {{ parts }} as parts
        group by variant
    )
{%- endmacro %}

{# Names of the totals that are plain counts. #}
{% macro stability_count_names() -%}
customer_count,change_count,step_days,upgrade_count,judged_change_count,reversed_change_count,agreement_count,day_count
{%- endmacro %}

{# The measures that follow from the totals. #}
{% macro stability_measures(totals) -%}
    (
        select
            variant,
            first_date,
            last_date,
            customer_count,
            change_count,
            change_count / nullIf(step_days / 7, 0) as weekly_change_rate,
            upgrade_count,
            toUInt64(change_count - upgrade_count) as downgrade_count,
            upgrade_count / nullIf(change_count - upgrade_count, 0) as up_down_ratio,
            judged_change_count,
            reversed_change_count / nullIf(judged_change_count, 0) as reversal_rate_28d,
            step_days / 7 / nullIf(change_count, 0) as mean_dwell_weeks,
            if(
                empty(completed_dwells.1), null,
                arrayReduce(
                    'quantileExactInclusive(0.5)',
                    arrayFlatten(arrayMap((days, times) -> arrayWithConstant(times, days), completed_dwells.1, completed_dwells.2))
                )
            ) as median_completed_dwell_days,
            agreement_count / day_count as agreement_rate,
            arraySum(arrayMap(
                rank -> abs(
                    last_counts.2[indexOf(last_counts.1, rank)] / arraySum(last_counts.2)
                    - first_counts.2[indexOf(first_counts.1, rank)] / arraySum(first_counts.2)
                ),
                arrayDistinct(arrayConcat(first_counts.1, last_counts.1))
            )) / 2 as quota_drift
        from {{ totals }}
    )
{%- endmacro %}
