{# How still the tiers of a history hold. `history` names a relation with variant, customer_id, as_of_date, tier_rank and
   candidate_rank, one row per customer and stored day, at most one day a week; it is read once. Gives one row per variant.
   Definitions are in docs/state_machine.md. Nothing here needs dbt. #}
{% macro tier_stability(history) -%}
    (
        with stability_customers as (
            select
                variant,
                arraySort(groupArray((as_of_date, tier_rank, candidate_rank))) as days,
                days.1 as dates,
                days.2 as ranks
            from {{ history }}
            group by variant, customer_id
            settings group_by_two_level_threshold = 0, group_by_two_level_threshold_bytes = 0
        ),

        stability_changes as (
            select
                variant,
                days,
                dates,
                ranks,
                min(dates[1]) over (partition by variant) as first_date,
                max(dates[-1]) over (partition by variant) as last_date,
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
        ),

        stability_totals as (
            select
                variant,
                any(stability_changes.first_date) as first_date,
                any(stability_changes.last_date) as last_date,
                count() as customer_count,
                sum(length(changes)) as change_count,
                sum(dates[-1] - dates[1]) / 7 as step_weeks,
                sum(arrayCount(i -> ranks[i] < ranks[i - 1], changes)) as upgrade_count,
                sum(length(judged_changes)) as judged_change_count,
                sum(reversed_count) as reversed_change_count,
                sum(length(completed_dwell_days)) as completed_dwell_count,
                quantileExactInclusiveArray(0.5)(completed_dwell_days) as median_dwell_days,
                sum(arrayCount(day -> day.2 = day.3, days)) / sum(length(days)) as agreement_rate,
                sumMapIf(map(ranks[1], toUInt64(1)), dates[1] = stability_changes.first_date) as first_counts,
                sumMapIf(map(ranks[-1], toUInt64(1)), dates[-1] = stability_changes.last_date) as last_counts
            from stability_changes
            group by variant
        )

        select
            variant,
            first_date,
            last_date,
            customer_count,
            change_count,
            change_count / nullIf(step_weeks, 0) as weekly_change_rate,
            upgrade_count,
            toUInt64(change_count - upgrade_count) as downgrade_count,
            upgrade_count / nullIf(change_count - upgrade_count, 0) as up_down_ratio,
            judged_change_count,
            reversed_change_count / nullIf(judged_change_count, 0) as reversal_rate_28d,
            step_weeks / nullIf(change_count, 0) as mean_dwell_weeks,
            if(completed_dwell_count = 0, null, median_dwell_days) as median_completed_dwell_days,
            agreement_rate,
            arraySum(arrayMap(
                rank -> abs(
                    last_counts[rank] / arraySum(mapValues(last_counts)) - first_counts[rank] / arraySum(mapValues(first_counts))
                ),
                arrayDistinct(arrayConcat(mapKeys(first_counts), mapKeys(last_counts)))
            )) / 2 as quota_drift
        from stability_totals
    )
{%- endmacro %}
