-- Detects periods of one order that overlap or are empty: an amount would count twice, or a row would never count. Read
-- are the latest 100,000 orders that this build computed. A returned row is a period that begins before the one before
-- it ended.
with periods as (
    select
        order_id,
        known_from,
        known_to,
        lagInFrame(known_to) over (
            partition by order_id order by known_from rows between unbounded preceding and current row
        ) as previous_known_to
    from {{ ref('fct_orders') }}
    where order_id in {{ checked_orders() }}
)

select * from periods
where known_from < previous_known_to or known_from >= known_to
