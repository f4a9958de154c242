{# The clock of a snapshot: as-of date, cut-off, windows, and the moment after all moments. Never today(). #}

{# The as-of date as an ISO string: the variable, else the environment's, else the last complete business day of the landed
   orders: over when they landed, with a later order. The environment is read at run time only: a variable on the command
   line, or an environment variable read while parsing, would make dbt parse the whole project again every day. #}
{% macro as_of_iso() -%}
    {%- if var('as_of_date') -%}
        {{ return(var('as_of_date') | string) }}
    {%- endif -%}
    {%- if execute and env_var('TIERHOUSE_AS_OF_DATE', '') -%}
        {{ return(env_var('TIERHOUSE_AS_OF_DATE')) }}
    {%- endif -%}
    {%- if execute and flags.WHICH in ['run', 'build', 'test', 'compile', 'show'] -%}
        {%- set landed = run_query(
            "select toString(least(maxOrNull(toDate(ordered_at, '" ~ var('zone') ~ "')), toDate(maxOrNull(_loaded_at), '"
            ~ var('zone') ~ "')) - 1) from " ~ source('landing', 'orders')
        ) -%}
        {%- if landed and landed.columns[0].values()[0] not in (none, '', '\\N') -%}
            {{ return(landed.columns[0].values()[0] | string) }}
        {%- endif -%}
    {%- endif -%}
    {{ return('1970-01-01') }}
{%- endmacro %}

{% macro as_of() -%}
    toDate('{{ as_of_iso() }}')
{%- endmacro %}

{# First moment that the snapshot does not know any more: 00:00 of the next day in the business zone. A restatement of a past
   day counts what became known until a later one; the day itself and its windows stay where they are. #}
{% macro cutoff() -%}
    {%- set known_until = (env_var('TIERHOUSE_KNOWN_UNTIL', '') if execute else '') or as_of_iso() -%}
    {#- From a date: as a text, a midnight that the zone skips would be 23:00 of the day before. -#}
    toDateTime64(toDate('{{ modules.datetime.date.fromisoformat(known_until) + modules.datetime.timedelta(days=1) }}'), 3, '{{ var("zone") }}')
{%- endmacro %}

{# True for business dates in the `days` days that end on the as-of date: (as_of - days, as_of]. #}
{% macro in_window(date_column, days, until=0) -%}
    ({{ date_column }} > {{ days_before_as_of(days) }} and {{ date_column }} <= {{ days_before_as_of(until) }})
{%- endmacro %}

{# The day that many days before the as-of date. A Date begins with 1970, and one before it would be taken for one of 2149. #}
{% macro days_before_as_of(days) -%}
    {%- set day = modules.datetime.date.fromisoformat(as_of_iso()) - modules.datetime.timedelta(days=days) -%}
    {{ 'toDate' if day.year >= 1970 else 'toDate32' }}('{{ day }}')
{%- endmacro %}

{# True for the version of a fact that was known at the cut-off. #}
{% macro known_at_cutoff(alias='') -%}
    {%- set prefix = alias ~ '.' if alias else '' -%}
    ({{ prefix }}known_from < {{ cutoff() }} and {{ prefix }}known_to >= {{ cutoff() }})
{%- endmacro %}

{# End of a period that has not ended. #}
{% macro end_of_time() -%}
    toDateTime64('2200-01-01 00:00:00', 3, 'UTC')
{%- endmacro %}

{# The latest as_of_date of `relation` among the seven days that end on `date`; 1970-01-01 when none of them is there. #}
{% macro latest_of_seven(relation, date) -%}
    assumeNotNull((select max(as_of_date) from {{ relation }} where as_of_date > {{ date }} - 7 and as_of_date <= {{ date }}))
{%- endmacro %}
