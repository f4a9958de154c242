{# What stands behind a part of potential (`headroom`, `growth` or `acceptance`), in one sentence, in English ('en') or Chinese
   ('zh'). `row` names a relation with the columns of customer_feature_snapshots. #}
{% macro potential_reason_text(row, part, language) -%}
    {%- set english = language == 'en' -%}
    {#- A day that an earlier version stored. -#}
    {%- set not_computed = "'not computed for this day'" if english else "'该日未计算'" -%}
    {%- if part == 'headroom' -%}
        {%- set amount = 'toString(round(ifNull(' ~ row ~ '.category_headroom_by_size_90d, 0)))' -%}
        {%- set peers = {
            'type_region_size': ['of the same type, region and size', '同类型、同地区、同规模'],
            'type_region': ['of the same type and region', '同类型、同地区'],
            'type': ['of the same type', '同类型'],
            'all': ['of all types', '全部'],
        } -%}
        multiIf(
            {% for name, words in peers.items() -%}
            {{ row }}.headroom_peers = '{{ name }}',
            {% if english -%}
            if(
                {{ amount }} = '0', 'reaches the top fifth of customers {{ words[0] }} in every category',
                concat(
                    'would reach the top fifth of customers {{ words[0] }} in every category with ', {{ amount }}, ' CNY more in 90 days'
                )
            ),
            {% else -%}
            if(
                {{ amount }} = '0', '各品类均已达到{{ words[1] }}客户中消费前五分之一的水平',
                concat('90 天内再多消费 ', {{ amount }}, ' 元，各品类即可达到{{ words[1] }}客户中消费前五分之一的水平')
            ),
            {% endif -%}
            {% endfor -%}
            {{ row }}.headroom_peers = 'no_categories', {{ "'products have no categories'" if english else "'商品没有品类'" }},
            {{ row }}.headroom_peers = 'no_order_in_90_days', {{ "'no order in 90 days'" if english else "'90 天内未下单'" }},
            {{ row }}.headroom_peers = 'nobody_else', {{ "'nobody to compare with'" if english else "'没有可比客户'" }},
            {{ not_computed }}
        )
    {%- elif part == 'growth' -%}
        {#- Whole numbers, for which there is no -0; nobody believes a change of thousands of percent. -#}
        {%- set slope = 'ifNull(' ~ row ~ '.growth_slope_52w, 0)' -%}
        {%- set percent -%}
            if({{ slope }} > log(10), '{{ 'more than 900' if english else '超过 900' }}', toString(toInt32(round(100 * (exp(least({{ slope }}, 3)) - 1)))))
        {%- endset -%}
        {%- set p_value = 'round(ifNull(' ~ row ~ '.growth_slope_p_value, 1), 2)' -%}
        {%- set certainty = "if(" ~ p_value ~ " = 0, '< 0.01', concat('= ', toString(" ~ p_value ~ ')))' -%}
        {%- set expected = 'toString(round(ifNull(' ~ row ~ '.expected_net_amount_next_90d, 0)))' -%}
        {%- set latest = 'toString(round(' ~ row ~ '.net_amount_90d))' -%}
        if(ifNull({{ row }}.forecast_method, '') = '', {{ not_computed }}, concat(
            if(
                {{ row }}.growth_slope_52w is null,
                {{ "'too few four-week blocks with spend for a slope'" if english else "'有消费的四周段太少，无法估计趋势'" }},
                {% if english -%}
                concat('spend changes by ', {{ percent }}, ' % a year against what is typical of the type (p ', {{ certainty }}, ')')
                {%- else -%}
                concat('相对同类典型水平，消费年变化 ', {{ percent }}, '%（p ', {{ certainty }}, '）')
                {%- endif %}
            ),
            multiIf(
                {{ row }}.forecast_method = 'trained',
                {% if english -%}
                concat('; ', {{ expected }}, ' CNY expected in the next 90 days after ', {{ latest }}, ' in the latest'),
                {%- else -%}
                concat('；预计未来 90 天 ', {{ expected }}, ' 元，最近 90 天为 ', {{ latest }}, ' 元'),
                {%- endif %}
                {{ row }}.forecast_method = 'baseline_serves',
                {% if english -%}
                concat('; the forecast is not proven better than simple rules, so the latest 90 days (', {{ latest }}, ' CNY) stand in'),
                {%- else -%}
                concat('；预测模型未被证明优于简单规则，以最近 90 天（', {{ latest }}, ' 元）代替预测'),
                {%- endif %}
                {{ row }}.forecast_method = 'last_90_days',
                {{ "'; too little history for a forecast, the latest 90 days stand in'" if english else "'；历史不足，以最近 90 天代替预测'" }},
                {{ "'; no forecast after 364 days without an order'" if english else "'；364 天未下单，不作预测'" }}
            )
        ))
    {%- else -%}
        {%- set tried = 'toString(assumeNotNull(' ~ row ~ '.new_product_tried_count_180d))' -%}
        {%- set offered = 'toString(assumeNotNull(' ~ row ~ '.new_product_offered_count_180d))' -%}
        if(
            coalesce({{ row }}.new_product_offered_count_180d, 0) = 0,
            {{ "'no new product of 180 days is known that came after the first order'" if english else "'未见首单之后、180 天内上市的新品'" }},
            {% if english -%}
            concat('tried ', {{ tried }}, ' of ', {{ offered }}, ' new products of 180 days')
            {%- else -%}
            concat('180 天内 ', {{ offered }}, ' 款新品中试购 ', {{ tried }}, ' 款')
            {%- endif %}
        )
    {%- endif -%}
{%- endmacro %}
