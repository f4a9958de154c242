-- One row per order with a header, line or refund version that the facts do not hold yet: the work list of this build.
{{ config(order_by='order_id') }}

{% set watermark = facts_watermark() %}

with changes as (
    select order_id, loaded_at from {{ ref('stg_orders') }} where loaded_at > {{ watermark }}
    union all
    select order_id, loaded_at from {{ ref('stg_order_lines') }} where loaded_at > {{ watermark }}
    union all
    select order_id, loaded_at from {{ ref('stg_refunds') }} where loaded_at > {{ watermark }}
)

select
    order_id,
    max(changes.loaded_at) as loaded_at
from changes
group by order_id
