"""What dbt offers to Jinja under the name `modules`, for sqlfluff, which renders the models without dbt."""

import datetime

__all__ = ["datetime"]
