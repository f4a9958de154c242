"""Another try for a step whose warehouse was away for a moment.

Not a retry policy of Dagster's: under one it also tries again what somebody ends by Ctrl-C, or terminates on its pages.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from clickhouse_connect.driver.exceptions import ClickHouseError

from orchestration.dbt import DbtFailure
from orchestration.errors import TierhouseError

_SIGNS = ("Connection refused", "ConnectionError", "Connection reset", "timed out")


@contextmanager
def again_where_disconnected() -> Iterator[None]:
    """Have Dagster try the step up to twice more, ten seconds apart, where the block loses the warehouse."""
    try:
        yield
    except (DbtFailure, ClickHouseError) as error:
        if not any(sign in str(error) for sign in _SIGNS):
            raise
        raise dg.RetryRequested(max_retries=2, seconds_to_wait=10) from TierhouseError(str(error))
