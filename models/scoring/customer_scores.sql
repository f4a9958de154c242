-- One row per scored customer and scoring model of the snapshot being built: components in [0, 1], what each contributes
-- to the total, rank. Where potential is unknown its weight is shared out over the other components in proportion.
{{ config(order_by='(scoring_model, customer_id)') }}

with inputs as (
    select
        features.customer_id as customer_id,
        models.scoring_model as scoring_model,  -- noqa: RF01
        models.normalisation as normalisation,  -- noqa: RF01
        {{ score_inputs('features', 'models') }},
        potential.potential_index as potential
    from {{ ref('feature_snapshot') }} as features
    left join {{ source('predictive', 'potential') }} as potential
        on features.customer_id = potential.customer_id and potential.as_of_date = {{ as_of() }}
    array join {{ rows_of(configured('scoring_models'), {
        'scoring_model': 'String', 'normalisation': 'String', 'recency_form': 'String', 'recency_half_life_days': 'Float64',
        'monetary_input': 'String',
    }) }} as models
),

components as (
    -- Only a model of mid-ranks has its customers put in order.
    select customer_id, scoring_model, {{ score_components('scoring_model', "'midrank'") }}
    from inputs
    where normalisation = 'midrank'
    union all
    select customer_id, scoring_model, {{ score_components('scoring_model', "''") }}
    from inputs
    where normalisation != 'midrank'
),

contributions as (
    select
        components.*,
        {{ score_contributions('configuration') }}
    from components
    array join {{ rows_of(ref('scoring_configuration'), {
        'r_weight': 'Float64', 'f_weight': 'Float64', 'm_weight': 'Float64', 'p_weight': 'Float64',
    }) }} as configuration
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
