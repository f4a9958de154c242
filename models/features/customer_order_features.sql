-- One row per scored customer: order rhythm, value, stability, margin and refunds of the snapshot being built.
-- Scored are customers with a valid order up to the as-of date, as known at the cut-off.
{{ config(order_by='customer_id', query_settings=branches_for_all_rows()) }}

with orders as (
    select
        customer_id, business_date, gross_amount, refund_amount, net_amount, tier_discount_amount, cost_amount,
        cost_known_gross_amount, is_cost_known
    from {{ ref('fct_orders') }}
    where {{ known_at_cutoff() }} and is_valid = 1 and business_date <= {{ as_of() }}
),

totals as (
    select
        customer_id,
        count() as order_count_to_date,
        {% for days in [7, 30, 90, 365] -%}
        countIf({{ in_window('business_date', days) }}) as order_count_{{ days }}d,
        {% endfor -%}
        -- Gathered and then made distinct, which is less work than a set per customer.
        arraySort(arrayDistinct(groupArray(business_date))) as order_dates,
        sumIf(gross_amount, {{ in_window('business_date', 90) }}) as gross_amount_90d,
        {% for days in [30, 90, 365] -%}
        sumIf(net_amount, {{ in_window('business_date', days) }}) as net_amount_{{ days }}d,
        {% endfor -%}
        {% for days in [90, 180, 364] -%}
        sumIf(net_amount, {{ in_window('business_date', 90 + days, until=90) }}) as net_amount_prior_{{ days }}d,
        {% endfor -%}
        sum(net_amount) as net_amount_to_date,
        sum(gross_amount) as gross_amount_to_date,
        sumIf(refund_amount, {{ in_window('business_date', 90) }}) as refund_amount_90d,
        sumIf(tier_discount_amount, {{ in_window('business_date', 90) }}) as tier_discount_amount_90d,
        sum(tier_discount_amount) as tier_discount_amount_to_date,
        {% for days in [90, 365] -%}
        sumIf(cost_amount, {{ in_window('business_date', days) }}) as cost_amount_{{ days }}d,
        countIf(is_cost_known = 1 and {{ in_window('business_date', days) }}) as costed_order_count_{{ days }}d,
        {% endfor -%}
        sum(cost_amount) as cost_amount_to_date,
        countIf(is_cost_known = 1) as costed_order_count_to_date,
        sum(cost_known_gross_amount) as cost_known_gross_amount_to_date,
        -- Sorted, because floats add up to other digits in another order.
        arraySort(groupArrayIf(toFloat64(net_amount), {{ in_window('business_date', 180) }})) as order_values,
        arrayReduce('quantileExactInclusive(0.5)', order_values) as median_order_value
    from orders
    group by customer_id
),

final as (
    select
        {{ as_of() }} as as_of_date,
        customer_id,
        toUInt32(totals.order_count_7d) as order_count_7d,
        toUInt32(totals.order_count_30d) as order_count_30d,
        toUInt32(totals.order_count_90d) as order_count_90d,
        toUInt32(totals.order_count_365d) as order_count_365d,
        toUInt32(totals.order_count_to_date) as order_count_to_date,
        toUInt32(arrayCount(order_date -> order_date > {{ days_before_as_of(90) }}, totals.order_dates)) as order_day_count_90d,
        {% for amount in [
            'gross_amount_90d', 'net_amount_30d', 'net_amount_90d', 'net_amount_365d', 'net_amount_prior_90d',
            'net_amount_prior_180d', 'net_amount_prior_364d', 'net_amount_to_date',
            'tier_discount_amount_90d', 'tier_discount_amount_to_date',
        ] -%}
        cast(totals.{{ amount }} as Decimal(18, 2)) as {{ amount }},
        {% endfor -%}
        {{ money_per('totals.net_amount_90d + totals.tier_discount_amount_90d', 'totals.order_count_90d') }} as average_order_value_90d,
        {{ money_per('totals.net_amount_90d', 'totals.order_count_90d') }} as net_average_order_value_90d,
        if(
            length(order_values) >= 3 and arrayAvg(order_values) > 0,
            toNullable(sqrt(arrayReduce('varSampStable', order_values)) / arrayAvg(order_values)), null
        ) as order_value_cv_180d,
        if(
            length(order_values) >= 3 and median_order_value > 0,
            toNullable(
                1.4826 * arrayReduce('quantileExactInclusive(0.5)', arrayMap(x -> abs(x - median_order_value), order_values))
                / median_order_value
            ),
            null
        ) as order_value_robust_cv_180d,
        totals.order_dates as order_dates,
        order_dates[1] as first_order_date,
        order_dates[-1] as last_order_date,
        toUInt32({{ as_of() }} - first_order_date) as days_since_first_order,
        toUInt32({{ as_of() }} - last_order_date) as days_since_last_order,
        {% for window in ['to_date', '365d', '90d'] -%}
        if(
            totals.costed_order_count_{{ window }} > 0,
            toNullable(cast(round(totals.cost_amount_{{ window }}, 2) as Decimal(18, 2))), null
        ) as cost_{{ window }},
        cast(totals.net_amount_{{ window }} - cost_{{ window }} as Nullable(Decimal(18, 2))) as gross_margin_{{ window }},
        {% endfor -%}
        -- Lines of which a discount took more than all have negative amounts.
        least(greatest(
            coalesce({{ ratio('totals.cost_known_gross_amount_to_date', 'greatest(totals.gross_amount_to_date, 0)') }}, 0), 0
        ), 1) as cost_known_share_to_date,
        if({{ is_delivered(ref('stg_refunds')) }}, toNullable(cast(totals.refund_amount_90d as Decimal(18, 2))), null) as refund_amount_90d,
        {{ ratio('refund_amount_90d', 'greatest(totals.gross_amount_90d, 0)') }} as refund_amount_rate_90d
    from totals
)

select * from final
