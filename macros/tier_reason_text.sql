{# The names that the reason of a tier is told with, as columns names_en and names_zh: each a tuple. `row` names a relation with the
   columns of customer_tier_snapshots, `standards` and `labels` ones with the rows of these seeds that count. Nothing here needs dbt. #}
{% macro tier_reason_names(row, standards, labels) -%}
    {%- set named = ['tier', 'earned_tier', 'candidate_tier', 'frequency_tier', 'order_value_tier', 'lifetime_value_tier'] -%}
    (select arraySort(groupArray((toString(tier), toString(tier_label)))) from {{ standards }}) as ladder,
    {% for language, comma in [('en', ', '), ('zh', '、')] -%}
    {{ tier_names('ladder.1', 'ladder.2', language) }} as ladder_{{ language }},
    cast(
        (
            {% for column in named -%}
            transform({{ row }}.{{ column }}, ladder.1, ladder_{{ language }}),
            {% endfor -%}
            arrayStringConcat(
                arrayMap(gate -> {{ label_of('gate', 'gate', language, labels) }}, {{ row }}.closed_gates), '{{ comma }}'
            )
        )
        as Tuple({% for column in named %}{{ column }} String, {% endfor %}closed_gates String)
    ) as names_{{ language }}{{ ',' if not loop.last }}
    {% endfor %}
{%- endmacro %}

{# A share in percent that it does not exceed: one of 10.04 % is not among the top 10 %, and nobody is in the top 0 %. #}
{% macro share_at_most(share) -%}
    toString(ceil(round(1000 * {{ share }}, 6)) / 10)
{%- endmacro %}

{# The reason in one sentence, in English ('en') or Chinese ('zh'). `row` names a relation with the columns of
   customer_tier_snapshots and of tier_reason_names. Nothing here needs dbt. #}
{% macro tier_reason_text(row, language) -%}
    {%- set named = row ~ '.names_' ~ language -%}
    {%- set english = language == 'en' -%}
    {%- set pick = 0 if english else 1 -%}
    {%- set texts = {
        'by_score': ['score in the top ', '得分位于前 '],
        'by_score_end': [' %: ', '%：'],
        'orders': ['orders ', '订单频次'],
        'order_value': [', order value ', '，客单价'],
        'lifetime_value': [', lifetime value ', '，生命周期价值'],
        'colon': [': ', '：'],
        'at_least': [': at least ', '：至少 '],
        'reach': [' of 3 reach ', ' 项（共 3 项）达到'],
        'set_by': ['set to ', '人工指定为'],
        'by_manager': [' by account manager ', '，客户经理 '],
        'until': [' until ', '，有效期至 '],
        'first_tier': ['first tier: ', '首次定级：'],
        'at_most': ['at most ', '最高'],
        'because_of': [' while closed: ', '，触发限制：'],
        'but': ['; but ', '；但为'],
        'starts_lowest': [', where new customers begin', '，新客户由此开始'],
        'semicolon': ['; ', '；'],
        'earned': ['; earned: ', '；应得：'],
        'back_to': ['a gate or an override ended, back to the earned tier ', '限制或人工指定已结束，恢复应得等级'],
        'no_order_for': ['no order for ', '已 '],
        'days': [' days', ' 天未下单'],
        'blocked': ['the customer is blocked or closed', '客户已冻结或关闭'],
        'new_customer': ['new customer, protected in the first days; candidate: ', '新客户保护期；候选等级：'],
        'above': ['above ', '高于'],
        'below': ['below ', '低于'],
        'for_decisions': [' at decision ', '，第 '],
        'of_needed': [' of ', ' 次（共需 '],
        'needed_end': ['', ' 次）'],
        'grace': [', but upgraded only a short while ago', '，但近期刚升级，暂不降级'],
        'dwell': [', but in this tier only for a short while', '，但在当前等级时间尚短，暂不降级'],
        'band': [' is within the margin around the thresholds of ', '未超出缓冲区间，保持'],
    } -%}
    {%- set criteria -%}
        if(
            {{ row }}.candidate_rule = 'score',
            concat(
                '{{ texts.by_score[pick] }}', {{ share_at_most(row ~ '.score_top_share') }},
                '{{ texts.by_score_end[pick] }}', {{ named }}.candidate_tier
            ),
            concat(
                '{{ texts.orders[pick] }}', {{ named }}.frequency_tier, '{{ texts.order_value[pick] }}', {{ named }}.order_value_tier,
                '{{ texts.lifetime_value[pick] }}', {{ named }}.lifetime_value_tier, '{{ texts.at_least[pick] }}',
                toString({{ row }}.required_criteria), '{{ texts.reach[pick] }}', {{ named }}.candidate_tier
            )
        )
    {%- endset -%}
    {# What makes the first tier another one than the candidate: the treatment of new and lapsed customers, then gates. -#}
    {%- set limits -%}
        concat(
            multiIf(
                {{ row }}.earned_tier = {{ row }}.candidate_tier, '',
                {{ row }}.standing = 'lapsed',
                concat(
                    '{{ texts.but[pick] }}', {{ named }}.earned_tier, '{{ texts.colon[pick] }}', '{{ texts.no_order_for[pick] }}',
                    toString({{ row }}.days_since_last_order), '{{ texts.days[pick] }}'
                ),
                {{ row }}.standing = 'blocked',
                concat('{{ texts.but[pick] }}', {{ named }}.earned_tier, '{{ texts.colon[pick] }}{{ texts.blocked[pick] }}'),
                concat('{{ texts.but[pick] }}', {{ named }}.earned_tier, '{{ texts.starts_lowest[pick] }}')
            ),
            if(
                {{ row }}.tier = {{ row }}.earned_tier, '',
                concat(
                    '{{ texts.semicolon[pick] }}{{ texts.at_most[pick] }}', {{ named }}.tier, '{{ texts.because_of[pick] }}', {{ named }}.closed_gates
                )
            )
        )
    {%- endset -%}
    multiIf(
        {{ row }}.reason_code = 'override',
        concat(
            '{{ texts.set_by[pick] }}', {{ named }}.tier, '{{ texts.by_manager[pick] }}',
            toString(ifNull({{ row }}.override_manager_id, 0)), '{{ texts.until[pick] }}',
            ifNull(toString({{ row }}.override_valid_to), ''), '{{ texts.colon[pick] }}', ifNull({{ row }}.override_reason, '')
        ),
        {{ row }}.reason_code = 'first_seen',
        concat('{{ texts.first_tier[pick] }}', {{ criteria }}, {{ limits }}),
        {{ row }}.reason_code = 'gate',
        concat(
            '{{ texts.at_most[pick] }}', {{ named }}.tier, '{{ texts.because_of[pick] }}', {{ named }}.closed_gates,
            '{{ texts.earned[pick] }}', {{ named }}.earned_tier
        ),
        {{ row }}.reason_code = 'gate_or_override_ended', concat('{{ texts.back_to[pick] }}', {{ named }}.tier),
        {{ row }}.reason_code = 'lapsed',
        concat('{{ texts.no_order_for[pick] }}', toString({{ row }}.days_since_last_order), '{{ texts.days[pick] }}'),
        {{ row }}.reason_code = 'blocked', '{{ texts.blocked[pick] }}',
        {{ row }}.reason_code = 'new_customer', concat('{{ texts.new_customer[pick] }}', {{ named }}.candidate_tier),
        {{ row }}.reason_code = 'waiting_up',
        concat(
            '{{ texts.above[pick] }}', {{ named }}.earned_tier, '{{ texts.for_decisions[pick] }}', toString({{ row }}.up_count),
            '{{ texts.of_needed[pick] }}', toString({{ row }}.confirm_up_decisions), '{{ texts.needed_end[pick] }}'
        ),
        {{ row }}.reason_code = 'waiting_down',
        concat(
            '{{ texts.below[pick] }}', {{ named }}.earned_tier, '{{ texts.for_decisions[pick] }}', toString({{ row }}.down_count),
            '{{ texts.of_needed[pick] }}', toString({{ row }}.confirm_down_decisions), '{{ texts.needed_end[pick] }}'
        ),
        {{ row }}.reason_code = 'grace', concat('{{ texts.below[pick] }}', {{ named }}.earned_tier, '{{ texts.grace[pick] }}'),
        {{ row }}.reason_code = 'dwell', concat('{{ texts.below[pick] }}', {{ named }}.earned_tier, '{{ texts.dwell[pick] }}'),
        {{ row }}.reason_code = 'within_band', concat({{ named }}.candidate_tier, '{{ texts.band[pick] }}', {{ named }}.earned_tier),
        {{ criteria }}
    )
{%- endmacro %}
