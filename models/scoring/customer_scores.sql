-- One row per scored customer and scoring model of the snapshot being built: components in [0, 1], what each contributes
-- to the total, rank. Where potential is unknown its weight is shared out over the other components in proportion.
{{ config(order_by='(scoring_model, customer_id)') }}

with inputs as (
    select
        features.customer_id as customer_id,
        models.scoring_model as scoring_model,
        models.normalisation as normalisation,
        if(
            models.recency_form = 'half_life',
            pow(0.5, features.days_since_last_order / models.recency_half_life_days),
            1 / (1 + features.days_since_last_order)
        ) as recency,
        features.order_count_90d as frequency,
        if(
            models.monetary_input = 'net_amount',
            if(features.order_count_90d > 0, toFloat64(features.net_amount_90d), null),
            features.average_order_value_90d
        ) as monetary,
        potential.potential_index as potential
    from {{ ref('feature_snapshot') }} as features
    cross join {{ configured('scoring_models') }} as models
    left join {{ source('predictive', 'potential') }} as potential
        on features.customer_id = potential.customer_id and potential.as_of_date = {{ as_of() }}
),

components as (
    select
        customer_id,
        scoring_model,
        if(normalisation = 'midrank', {{ midrank('recency', 'scoring_model') }}, recency) as r_score,
        if(
            normalisation = 'midrank',
            {{ midrank('frequency', 'scoring_model') }},
            coalesce({{ ratio('frequency', 'max(frequency) over (partition by scoring_model)') }}, 0)
        ) as f_score,
        coalesce(if(
            normalisation = 'midrank',
            if(monetary is null, 0, {{ midrank('monetary', 'scoring_model, monetary is null') }}),
            {{ ratio('greatest(monetary, 0)', 'max(greatest(monetary, 0)) over (partition by scoring_model)') }}
        ), 0) as m_score,
        if(
            normalisation = 'midrank' and potential is not null,
            {{ midrank('potential', 'scoring_model, potential is null') }},
            potential
        ) as p_score
    from inputs
),

contributions as (
    select
        components.*,
        if(p_score is null, 1 - configuration.p_weight, 1) as weight_in_use,
        configuration.r_weight * r_score / nullIf(weight_in_use, 0) as r_share,
        configuration.f_weight * f_score / nullIf(weight_in_use, 0) as f_share,
        configuration.m_weight * m_score / nullIf(weight_in_use, 0) as m_share,
        configuration.p_weight * p_score as p_share,
        coalesce(r_share, 0) as r_contribution,
        coalesce(f_share, 0) as f_contribution,
        coalesce(m_share, 0) as m_contribution,
        coalesce(p_share, 0) as p_contribution,
        r_contribution + f_contribution + m_contribution + p_contribution as total_score
    from components
    cross join {{ ref('scoring_configuration') }} as configuration
)

select
    {{ as_of() }} as as_of_date,
    customer_id,
    scoring_model,
    r_score,
    f_score,
    m_score,
    p_score,
    r_contribution,
    f_contribution,
    m_contribution,
    p_contribution,
    total_score,
    toUInt32(rank() over (partition by scoring_model order by total_score desc)) as score_rank,
    {{ midrank('total_score desc', 'scoring_model') }} as score_top_share
from contributions
