-- One row per evaluation, model and metric: the model beside the best of the simple baselines, with the verdict in words.

select
    evaluations.* except (reason),
    verdicts.serves_from as serves_from
from {{ source('predictive', 'model_evaluation') }} as evaluations
left join (
    -- Null, not 1970, for a reader whose joins do not make nulls.
    select evaluated_on, model, argMax(toNullable(serves_from), (written_at, serves_from)) as serves_from
    from {{ source('predictive', 'promotions') }}
    group by evaluated_on, model
) as verdicts on evaluations.evaluated_on = verdicts.evaluated_on and evaluations.model = verdicts.model
