{# Keys that occur more than once: one row per repeated combination of `columns`. With `as_of_date_only` just the day
   being built is read, so that the test costs the same however many days are kept. The settings stand inside, because
   `dbt show` puts a limit behind the query, which may not follow them. #}
{% test unique_combination(model, columns, as_of_date_only=false) %}
with repeated as (
    select {{ columns | join(', ') }}, count() as row_count
    from {{ model }}  -- noqa: LT02
    {% if as_of_date_only %}where as_of_date = {{ as_of() }}{% endif %}
    group by {{ columns | join(', ') }}
    having row_count > 1
    settings optimize_aggregation_in_order = 1
)

select * from repeated
{% endtest %}
