-- One row per customer with an invoice issued up to the as-of date: what is open, what is overdue, how late payments come.
-- An invoice that is still open counts as late so far; a payment after the as-of date has not happened. Credit notes are invoices
-- below zero: where they outweigh the others there is no amount to weigh days by.
{{ config(order_by='customer_id') }}

with invoices as (
    select invoice_id, customer_id, due_on, invoice_amount
    from {{ ref('fct_invoices') }}
    where {{ known_at_cutoff() }} and issued_on <= {{ as_of() }}
),

payments as (
    select
        payments.invoice_id as invoice_id,
        sum(payments.payment_amount) as paid_amount,
        sum(payments.payment_amount * greatest(dateDiff('day', invoices.due_on, payments.paid_on), 0)) as late_amount_days
    from {{ ref('fct_payments') }} as payments
    inner join invoices on payments.invoice_id = invoices.invoice_id
    where {{ known_at_cutoff('payments') }} and payments.paid_on <= {{ as_of() }}
    group by invoice_id
),

settled as (
    select
        invoices.customer_id as customer_id,
        invoices.due_on as due_on,
        invoices.invoice_amount as invoice_amount,
        coalesce(payments.late_amount_days, 0) as late_amount_days,
        greatest(invoices.invoice_amount - coalesce(payments.paid_amount, 0), 0) as open_amount,
        dateDiff('day', invoices.due_on, {{ as_of() }}) as days_overdue
    from invoices
    left join payments on invoices.invoice_id = payments.invoice_id
)

select
    customer_id,
    cast(sum(open_amount) as Decimal(18, 2)) as receivable_amount,
    cast(sumIf(open_amount, days_overdue > 0) as Decimal(18, 2)) as overdue_amount,
    toUInt32(maxIf(days_overdue, days_overdue > 0 and open_amount > 0)) as overdue_days_max,
    -- How much of it is how old: paying what is older than a gate allows opens the gate.
    arrayReverseSort(groupArrayIf(
        (toUInt32(days_overdue), cast(open_amount as Decimal(18, 2))), days_overdue > 0 and open_amount > 0
    )) as overdue_invoices,
    {{ ratio(
        'sumIf(late_amount_days + open_amount * days_overdue, ' ~ in_window('due_on', 180) ~ ')',
        'greatest(sumIf(invoice_amount, ' ~ in_window('due_on', 180) ~ '), 0)'
    ) }} as weighted_days_overdue_180d
from settled
group by customer_id
