-- One row: the loader time up to which every landed row is in the facts. Built after them, so that a build that was
-- cut off leaves the old watermark, and the next one takes up the same work again.
select greatest({{ facts_watermark() or "toDateTime64('1970-01-01 00:00:00', 3, 'UTC')" }}, max(loaded_at)) as loaded_at
from {{ ref('fct_changed_orders') }}
-- depends_on: {{ ref('fct_order_lines') }}
-- depends_on: {{ ref('fct_orders') }}
