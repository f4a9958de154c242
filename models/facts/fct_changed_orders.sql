-- One row per order with a header, line or refund version that the facts do not hold yet: the work list of this build.
-- A version of a refund is one of every order that any version of it ever named: the refund leaves one and joins another.
-- The flags say which versions of an order have to be put in order; an order without any has one single period, which saves
-- the facts the sorting. A build from nothing lists only the orders with a flag, and one row for all others,
-- covers_all = 1, which carries no order. Order 0 of another build carries the loader time of headers that change no fact.
{{ config(
    order_by='order_id',
    query_settings={'optimize_aggregation_in_order': 1},
    pre_hook='{{ forget_watermark() }}',
) }}

{% set watermark = facts_watermark() %}
{% set newer = 'loaded_at > ' ~ watermark if watermark else 'false' %}
{% set sources = [ref('stg_orders'), ref('stg_order_lines'), ref('stg_refunds')] %}
{% set header_facts = 'cityHash64(customer_id, ordered_at, channel, ' ~ is_order_valid() ~ ')' %}
{# From nothing every line is made. #}
{% set moves_lines = 0 if watermark else 1 %}
{% set in_work = 'order_id in (select order_id from changed)' if watermark else 'true' %}

with changed as (
    select order_id, loaded_at, 1 as moves_lines from {{ ref('stg_order_lines') }} where {{ newer }}
    union all
    -- An order whose versions all say what its first one said stays as it is in the facts, unless that one is new.
    select order_id, max(loaded_at), 1
    from {{ ref('stg_orders') }}
    where order_id in (select order_id from {{ ref('stg_orders') }} where {{ newer }})
    group by order_id
    having min({{ header_facts }}) != max({{ header_facts }}) or argMin({{ newer }}, known_at)
    union all
    select order_id, loaded_at, 0 from {{ ref('stg_refunds') }}
    where refund_id in (select refund_id from {{ ref('stg_refunds') }} where {{ newer }})
),

flagged as (
    select
        order_id, 1 as has_header_versions, 0 as has_line_versions, 0 as has_refunds, {{ moves_lines }} as moves_lines,
        toDateTime64(0, 3, 'UTC') as loaded_at
    from {{ ref('stg_orders') }}
    where {{ in_work }}
    group by order_id
    -- A version that moves neither customer nor time nor channel nor validity (paid, delivered ...) changes no fact. One hash of
    -- the four is a third of the work of comparing each.
    having min({{ header_facts }}) != max({{ header_facts }})
    union all
    -- Lines that all carry one moment cannot be versions of one another, since landing keeps one per moment.
    select order_id, 0, 1, 0, {{ moves_lines }}, toDateTime64(0, 3, 'UTC')
    from {{ ref('stg_order_lines') }}
    where {{ in_work }}
    group by order_id
    having min(known_at) != max(known_at)
    union all
    select order_id, 0, 0, 1, {{ moves_lines }}, toDateTime64(0, 3, 'UTC')
    from {{ ref('stg_refunds') }}
    where {{ in_work }}
    union all
    select order_id, 0, 0, 0, moves_lines, loaded_at
    from changed
    {% if watermark -%}
    union all
    select toUInt64(0), 0, 0, 0, 0, max(loaded_at) from {{ ref('stg_orders') }} where {{ newer }} having count() > 0
    {%- endif %}
)

select
    order_id,
    toUInt8(max(flagged.has_header_versions)) as has_header_versions,
    toUInt8(max(flagged.has_line_versions)) as has_line_versions,
    toUInt8(max(flagged.has_refunds)) as has_refunds,
    toUInt8(max(flagged.moves_lines)) as moves_lines,
    toUInt8(0) as covers_all,
    max(flagged.loaded_at) as loaded_at
from flagged
group by order_id
{% if not watermark -%}
union all
select toUInt64(0), toUInt8(0), toUInt8(0), toUInt8(0), toUInt8(1), toUInt8(1), max(newest)
from (
    {% for relation in sources -%}
    select max(loaded_at) as newest from {{ relation }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)
{%- endif %}
