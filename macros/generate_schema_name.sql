{# Database of a layer: `<prefix>_<layer>`. The same rule gives Dagster group and asset key. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema }}{% if custom_schema_name %}_{{ custom_schema_name | trim }}{% endif %}
{%- endmacro %}
