{# What the gates need of a customer: a part of macros/levers.sql. #}

{# For a SELECT from lever_targets: what every gate measures, which ones would have to open for the next tier, and what would have to
   be paid for that. #}
{% macro gate_needs(rules) -%}
    -- As in `gates` of tier_reasons: gate, measure, value, threshold, best tier while closed; then its rank.
    arrayMap(
        gate -> (
            gate.1,
            gate.2,
            multiIf(
                gate.2 = 'overdue_days_max', toFloat64(overdue_days_max),
                gate.2 = 'overdue_amount', toFloat64(overdue_amount),
                gate.2 = 'complaint_count_90d', toFloat64(complaint_count_90d),
                toFloat64(has_risk_flag)
            ),
            gate.3,
            {{ rule(rules, 'ladder') }}[gate.4].2,
            gate.4
        ),
        {{ rule(rules, 'gates') }}
    ) as gate_states,
    arrayMap(gate -> gate.1, arrayFilter(
        gate -> next_rank > 0 and coalesce({{ gate_is_closed('gate.3', 'gate.4') }}, false) and gate.6 > next_rank,
        gate_states
    )) as next_closed_gates,
    {% for target in ['keep', 'next'] -%}
    {{ overdue_thresholds('overdue_amount', target, rules) }} as {{ target }}_overdue_amount_thresholds,
    {{ overdue_thresholds('overdue_days_max', target, rules) }} as {{ target }}_overdue_days_thresholds,
    if(
        empty({{ target }}_overdue_amount_thresholds), null,
        toNullable({{ cents_until('arrayMin(' ~ target ~ '_overdue_amount_thresholds)') }})
    ) as {{ target }}_overdue_cents_at_most,
    {% endfor -%}
    -- What is older than the gates allow has to be paid; that lowers the amount too.
    if(
        next_rank = 0 or overdue_amount is null, null,
        greatest(
            if(
                empty(next_overdue_days_thresholds), 0,
                arraySum(arrayMap(
                    invoice -> toInt64(invoice.2 * 100),
                    arrayFilter(invoice -> invoice.1 > arrayMin(next_overdue_days_thresholds), overdue_invoices)
                ))
            ),
            coalesce(toInt64(overdue_amount * 100) - next_overdue_cents_at_most, 0),
            0
        )
    ) as next_overdue_payment_cents,
    -- An unpaid invoice grows older by itself.
    if(
        overdue_days_max > 0 and not empty(keep_overdue_days_thresholds),
        toNullable(as_of_date + greatest(1, toInt32(floor(arrayMin(keep_overdue_days_thresholds))) + 1 - overdue_days_max)),
        null
    ) as gate_closes_on
{%- endmacro %}

{# The thresholds of the gates on a measure that, closed, would hold the customer below the target. #}
{% macro overdue_thresholds(measure, target, rules) -%}
    arrayFilter(
        gate -> {{ target }}_rank > 0 and gate.2 = '{{ measure }}' and gate.4 > {{ target }}_rank, {{ rule(rules, 'gates') }}
    ).3
{%- endmacro %}
