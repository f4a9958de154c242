-- One row per order line and period in which it stood unchanged: (order_id, line_no, known_from).
-- Amounts are additive over the rows known at one moment (known_from < moment <= known_to) with is_valid = 1; a line of
-- a cancelled or deleted order, or a deleted line, keeps its row with is_valid = 0, so that no period ever disappears.
-- Lines whose order header never arrived are not here: landing refuses them.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_orders_in_work('moves_lines = 1') }}",
    settings={'enable_block_number_column': 1, 'enable_block_offset_column': 1},
    partition_by='toYYYYMM(business_date)',
    order_by='(order_id, line_no, known_from)',
    t64_columns=[
        'line_no', 'product_id', 'quantity', 'unit_price', 'unit_cost', 'gross_amount', 'discount_amount', 'tier_discount_amount',
        'cost_amount',
    ],
) }}

{% set columns = [
    'order_id', 'line_no', 'known_from', 'known_to', 'customer_id', 'ordered_at', 'business_date', 'channel', 'product_id',
    'quantity', 'unit_price', 'unit_cost', 'gross_amount', 'discount_amount', 'tier_discount_amount', 'cost_amount', 'is_cost_known',
    'is_valid',
] %}
{# A refund changes no line. #}
{% set changed = orders_in_work(columns, 'moves_lines = 1') %}

{% set with_header_versions = orders_with(['has_header_versions'], 'moves_lines = 1') %}
{% set with_line_versions = orders_with(['has_line_versions'], 'moves_lines = 1') %}

with header_versions as (
    select
        order_id,
        known_at,
        customer_id,
        ordered_at,
        business_date,
        channel,
        {{ is_order_valid() }} as is_order_valid,
        -- A version that moves neither customer nor time nor validity (paid, delivered ...) starts no new period.
        (customer_id, ordered_at, channel, is_order_valid) = lagInFrame((customer_id, ordered_at, channel, is_order_valid)) over (
            partition by order_id order by known_at rows between unbounded preceding and current row
        ) and row_number() over (partition by order_id order by known_at) > 1 as is_repetition
    from {{ ref('stg_orders') }}
    where order_id in {{ with_header_versions }}
),

header_periods as (
    select
        order_id, customer_id, ordered_at, business_date, channel, is_order_valid,
        known_at as known_from,
        leadInFrame(known_at, 1, {{ end_of_time() }}) over (
            partition by order_id order by known_at rows between current row and unbounded following
        ) as known_to
    from header_versions
    where is_repetition = 0
    union all
    -- All versions say the same: the first one, which reading in the order of the key finds without gathering anything.
    (
        select
            order_id, customer_id, ordered_at, business_date, channel, {{ is_order_valid() }}, known_at, {{ end_of_time() }}
        from {{ ref('stg_orders') }}
        where {{ changed }} and order_id not in {{ with_header_versions }}
        order by order_id, known_at
        limit 1 by order_id
    )
),

-- Of lines that came more than once: the versions that a later one follows. Few columns of few lines, so that the lines
-- themselves are read once.
line_ends as (
    select order_id, line_no, known_at, known_to
    from {{ with_known_period(
        '(select order_id, line_no, known_at from ' ~ ref('stg_order_lines') ~ ')', ['order_id', 'line_no'],
        'order_id in ' ~ with_line_versions
    ) }}
    where known_to < {{ end_of_time() }}
),

line_periods as (
    select
        lines.*,
        lines.known_at as known_from,
        coalesce(line_ends.known_to, {{ end_of_time() }}) as known_to
    from (select * from {{ ref('stg_order_lines') }} where {{ changed }}) as lines
    -- The last condition spares the lines of all other orders the look-up.
    left any join line_ends
        on lines.order_id = line_ends.order_id and lines.line_no = line_ends.line_no and lines.known_at = line_ends.known_at
            and lines.order_id in {{ with_line_versions }}
),

recomputed as (
    select
        line_periods.order_id as order_id,
        line_periods.line_no as line_no,
        greatest(line_periods.known_from, header_periods.known_from) as known_from,
        least(line_periods.known_to, header_periods.known_to) as known_to,
        header_periods.customer_id as customer_id,
        header_periods.ordered_at as ordered_at,
        header_periods.business_date as business_date,
        toLowCardinality(header_periods.channel) as channel,
        line_periods.product_id as product_id,
        line_periods.quantity as quantity,
        line_periods.unit_price as unit_price,
        line_periods.unit_cost as unit_cost,
        -- round() of a decimal rounds half away from zero.
        cast(round(line_periods.quantity * line_periods.unit_price - line_periods.discount_amount, 2) as Decimal(18, 2)) as gross_amount,
        line_periods.discount_amount as discount_amount,
        line_periods.tier_discount_amount as tier_discount_amount,
        line_periods.quantity * coalesce(line_periods.unit_cost, toDecimal64(0, 4)) as cost_amount,
        toUInt8(line_periods.unit_cost is not null) as is_cost_known,
        toUInt8(header_periods.is_order_valid and line_periods.is_deleted = 0) as is_valid
    from line_periods
    inner join header_periods on line_periods.order_id = header_periods.order_id
    where greatest(line_periods.known_from, header_periods.known_from) < least(line_periods.known_to, header_periods.known_to)
)

select {{ columns | join(', ') }} from recomputed
