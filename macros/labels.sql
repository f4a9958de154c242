{# What people read in place of a name, in English ('en') or Chinese ('zh'). `labels` names a relation with the rows of the seed of
   that name. Nothing here needs dbt. #}

{# The label of a policy, a scoring model or a gate (`kind`); the name itself where there is none. #}
{% macro label_of(kind, name, language, labels) -%}
    {%- set column = 'label' if language == 'en' else 'label_zh' -%}
    {%- set pairs -%}
        (
            select arraySort(groupArray((toString(name), toString({{ column }}))))
            from {{ labels }}
            where kind = '{{ kind }}' and {{ column }} != ''
        )
    {%- endset -%}
    transform({{ name }}, {{ pairs }}.1, {{ pairs }}.2)
{%- endmacro %}

{# Names of tiers, of arrays with the tiers and their labels. A label may hold both languages, as in `gold 黄金`: what follows the
   tier and a space is the Chinese name then. A label of one language, as in `A级`, is the name in that one. #}
{% macro tier_names(tiers, tier_labels, language) -%}
    arrayMap(
        {% if language == 'en' -%}
        (tier, label) -> if(label = '' or startsWith(label, concat(tier, ' ')) or match(label, '[^\\x00-\\x7F]'), tier, label),
        {%- else -%}
        (tier, label) -> multiIf(
            startsWith(label, concat(tier, ' ')) and trim(both ' ' from substring(label, length(tier) + 1)) != '',
            trim(both ' ' from substring(label, length(tier) + 1)),
            label = '', tier,
            label
        ),
        {%- endif %}
        {{ tiers }}, {{ tier_labels }}
    )
{%- endmacro %}
