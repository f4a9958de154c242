{# The reason card of every customer: what macros/levers.sql finds, named for readers, with sentences in English ('en') and Chinese
   ('zh'). `customers` and `rules` as there, `labels` as in macros/labels.sql. Nothing here needs dbt. #}

{# 1 as first, 11 as 11th. #}
{% macro ordinal_word(number) -%}
    if(
        {{ number }} <= 10,
        ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth', 'tenth'][{{ number }}],
        concat(toString({{ number }}), multiIf(
            {{ number }} % 100 in (11, 12, 13), 'th', {{ number }} % 10 = 1, 'st', {{ number }} % 10 = 2, 'nd', {{ number }} % 10 = 3, 'rd', 'th'
        ))
    )
{%- endmacro %}

{# 1 as one, 11 as 11. #}
{% macro cardinal_word(number) -%}
    if(
        {{ number }} <= 10,
        ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'][{{ number }}], toString({{ number }})
    )
{%- endmacro %}

{# The day of the week on which downgrades are decided, where it is one. #}
{% macro downgrade_day_name(rules, language) -%}
    {%- set days = {
        'en': "['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']",
        'zh': "['周一', '周二', '周三', '周四', '周五', '周六', '周日']",
    } -%}
    {%- set weekdays = rule(rules, 'downgrade_weekdays') -%}
    if(
        bitCount({{ weekdays }}) = 1,
        {{ days[language] }}[toUInt8(log2(greatest({{ weekdays }}, 1))) + 1], '{{ 'downgrade day' if language == 'en' else '降级日' }}'
    )
{%- endmacro %}

{# The counters in words: "second of three Mondays below gold". Empty when nothing is counted. #}
{% macro counter_text(rules, language) -%}
    {%- set day = downgrade_day_name(rules, language) -%}
    {%- set name = 'earned_name_' ~ language -%}
    {%- if language == 'en' -%}
    multiIf(
        up_count > 0,
        concat(
            {{ ordinal_word('up_count') }}, ' of ', {{ cardinal_word('confirm_up_decisions') }}, ' decisions above ', {{ name }},
            if(strict_rank < earned_rank, '', '; not above today')
        ),
        down_count > 0,
        concat(
            {{ ordinal_word('down_count') }},
            if(
                down_count > confirm_down_decisions,
                concat(' ', {{ day }}, ' in a row below ', {{ name }}, ', ', {{ cardinal_word('confirm_down_decisions') }}, ' needed'),
                concat(
                    ' of ', {{ cardinal_word('confirm_down_decisions') }}, ' ', {{ day }}, if(confirm_down_decisions = 1, '', 's'),
                    ' below ', {{ name }}
                )
            ),
            if(lenient_rank > earned_rank, '', '; not below today')
        ),
        is_below, concat('below ', {{ name }}, ', no ', {{ day }}, ' counted yet'),
        ''
    )
    {%- else -%}
    multiIf(
        up_count > 0,
        concat(
            '连续第 ', toString(up_count), ' 次高于', {{ name }}, '（升级需 ', toString(confirm_up_decisions), ' 次）',
            if(strict_rank < earned_rank, '', '；今日未高于')
        ),
        down_count > 0,
        concat(
            '连续第 ', toString(down_count), ' 个', {{ day }}, '低于', {{ name }}, '（降级需 ', toString(confirm_down_decisions), ' 个）',
            if(lenient_rank > earned_rank, '', '；今日未低于')
        ),
        is_below, concat('低于', {{ name }}, '，尚未计入', {{ day }}),
        ''
    )
    {%- endif -%}
{%- endmacro %}

{# What keeps (`keep`) or gains (`next`) a tier, as an array of (number of the name, 1 for at least or 0 for at most, need, value of
   today): of the standards the criteria that are missed and can be reached, or those that hold when enough do; of the score the
   components that are enough alone. #}
{% macro lever_parts(target, rules) -%}
    arrayFilter(
        lever -> lever.3 != '',
        if(
            candidate_rule = 'standards',
            arrayMap(
                (lever, criterion) -> (
                    lever.1, 1, if(has({{ target }}_missed, criterion) = ({{ target }}_missing_count > 0), lever.2, ''), lever.3
                ),
                [
                    (1, ifNull(toString({{ target }}_orders), ''), toString(orders_per_month)),
                    (
                        2, ifNull(toDecimalString({{ target }}_order_value, 2), ''),
                        {{ whole_cents_text('average_order_value') }}
                    ),
                    (3, {{ money_text(target ~ '_lifetime_value_cents') }}, toDecimalString(lifetime_value, 2))
                ],
                ['orders_per_month', 'average_order_value', 'lifetime_value']
            ),
            [
                (4, 1, ifNull(toString({{ target }}_order_count), ''), toString(order_count)),
                (
                    if({{ rule(rules, 'monetary_input') }} = 'net_amount', 5, 2), 1, {{ money_text(target ~ '_monetary_cents') }},
                    {{ whole_cents_text('monetary_now') }}
                ),
                (6, 0, ifNull(toString({{ target }}_days_since_last_order), ''), toString(days_since_last_order)),
                (if(is_in_units, 7, 11), 1, {{ share_text(target ~ '_p_score') }}, {{ share_text('p_score') }}),
                {% for component in ['r', 'f', 'm'] -%}
                (
                    {{ 7 + loop.index }}, 1, if(is_in_units, '', {{ share_text(target ~ '_' ~ component ~ '_score') }}),
                    toDecimalString({{ component }}_score, 4)
                ){{ ',' if not loop.last }}
                {% endfor %}
            ]
        )
    )
{%- endmacro %}

{# Cents as money, and a share, as texts; empty when null. #}
{% macro money_text(cents) -%}
    ifNull(toDecimalString(cast({{ cents }} as Nullable(Decimal(18, 2))) / 100, 2), '')
{%- endmacro %}
{% macro share_text(share) -%}
    ifNull(toDecimalString({{ share }}, 4), '')
{%- endmacro %}

{# A measured amount in whole cents, as text, never more than it is: what falls short of a bound must not look like the bound.
   Not floor(), for which 0.29 is 28 cents. #}
{% macro whole_cents_text(value) -%}
    if({{ value }} is null, '-', {{ money_text(cents_until('assumeNotNull(' ~ value ~ ')')) }})
{%- endmacro %}

{# The parts as one text: "orders in 30 days at least 9 (now 7); ...". #}
{% macro lever_list(parts, language) -%}
    {%- if language == 'en' -%}
    arrayStringConcat(arrayMap(
        lever -> concat(
            [
                'orders in 30 days', 'average order value', 'lifetime value', 'orders in 90 days', 'net sales in 90 days',
                'days since the last order', 'potential index', 'recency component', 'frequency component', 'monetary component',
                'potential component'
            ][lever.1],
            if(lever.2 = 1, ' at least ', ' at most '), lever.3, ' (now ', lever.4, ')'
        ),
        {{ parts }}
    ), '; ')
    {%- else -%}
    arrayStringConcat(arrayMap(
        lever -> concat(
            [
                '近30天订单数', '客单价', '生命周期价值', '近90天订单数', '近90天净销售额', '距上次下单天数', '潜力指数', 'R 分量', 'F 分量',
                'M 分量', 'P 分量'
            ][lever.1],
            if(lever.2 = 1, '至少 ', '最多 '), lever.3, '（现为 ', lever.4, '）'
        ),
        {{ parts }}
    ), '；')
    {%- endif -%}
{%- endmacro %}

{# What has to come first: the end of an override, an order, the end of a new customer's first days. #}
{% macro condition_text(rules, language) -%}
    {%- set english = language == 'en' -%}
    multiIf(
        override_rank > 0,
        concat(
            '{{ 'after the override, which ends on ' if english else '人工指定结束后（' }}', ifNull(toString(override_valid_to), '-'),
            '{{ ': ' if english else '）：' }}'
        ),
        standing = 'lapsed', '{{ 'after an order: ' if english else '重新下单后：' }}',
        treatment = 'lowest' and standing = 'new',
        concat(
            '{{ 'from ' if english else '自 ' }}', toString(first_order_date + {{ rule(rules, 'new_customer_days') }}),
            '{{ ': ' if english else ' 起：' }}'
        ),
        ''
    )
{%- endmacro %}

{# A sentence without a lever. It speaks of the tier without the override: while one is in force, its end and that tier come first. #}
{% macro lever_less_text(english, chinese, language) -%}
    concat(
        if(override_rank > 0, concat(condition_{{ language }}, ruled_name_{{ language }}, '{{ '; ' if language == 'en' else '；' }}'), ''),
        '{{ english if language == 'en' else chinese }}'
    )
{%- endmacro %}

{# A sentence on the criteria of a target, `keep` or `next`. #}
{% macro criteria_text(target, language) -%}
    {%- set english = language == 'en' -%}
    {%- set name = target ~ '_name_' ~ language -%}
    concat(
        if({{ target }}_missing_count = 0, '{{ 'stays ' if english else '保持' }}', ''),
        {{ name }},
        multiIf(
            if(candidate_rule = 'score', {{ target }}_total_score is null, length({{ target }}_parts) < {{ target }}_missing_count),
            if(
                {{ target }}_missing_count = 0, '{{ ' with any score' if english else '，与总分无关' }}',
                '{{ ' is out of reach among so few customers' if english else '在当前客户数下无法达到' }}'
            ),
            candidate_rule = 'score',
            concat(
                if(
                    {{ target }}_missing_count = 0, '{{ ' with a total score of at least ' if english else '：总分至少 ' }}',
                    '{{ ' needs a total score of at least ' if english else '需要总分至少 ' }}'
                ),
                toDecimalString(assumeNotNull({{ target }}_total_score), 6), '{{ ' (now ' if english else '（现为 ' }}',
                toDecimalString(total_score, 6), '{{ ')' if english else '）' }}',
                multiIf(
                    {{ target }}_missing_count = 0, '',
                    empty({{ target }}_parts), '{{ '; no component is enough alone' if english else '；单项分量均不足以达到' }}',
                    concat('{{ ', by one of: ' if english else '，任选其一：' }}', {{ target }}_list_{{ language }})
                )
            ),
            concat(
                if(
                    {{ target }}_missing_count = 0,
                    concat('{{ ' while ' if english else '：以下至少满足 ' }}', toString(required_criteria), '{{ ' of these hold: ' if english else ' 项：' }}'),
                    concat(
                        '{{ ' needs ' if english else '还需满足以下 ' }}', toString({{ target }}_missing_count),
                        '{{ ' more of these: ' if english else ' 项：' }}'
                    )
                ),
                {{ target }}_list_{{ language }}
            )
        )
    )
{%- endmacro %}

{# The smallest change that keeps the tier, in a sentence. #}
{% macro keep_text(rules, language) -%}
    {%- set english = language == 'en' -%}
    multiIf(
        is_locked, {{ lever_less_text('orders change nothing while the customer is blocked or closed', '客户冻结或关闭期间，下单不改变等级', language) }},
        keep_rank = 0, {{ lever_less_text('the lowest tier cannot be lost', '已是最低等级，不会再降', language) }},
        concat(condition_{{ language }}, {{ criteria_text('keep', language) }})
    )
{%- endmacro %}

{# The smallest change that gains the next tier, in a sentence. #}
{% macro next_text(rules, labels, language) -%}
    {%- set english = language == 'en' -%}
    multiIf(
        is_locked, {{ lever_less_text('orders change nothing while the customer is blocked or closed', '客户冻结或关闭期间，下单不改变等级', language) }},
        next_rank = 0, {{ lever_less_text('already the best tier', '已是最高等级', language) }},
        concat(
            condition_{{ language }},
            multiIf(
                next_missing_count > 0, {{ criteria_text('next', language) }},
                earned_rank <= next_rank, concat({{ 'earned_name_' ~ language }}, '{{ ' is earned' if english else '已达标' }}'),
                concat(
                    '{{ 'the criteria of ' if english else '已满足' }}', {{ 'next_name_' ~ language }},
                    '{{ ' are met' if english else '的条件' }}',
                    if(
                        earliest_upgrade_on is null, '',
                        concat(
                            '{{ ', it comes on ' if english else '，最早于 ' }}', ifNull(toString(earliest_upgrade_on), ''),
                            '{{ ' at the earliest' if english else ' 升级' }}'
                        )
                    )
                )
            ),
            if(
                empty(next_closed_gates), '',
                concat(
                    '{{ '; gates that have to open: ' if english else '；需解除限制：' }}', arrayStringConcat(
                        arrayMap(gate -> {{ label_of('gate', 'gate', language, labels) }}, next_closed_gates),
                        '{{ ', ' if english else '、' }}'
                    ),
                    if(
                        ifNull(next_overdue_payment_cents, 0) = 0, '',
                        concat(
                            '{{ ' (pay ' if english else '（需支付逾期款 ' }}',
                            ifNull(toDecimalString(cast(next_overdue_payment_cents as Nullable(Decimal(18, 2))) / 100, 2), ''),
                            '{{ ' CNY of what is overdue)' if english else ' 元）' }}'
                        )
                    )
                )
            )
        )
    )
{%- endmacro %}

{# All customers of one build with what the levers need of their features. `condition` picks the build in both tables. #}
{% macro reason_inputs(tiers, features, condition) -%}
    select
        tiers.*,
        features.overdue_amount as overdue_amount,
        features.overdue_days_max as overdue_days_max,
        features.overdue_invoices as overdue_invoices,
        features.complaint_count_90d as complaint_count_90d,
        features.has_risk_flag as has_risk_flag
    from (select * from {{ tiers }} where {{ condition }}) as tiers
    inner join (
        select customer_id, overdue_amount, overdue_days_max, overdue_invoices, complaint_count_90d, has_risk_flag
        from {{ features }}
        where {{ condition }}
    ) as features on tiers.customer_id = features.customer_id
{%- endmacro %}

{# The cards, for a FROM clause: one row per customer, none where the rules of the day were not kept. Columns are described in
   models/marts/_reason__models.yml. `base`: the same customers, where the columns of customer_tier_snapshots alone are cheaper to read. #}
{% macro reason_cards(customers, rules, labels, base=none) -%}
    (
        with card_parts as (
            select
                *,
                {{ lever_parts('keep', rules) }} as keep_parts,
                {{ lever_parts('next', rules) }} as next_parts
            from {{ customer_levers(customers, rules, base) }}
        ),

        card_names as (
            select
                *,
                arrayMap(step -> step.2, {{ rule(rules, 'ladder') }}) as tiers,
                {% for language in ['en', 'zh'] -%}
                {{ tier_names('tiers', rule(rules, 'tier_labels'), language) }} as names_{{ language }},
                names_{{ language }}[keep_rank] as keep_name_{{ language }},
                names_{{ language }}[next_rank] as next_name_{{ language }},
                names_{{ language }}[earned_rank] as earned_name_{{ language }},
                names_{{ language }}[ruled_rank] as ruled_name_{{ language }},
                {{ lever_list('keep_parts', language) }} as keep_list_{{ language }},
                {{ lever_list('next_parts', language) }} as next_list_{{ language }},
                {{ condition_text(rules, language) }} as condition_{{ language }},
                {% endfor -%}
                tiers[ruled_rank] as ruled_tier,
                tiers[next_rank] as next_tier_name,
                tiers[earliest_downgrade_rank] as earliest_downgrade_name
            from card_parts
        )

        select
            as_of_date,
            customer_id,
            customer_name,
            business_type,
            region_code,
            account_manager_id,
            customer_status,
            standing,
            policy,
            candidate_rule,
            tier,
            tier_label,
            tier_rank,
            tier_since_date,
            previous_tier,
            earned_tier,
            earned_since_date,
            candidate_tier,
            toLowCardinality(ruled_tier) as tier_without_override,
            toLowCardinality(nullIf(next_tier_name, '')) as next_tier,
            decision,
            reason_code,
            decision_reason,
            decision_reason_zh,
            required_criteria,
            assumeNotNull({{ rule(rules, 'criteria_band') }}) as criteria_band,
            toLowCardinality(assumeNotNull({{ rule(rules, 'percentile_scope') }})) as percentile_scope,
            orders_per_month,
            frequency_tier,
            average_order_value,
            order_value_tier,
            lifetime_value,
            lifetime_value_top_share,
            lifetime_value_tier,
            {% for target, suffix in [('keep', 'to_keep'), ('next', 'for_next')] -%}
            {{ target }}_orders as orders_per_month_{{ suffix }},
            {{ target }}_order_value as average_order_value_{{ suffix }},
            if({{ target }}_by_standards, {{ target }}_lifetime_value_limit, null) as lifetime_value_top_share_{{ suffix }},
            cast({{ target }}_lifetime_value_cents as Nullable(Decimal(18, 2))) / 100 as lifetime_value_{{ suffix }},
            {{ target }}_missed as criteria_missed_{{ suffix }},
            ifNull({{ target }}_missing_count, 0) as missing_count_{{ suffix }},
            {% endfor -%}
            scoring_model,
            r_score,
            f_score,
            m_score,
            p_score,
            r_contribution,
            f_contribution,
            m_contribution,
            p_contribution,
            total_score,
            score_rank,
            score_top_share,
            score_tier,
            order_count,
            days_since_last_order,
            monetary_now as monetary_value,
            {% for target, suffix in [('keep', 'to_keep'), ('next', 'for_next')] -%}
            {{ target }}_total_score as total_score_{{ suffix }},
            {% for component in ['r', 'f', 'm', 'p'] -%}
            {{ target }}_{{ component }}_score as {{ component }}_score_{{ suffix }},
            {% endfor -%}
            cast({{ target }}_order_count as Nullable(UInt32)) as order_count_{{ suffix }},
            cast({{ target }}_monetary_cents as Nullable(Decimal(18, 2))) / 100 as monetary_value_{{ suffix }},
            cast({{ target }}_days_since_last_order as Nullable(UInt32)) as days_since_last_order_{{ suffix }},
            {% endfor -%}
            arrayMap(
                gate -> (gate.1, gate.2, gate.3, gate.4, gate.5, toUInt8(coalesce({{ gate_is_closed('gate.3', 'gate.4') }}, false))), gate_states
            ) as gates,
            closed_gates,
            next_closed_gates as closed_gates_for_next,
            overdue_amount,
            cast(keep_overdue_cents_at_most as Nullable(Decimal(18, 2))) / 100 as overdue_amount_at_most_to_keep,
            cast(next_overdue_payment_cents as Nullable(Decimal(18, 2))) / 100 as overdue_payment_for_next,
            up_count,
            confirm_up_decisions,
            down_count,
            confirm_down_decisions,
            ifNull({{ counter_text(rules, 'en') }}, '') as counter,
            ifNull({{ counter_text(rules, 'zh') }}, '') as counter_zh,
            override_manager_id,
            override_reason,
            override_valid_to,
            earliest_downgrade_on,
            toLowCardinality(nullIf(earliest_downgrade_name, '')) as earliest_downgrade_tier,
            earliest_upgrade_on,
            lapses_on,
            gate_closes_on,
            {% for language, suffix in [('en', ''), ('zh', '_zh')] -%}
            ifNull({{ keep_text(rules, language) }}, '') as how_to_keep{{ suffix }},
            ifNull({{ next_text(rules, labels, language) }}, '') as how_to_gain_next{{ suffix }},
            {% endfor -%}
            config_version
        from card_names
        -- A day that an earlier version published has no rules kept with it.
        where notEmpty({{ rule(rules, 'ladder') }})
    )
{%- endmacro %}
