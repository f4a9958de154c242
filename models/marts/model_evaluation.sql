-- One row per evaluation, model and metric: the model beside the best of the simple baselines, with the verdict in words.

select * except (reason)
from {{ source('predictive', 'model_evaluation') }}
