{# Versions of landed rows: the period in which each one was the latest, and the one that describes a snapshot. #}

{# Adds known_from and known_to to the change log `relation`: each version lasts until the next one of its key. #}
{% macro with_known_period(relation, key, where='true') -%}
    (
        select
            *,
            known_at as known_from,
            leadInFrame(known_at, 1, {{ end_of_time() }}) over (
                partition by {{ key | join(', ') }} order by known_at
                rows between current row and unbounded following
            ) as known_to
        from {{ relation }}
        where {{ where }}
    )
{%- endmacro %}

{# Master data as of the cut-off: the latest version known then, else the first that ever came. #}
{% macro described_at_cutoff(relation, key, columns, texts=[]) -%}
    (
        select
            {{ key }},
            {% for column in columns -%}
            {{ 'cast(' ~ column ~ ' as String) as ' ~ column if column in texts else column }}{{ ',' if not loop.last }}
            {% endfor -%}
        from (
            -- Read in the order of the key, where gathering the versions of each would be four times the work.
            select {{ key }}, {{ columns | join(', ') }}, is_deleted
            from {{ relation }}
            order by {{ key }}, if(known_at < {{ cutoff() }}, 1, -1) * toUnixTimestamp64Milli(known_at) desc
            limit 1 by {{ key }}
        )
        where is_deleted = 0
    )
{%- endmacro %}

{# Whether a source has delivered any row that the snapshot knows: where it has not, what depends on it is unknown, not 0. #}
{% macro is_delivered(relation) -%}
    (select count() > 0 from {{ relation }} where known_at < {{ cutoff() }} and is_deleted = 0)
{%- endmacro %}
