{# Why a customer stands on the watchlist as it does, in one sentence, in English ('en') or Chinese ('zh'). `row` names a
   relation with the columns of the predictive table churn. #}
{% macro churn_reason_text(row, language) -%}
    {%- set english = language == 'en' -%}
    {%- set silence = 'toString(round(' ~ row ~ '.silence_open_days))' -%}
    {%- set ratio = 'toString(round(' ~ row ~ '.gap_ratio, 1))' -%}
    {%- set gap = 'toString(round(' ~ row ~ '.expected_gap_days, 1))' -%}
    {%- set nameless = "concat('" ~ ('category ' if english else '品类 ') ~ "', toString(ifNull(" ~ row ~ '.dropped_category_id, 0)))' -%}
    {%- set category = 'ifNull(nullIf(' ~ row ~ ".dropped_category_name, ''), " ~ nameless ~ ')' -%}
    {%- set dropped = 'toString(round(ifNull(' ~ row ~ '.dropped_category_amount_90d, 0)))' -%}
    {#- Who gave more back than it bought has not spent more than all less. -#}
    {%- set fall = 'toString(least(100, round(-100 * ifNull(' ~ row ~ '.spend_change, 0))))' -%}
    multiIf(
        {{ row }}.reason_code = 'account_closed', {{ "'the account is closed'" if english else "'账户已关闭'" }},
        {{ row }}.reason_code = 'account_blocked', {{ "'the account is blocked, so its silence says nothing'" if english else "'账户已冻结，未下单不代表流失'" }},
        {{ row }}.reason_code = 'new_customer', {{ "'new customer, no rhythm yet'" if english else "'新客户，尚无下单规律'" }},
        {{ row }}.reason_code = 'lapsed',
        {% if english -%}
        concat('gone: no order for ', toString({{ row }}.silence_days), ' days'),
        {%- else -%}
        concat('已流失：', toString({{ row }}.silence_days), ' 天未下单'),
        {%- endif %}
        {{ row }}.reason_code = 'silent',
        {% if english -%}
        concat('no order for ', {{ silence }}, ' open days, ', {{ ratio }}, ' times the usual ', {{ gap }}),
        {%- else -%}
        concat('已 ', {{ silence }}, ' 个营业日未下单，为平时间隔 ', {{ gap }}, ' 天的 ', {{ ratio }}, ' 倍'),
        {%- endif %}
        {{ row }}.reason_code = 'dropped_category',
        {% if english -%}
        concat('still orders, but no more ', {{ category }}, ', once worth ', {{ dropped }}, ' CNY in 90 days'),
        {%- else -%}
        concat('仍在下单，但已停购 ', {{ category }}, '，此前 90 天约 ', {{ dropped }}, ' 元'),
        {%- endif %}
        {{ row }}.reason_code = 'falling_spend',
        {% if english -%}
        concat('still orders, but spends ', {{ fall }}, ' % less than the season would have it'),
        {%- else -%}
        concat('仍在下单，但消费额比同期应有水平低 ', {{ fall }}, '%'),
        {%- endif %}
        {{ row }}.reason_code = 'seasonal_pause',
        {{ "'silent as in the same weeks of last year'" if english else "'与去年同期一样暂停下单'" }},
        {{ row }}.reason_code = 'closed_days',
        {{ "'silent while customers of its kind are closed'" if english else "'同类客户普遍歇业，属正常停单'" }},
        {{ "'orders in its usual rhythm'" if english else "'按平时规律下单'" }}
    )
{%- endmacro %}
