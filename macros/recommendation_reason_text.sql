{# Why a product is offered, in one sentence, in English ('en') or Chinese ('zh'). `row` names a relation with the columns of
   predictive.product_recommendations. #}
{% macro recommendation_reason_text(row, language) -%}
    {%- set pick = 0 if language == 'en' else 1 -%}
    {%- set partner_id = 'toString(ifNull(' ~ row ~ '.goes_with_product_id, 0))' -%}
    {%- set texts = {
        'ordered': ['ordered ', '近一年订购 '],
        'once': ['ordered once in a year, on ', '近一年订购 1 次，日期 '],
        'times': [' times in a year, about every ', ' 次，约每 '],
        'days': [' days; last on ', ' 天一次；最近一次 '],
        'last': [' times in a year; last on ', ' 次；最近一次 '],
        'of_buyers': [' % of the customers who buy ', ' % 的客户在购买 '],
        'product': ['product ', '产品 '],
        'buy_it_too': [' buy it too; this customer buys that one', ' 的同时也购买它；该客户购买前者'],
        'of_region': [' % of the buying customers in the region took it in 28 days', ' % 的本区域下单客户近 28 天购买'],
        'similar': ['customers with a similar range buy it', '采购结构相似的客户购买它'],
    } -%}
    multiIf(
        {{ row }}.reason_code = 'repurchase' and {{ row }}.order_lines_365d = 1,
        concat('{{ texts.once[pick] }}', ifNull(toString({{ row }}.last_bought_on), '')),
        {{ row }}.reason_code = 'repurchase' and {{ row }}.usual_gap_days = 0,
        concat(
            '{{ texts.ordered[pick] }}', toString({{ row }}.order_lines_365d), '{{ texts.last[pick] }}',
            ifNull(toString({{ row }}.last_bought_on), '')
        ),
        {{ row }}.reason_code = 'repurchase',
        concat(
            '{{ texts.ordered[pick] }}', toString({{ row }}.order_lines_365d), '{{ texts.times[pick] }}',
            toString({{ row }}.usual_gap_days), '{{ texts.days[pick] }}', ifNull(toString({{ row }}.last_bought_on), '')
        ),
        {{ row }}.reason_code = 'goes_with',
        concat(
            toString(round(100 * ifNull({{ row }}.goes_with_share, 0))), '{{ texts.of_buyers[pick] }}',
            ifNull(nullIf(toString({{ row }}.goes_with_product_name), ''), concat('{{ texts.product[pick] }}', {{ partner_id }})),
            '{{ texts.buy_it_too[pick] }}'
        ),
        {{ row }}.reason_code = 'popular',
        concat(toString(round(100 * {{ row }}.region_share, 1)), '{{ texts.of_region[pick] }}'),
        '{{ texts.similar[pick] }}'
    )
{%- endmacro %}
