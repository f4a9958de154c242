{# What serves for a model on the snapshot's day by the verdict that knows most: the model itself, a baseline, or '' before any verdict. #}
{% macro served_model(model) -%}
(
    select argMax(served_model, (evaluated_on, serves_from, written_at, served_model))
    from {{ source('predictive', 'promotions') }}
    where model = '{{ model }}' and serves_from <= {{ as_of() }}
)
{%- endmacro %}
