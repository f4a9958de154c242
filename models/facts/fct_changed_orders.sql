-- One row per order with a header, line or refund version that the facts do not hold yet: the work list of this build.
-- is_simple: one header version, all lines of one moment, no refund. Such an order has one period, which saves the facts
-- the sorting of versions. A build from nothing lists only the orders that are not simple, and one row for all others,
-- covers_all = 1, which carries no order.
{{ config(order_by='order_id') }}

{% set watermark = facts_watermark() %}
{% set sources = [ref('stg_orders'), ref('stg_order_lines'), ref('stg_refunds')] %}

{% if watermark -%}
with changed as (
    {% for relation in sources -%}
    select order_id, loaded_at from {{ relation }} where loaded_at > {{ watermark }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

entangled as (
    select order_id from ({{ entangled_in_landing('order_id in (select order_id from changed)') }})
)

select
    order_id,
    toUInt8(order_id not in (select order_id from entangled)) as is_simple,
    toUInt8(0) as covers_all,
    max(changed.loaded_at) as loaded_at
from changed
group by order_id
{%- else -%}
select toUInt64(0) as order_id, toUInt8(1) as is_simple, toUInt8(1) as covers_all, max(newest) as loaded_at
from (
    {% for relation in sources -%}
    select max(loaded_at) as newest from {{ relation }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)
union all
select distinct order_id, toUInt8(0), toUInt8(0), toDateTime64(0, 3, 'UTC')
from ({{ entangled_in_landing('true') }})
{%- endif %}
