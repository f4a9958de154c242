{# A version of weights whose sum is not 1. #}
{% test weights_sum_to_one(model) %}
select valid_from, sum(weight) as weight_sum
from {{ model }}
group by valid_from
having abs(weight_sum - 1) > 1e-9
{% endtest %}
