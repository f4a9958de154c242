{# Settings of a query whose branches of if, multiIf, and, or are computed for all rows, not for those alone that come to them: to pick
   the rows costs more where a branch is cheap. In such a model no branch may fail on a row that another one is for. #}
{% macro branches_for_all_rows() -%}
    {{ return({'short_circuit_function_evaluation': 'disable'}) }}
{%- endmacro %}
