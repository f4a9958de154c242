-- One row per as-of date, build and customer whose published snapshot the build changed: what it showed before, what it shows
-- now. A build that replaces none, or changes nothing, has no row. Rows stay when the build is replaced in its turn.
{{ config(order_by='customer_id') }}

{% set shown = {
    'tier': 'LowCardinality(Nullable(String))', 'candidate_tier': 'LowCardinality(Nullable(String))',
    'net_amount_90d': 'Nullable(Decimal(18, 2))', 'lifetime_value': 'Nullable(Decimal(18, 2))',
} -%}
{% set published = adapter.get_relation(
    database=none, schema=target.schema ~ '_snapshots', identifier='published_builds'
) if execute else none -%}

with after as (
    select customer_id, {{ shown.keys() | join(', ') }}
    from {{ ref('customer_tier_snapshots') }}
    where as_of_date = {{ as_of() }} and build_id = {{ build_id() }}
),

before as (
    select customer_id, build_id, {{ shown.keys() | join(', ') }}
    from {{ ref('customer_tier_snapshots') }}
    where as_of_date = {{ as_of() }}
    {% if published -%}
        and build_id in (
            select published.build_id from {{ published }} as published
            where published.as_of_date = {{ as_of() }} and published.build_id != {{ build_id() }}
        )
    {%- else -%}
        and false
    {%- endif %}
)

select
    {{ as_of() }} as as_of_date,
    {{ build_id() }} as build_id,
    assumeNotNull(coalesce(after.customer_id, before.customer_id)) as customer_id,
    toLowCardinality('{{ 'restated' if is_restated() else 'decided_again' if is_carried() else 'rebuilt' }}') as cause,
    toTimeZone({{ cutoff() }}, 'UTC') as known_before,
    {% for column, type in shown.items() -%}
    cast(before.{{ column }} as {{ type }}) as {{ column }}_before,
    cast(after.{{ column }} as {{ type }}) as {{ column }}_after{{ ',' if not loop.last }}
    {% endfor %}
from after
full outer join before on after.customer_id = before.customer_id
where (select count() from before) > 0
    and (
        after.customer_id is null or before.customer_id is null
        {% for column in shown -%}
        or after.{{ column }} != before.{{ column }}
        {% endfor -%}
    )
