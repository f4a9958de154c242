-- One row per order and period in which its amounts stood unchanged: (order_id, known_from). At one moment
-- (known_from < moment <= known_to) an order has at most one row. Amounts are additive over orders.
-- net_amount is the order value: lines less refunds known in that period, attributed to the date of the order.
-- Cancelled and deleted orders, and orders whose lines are all deleted, have is_valid = 0 and amounts of 0.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook='{{ delete_orders_in_work() }}',
    settings={'enable_block_number_column': 1, 'enable_block_offset_column': 1},
    partition_by='toYYYYMM(business_date)',
    order_by='(customer_id, business_date, order_id, known_from)',
    query_settings={'optimize_aggregation_in_order': 1},
    t64_columns=[
        'order_id', 'known_from', 'ordered_at', 'business_date', 'line_count', 'gross_amount', 'refund_amount', 'net_amount',
        'discount_amount', 'tier_discount_amount', 'cost_known_gross_amount',
    ],
) }}

{% set columns = [
    'order_id', 'known_from', 'known_to', 'customer_id', 'ordered_at', 'business_date', 'channel', 'line_count', 'gross_amount',
    'refund_amount', 'net_amount', 'discount_amount', 'tier_discount_amount', 'cost_amount', 'cost_known_gross_amount',
    'is_cost_known', 'is_valid',
] %}
{% set measures = [
    'line_count', 'costed_line_count', 'gross_amount', 'discount_amount', 'tier_discount_amount', 'cost_amount',
    'cost_known_gross_amount', 'refund_amount',
] %}
{% set changed = orders_in_work(columns) %}
{% set entangled_orders = orders_with(['has_header_versions', 'has_line_versions', 'has_refunds']) %}
{% set refunded_orders = orders_with(['has_refunds']) %}

with line_sums as (
    -- Lines of one order and period carry the same header.
    select
        order_id,
        lines.known_from as known_from,
        lines.known_to as known_to,
        {% for column in ['customer_id', 'ordered_at', 'business_date', 'channel'] -%}
        any(lines.{{ column }}) as {{ column }},
        {% endfor -%}
        {{ line_measures() }}
    from {{ ref('fct_order_lines') }} as lines
    where order_id in {{ entangled_orders }}
    group by order_id, known_from, known_to
),

refund_periods as (
    -- All versions of a refund are put in order together, since the latest one decides which order it belongs to.
    select * from {{ with_known_period(
        ref('stg_refunds'), ['refund_id'],
        'refund_id in (select refund_id from ' ~ ref('stg_refunds') ~ ' where order_id in ' ~ refunded_orders ~ ')'
    ) }}
    where is_deleted = 0 and order_id in {{ refunded_orders }}
),

refunded_costs as (
    -- What the returned goods of a line had cost, while both the refund and the valid line stood as they did; only where the
    -- refund says how many came back of which line.
    select
        refund_periods.order_id as order_id,
        greatest(refund_periods.known_from, lines.known_from) as known_from,
        least(refund_periods.known_to, lines.known_to) as known_to,
        -- Of 38 digits: landing bounds each of the two, not their product.
        toDecimal128(assumeNotNull(refund_periods.refunded_quantity), 3) * assumeNotNull(lines.unit_cost) as refunded_cost_amount
    from refund_periods
    inner join {{ ref('fct_order_lines') }} as lines
        on refund_periods.order_id = lines.order_id and assumeNotNull(refund_periods.line_no) = lines.line_no
    where refund_periods.line_no is not null and refund_periods.refunded_quantity is not null
        and lines.is_valid = 1 and lines.is_cost_known = 1 and lines.order_id in {{ refunded_orders }}
        and greatest(refund_periods.known_from, lines.known_from) < least(refund_periods.known_to, lines.known_to)
),

-- Every moment at which an order changed, with what that added and took away.
changes as (
    select
        order_id,
        if(is_end, known_to, known_from) as known_at,
        toUInt8(not is_end) as is_start,
        customer_id, ordered_at, business_date, channel,
        {% for measure in measures if measure != 'refund_amount' -%}
        if(is_end, -line_sums.{{ measure }}, line_sums.{{ measure }}) as {{ measure }},
        {% endfor -%}
        toDecimal128(0, 2) as refund_amount
    from line_sums
    array join [0, 1] as is_end
    where is_end = 0 or known_to < {{ end_of_time() }}
    union all
    select
        order_id, if(is_end, known_to, known_from), 0,
        0, {{ end_of_time() }}, toDate(0), '',
        0, 0, 0, 0, 0, 0, 0,
        cast(if(is_end, -refund_amount, refund_amount) as Decimal(38, 2))
    from refund_periods
    array join [0, 1] as is_end
    where is_end = 0 or known_to < {{ end_of_time() }}
    union all
    select
        order_id, if(is_end, known_to, known_from), 0,
        0, {{ end_of_time() }}, toDate(0), '',
        0, 0, 0, 0, 0,
        cast(if(is_end, refunded_cost_amount, -refunded_cost_amount) as Decimal(38, 7)),
        0, 0
    from refunded_costs
    array join [0, 1] as is_end
    where is_end = 0 or known_to < {{ end_of_time() }}
),

moments as (
    select
        order_id, known_at,
        {% for column in ['customer_id', 'ordered_at', 'business_date', 'channel'] -%}
        anyIf(toNullable(changes.{{ column }}), is_start = 1) as {{ column }},
        {% endfor -%}
        {% for measure in measures -%}
        sum(changes.{{ measure }}) as {{ measure }}{% if not loop.last %},{% endif %}
        {% endfor -%}
    from changes
    group by order_id, known_at
),

states as (
    select
        {% for column in ['customer_id', 'ordered_at', 'business_date', 'channel'] -%}
        anyLast(moments.{{ column }}) over so_far as {{ column }},
        {% endfor -%}
        {% for measure in measures -%}
        sum(moments.{{ measure }}) over so_far as {{ measure }},
        {% endfor -%}
        order_id,
        known_at as known_from,
        leadInFrame(known_at, 1, {{ end_of_time() }}) over (
            partition by order_id order by known_at rows between current row and unbounded following
        ) as known_to
    from moments
    window so_far as (partition by order_id order by known_at rows between unbounded preceding and current row)
),

entangled as (
    select
        order_id,
        known_from,
        known_to,
        assumeNotNull(states.customer_id) as customer_id,
        assumeNotNull(states.ordered_at) as ordered_at,
        assumeNotNull(states.business_date) as business_date,
        toLowCardinality(assumeNotNull(states.channel)) as channel,
        {{ stored_measures('states') }},
        cast(if(states.line_count > 0, states.refund_amount, 0) as Decimal(18, 2)) as refund_amount,
        cast(if(states.line_count > 0, states.gross_amount - states.refund_amount, 0) as Decimal(18, 2)) as net_amount,
        if(states.line_count > 0, states.cost_amount, toDecimal128(0, 7)) as cost_amount
    from states
    -- A refund that arrives before its order waits for it.
    where states.customer_id is not null
),

-- Orders with one period: their lines added up. That period has not ended.
simple_sums as (
    select
        order_id,
        {% for column in ['known_from', 'customer_id', 'ordered_at', 'business_date', 'channel'] -%}
        any(lines.{{ column }}) as {{ column }},
        {% endfor -%}
        {{ line_measures() }}
    from {{ ref('fct_order_lines') }} as lines
    where {{ changed }} and order_id not in {{ entangled_orders }}
    group by order_id
),

simple as (
    select
        order_id,
        known_from,
        {{ end_of_time() }} as known_to,
        customer_id,
        ordered_at,
        business_date,
        toLowCardinality(simple_sums.channel) as channel,
        {{ stored_measures('simple_sums') }},
        toDecimal64(0, 2) as refund_amount,
        gross_amount as net_amount,
        simple_sums.cost_amount as cost_amount
    from simple_sums
)

select {{ columns | join(', ') }} from entangled
union all
select {{ columns | join(', ') }} from simple
