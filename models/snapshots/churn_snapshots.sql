-- One row per scored customer, as-of date and build: churn risk, its reason, and the action that the tier of the day calls for.
-- An account that is closed or blocked calls for none. When a day is decided again its measures are carried over; tier and
-- action are those of the new decision.
{{ config(order_by='customer_id') }}

with measured as (
    {% if is_carried() -%}
    select * except (build_id, tier, suggested_action, suggested_action_zh)
    from {{ this }}
    where as_of_date = {{ as_of() }} and build_id = {{ carried_build_id() }}
    {%- else -%}
    select
        churn.*,
        predicted.p_alive as p_alive,
        {{ churn_reason_text('churn', 'en') }} as churn_reason,
        {{ churn_reason_text('churn', 'zh') }} as churn_reason_zh
    from {{ source('predictive', 'churn') }} as churn
    left join (
        -- A name of its own, so that churn.* stays what it is.
        select customer_id as predicted_customer_id, p_alive
        from {{ source('predictive', 'lifetime_value') }}
        where as_of_date = {{ as_of() }}
    ) as predicted on churn.customer_id = predicted.predicted_customer_id
    where churn.as_of_date = {{ as_of() }}
    {%- endif %}
),

-- The last that a version says of the tier: a day that is decided again may have tiers that the version of the day has no more.
actions as (
    select
        entries.tier as tier,
        entries.churn_risk as churn_risk,
        argMax(entries.suggested_action, entries.valid_from) as suggested_action,
        argMax(entries.suggested_action_zh, entries.valid_from) as suggested_action_zh
    from {{ ref('churn_actions') }} as entries
    where entries.valid_from <= {{ as_of() }}
    group by entries.tier, entries.churn_risk
)

select
    measured.* except (as_of_date, customer_id, churn_risk, reason_code),
    measured.as_of_date as as_of_date,
    measured.customer_id as customer_id,
    measured.churn_risk as churn_risk,
    measured.reason_code as reason_code,
    tiers.tier as tier,
    coalesce(actions.suggested_action, '') as suggested_action,
    coalesce(actions.suggested_action_zh, '') as suggested_action_zh,
    {{ build_id() }} as build_id
from measured
inner join {{ ref('customer_tier_snapshots') }} as tiers
    on measured.customer_id = tiers.customer_id and measured.as_of_date = tiers.as_of_date
left join actions
    on tiers.tier = actions.tier
        and multiIf(
            measured.reason_code in ('account_closed', 'account_blocked'), '',
            measured.reason_code = 'lapsed', 'lapsed',
            toString(measured.churn_risk)
        ) = actions.churn_risk
where tiers.as_of_date = {{ as_of() }} and tiers.build_id = {{ build_id() }}
