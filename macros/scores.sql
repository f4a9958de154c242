{# From features to the score. Nothing here needs dbt, so a simulation uses the same text as the models. #}

{# What a scoring model makes of a customer's features, as columns recency, frequency and monetary. `features` and `model` name
   relations with the columns of feature_snapshot and of the seed scoring_models. #}
{% macro score_inputs(features, model) -%}
    if(
        {{ model }}.recency_form = 'half_life',
        pow(0.5, {{ features }}.days_since_last_order / {{ model }}.recency_half_life_days),
        1 / (1 + {{ features }}.days_since_last_order)
    ) as recency,
    {{ features }}.order_count_90d as frequency,
    if(
        {{ model }}.monetary_input = 'net_amount',
        if({{ features }}.order_count_90d > 0, toFloat64({{ features }}.net_amount_90d), null),
        {{ features }}.average_order_value_90d
    ) as monetary
{%- endmacro %}

{# Components in [0, 1], as columns r_score, f_score, m_score and p_score, of rows with normalisation, recency, frequency, monetary
   and potential. The rows of one `partition` are compared with each other. `normalisation` may be a literal, which spares the
   comparisons that it does not ask for. #}
{% macro score_components(partition, normalisation='normalisation') -%}
    if({{ normalisation }} = 'midrank', {{ midrank('recency', partition) }}, recency) as r_score,
    if(
        {{ normalisation }} = 'midrank',
        {{ midrank('frequency', partition) }},
        coalesce({{ ratio('frequency', 'max(frequency) over (partition by ' ~ partition ~ ')') }}, 0)
    ) as f_score,
    coalesce(if(
        {{ normalisation }} = 'midrank',
        if(monetary is null, 0, {{ midrank('monetary', partition ~ ', monetary is null') }}),
        {{ ratio('greatest(monetary, 0)', 'max(greatest(monetary, 0)) over (partition by ' ~ partition ~ ')') }}
    ), 0) as m_score,
    {{ potential_score(partition, normalisation) }} as p_score
{%- endmacro %}

{# The component of potential alone. #}
{% macro potential_score(partition, normalisation='normalisation') -%}
    if(
        {{ normalisation }} = 'midrank',
        if(potential is null, null, {{ midrank('potential', partition ~ ', potential is null') }}),
        potential
    )
{%- endmacro %}

{# What each component adds to the total, and the total, as columns. `weights` names a relation with r_weight, f_weight, m_weight
   and p_weight; where potential is unknown its weight is shared out over the others in proportion. #}
{% macro score_contributions(weights) -%}
    if(p_score is null, 1 - {{ weights }}.p_weight, 1) as weight_in_use,
    {{ weights }}.r_weight * r_score / nullIf(weight_in_use, 0) as r_share,
    {{ weights }}.f_weight * f_score / nullIf(weight_in_use, 0) as f_share,
    {{ weights }}.m_weight * m_score / nullIf(weight_in_use, 0) as m_share,
    {{ weights }}.p_weight * p_score as p_share,
    coalesce(r_share, 0) as r_contribution,
    coalesce(f_share, 0) as f_contribution,
    coalesce(m_share, 0) as m_contribution,
    coalesce(p_share, 0) as p_contribution,
    {{ rounded_score('r_contribution + f_contribution + m_contribution + p_contribution') }} as total_score
{%- endmacro %}

{# A total score without the noise of its sum: 0.3 / 170 and 0.3 / 0.85 / 200 are equal, but not as doubles, and would not tie. #}
{% macro rounded_score(total) -%}
    round({{ total }}, 12)
{%- endmacro %}
