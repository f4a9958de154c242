"""Runs suites with Great Expectations, pushed down into ClickHouse: all conditions of a table are one SELECT.

Importing this module imports Great Expectations, which takes seconds; only `suites.run_suites` does, when it runs.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from functools import cache
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, ClassVar

from sqlalchemy.engine import URL

from orchestration.quality.checks import Expectation, Result, Suite
from orchestration.warehouse.settings import Settings


class _Deferred(ModuleType):
    """A module that is loaded, in place, by the first use of a name in it.

    Unlike importlib's LazyLoader not by a look at its file, which inspect.stack() takes of every module there is.
    """

    _lock: ClassVar = RLock()

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        with self._lock:
            spec, is_loading = self.__spec__, self.__dict__.get("_is_loading")
            if is_loading is None and spec is not None and spec.loader is not None:
                self._is_loading = True
                spec.loader.exec_module(self)
            if attribute not in self.__dict__:
                raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}")
            return self.__dict__[attribute]


def _defer(name: str) -> None:
    """Let the first use of a submodule load it, not the import of Great Expectations."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None:
        return
    module = _Deferred(name)
    module.__spec__, module.__file__, module.__path__ = spec, spec.origin, list(spec.submodule_search_locations or [])
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)


def _open_package(name: str) -> None:
    """Let a package of Great Expectations load the modules that are asked for, and not all that its `__init__` names."""
    top, *below = name.split(".")
    spec = importlib.util.find_spec(top)
    assert spec is not None and spec.submodule_search_locations
    package = ModuleType(name)
    package.__path__ = [str(Path(folder, *below)) for folder in spec.submodule_search_locations]
    sys.modules.setdefault(name, package)


os.environ["GX_ANALYTICS_ENABLED"] = "False"
# A third of the import is scipy.stats, which no expectation here needs. A quarter is the making of sixty classes of expectations,
# of which one is used here.
_defer("scipy.stats")
_open_package("great_expectations.expectations")
_open_package("great_expectations.expectations.core")

import great_expectations as gx  # noqa: E402
from great_expectations.compatibility.sqlalchemy import sqlalchemy as sa  # noqa: E402
from great_expectations.core.metric_domain_types import MetricDomainTypes  # noqa: E402
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes  # noqa: E402
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: E402
from great_expectations.execution_engine import SqlAlchemyExecutionEngine  # noqa: E402
from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation  # noqa: E402
from great_expectations.expectations.expectation import BatchExpectation  # noqa: E402
from great_expectations.expectations.metrics.metric_provider import metric_partial  # noqa: E402
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider  # noqa: E402

logging.getLogger("great_expectations").setLevel(logging.CRITICAL)


class _RowsViolating(TableMetricProvider):
    """Number of rows for which a SQL condition is false. An aggregate, so that many are computed in one SELECT."""

    metric_name = "rows.violating"
    value_keys = ("condition",)

    @metric_partial(
        engine=SqlAlchemyExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _sqlalchemy(cls, metric_domain_kwargs: dict, metric_value_kwargs: dict, **_: Any) -> tuple:
        return sa.literal_column(f"countIf(NOT ({metric_value_kwargs['condition']}))"), metric_domain_kwargs, {}


class _BatchViolating(TableMetricProvider):
    """1 when a SQL condition over aggregates does not hold, else 0."""

    metric_name = "batch.violating"
    value_keys = ("condition",)

    @metric_partial(
        engine=SqlAlchemyExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _sqlalchemy(cls, metric_domain_kwargs: dict, metric_value_kwargs: dict, **_: Any) -> tuple:
        return sa.literal_column(f"toUInt8(NOT ({metric_value_kwargs['condition']}))"), metric_domain_kwargs, {}


class ExpectRowsToSatisfy(BatchExpectation):
    """Expect a SQL condition to be true, or null, for every row."""

    condition: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("rows.violating",)
    success_keys: ClassVar[tuple[str, ...]] = ("condition",)

    def _validate(self, metrics: dict, runtime_configuration: dict | None = None, execution_engine: Any = None) -> dict:
        count = int(metrics[self.metric_dependencies[0]])
        return {"success": count == 0, "result": {"observed_value": count, "unexpected_count": count}}


class ExpectBatchToSatisfy(ExpectRowsToSatisfy):
    """Expect a SQL condition over aggregates to be true for all rows together."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("batch.violating",)


def validate(settings: Settings, suites: list[Suite]) -> list[Result]:
    """Judge the suites against the warehouse. One result per expectation, in order; nothing is written anywhere.

    An expectation that cannot be computed (a table or column is missing) fails; observed is what the engine said.
    """
    warehouse = _warehouse(_url(settings), settings.secure)
    results = []
    for suite in suites:
        name = ".".join(suite.asset)
        asset = warehouse.add_query_asset(name=name, query=suite.rows)
        batch = asset.add_batch_definition_whole_table("rows").get_batch()
        expectations = [_expectation(expectation) for expectation in suite.expectations]
        validation = batch.validate(gx.ExpectationSuite(name=name, expectations=expectations), result_format="BASIC")
        warehouse.delete_asset(name)
        found: dict[str, Any] = {}
        for result in validation.results:
            assert result.expectation_config is not None and result.expectation_config.meta is not None
            found[result.expectation_config.meta["name"]] = result
        results += [_result(suite, expectation, found[expectation.name]) for expectation in suite.expectations]
    return results


@cache
def _warehouse(url: str, is_secure: bool) -> Any:
    """The data source that the suites of a process share, with its connections."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context.data_sources.add_sql(  # type: ignore[call-arg]  # kwargs exist, the stub does not know them
        name="warehouse",
        connection_string=url,
        create_temp_table=False,
        kwargs={"connect_args": {"autogenerate_session_id": False, "secure": is_secure}},
    )


def _url(settings: Settings) -> str:
    url = URL.create(
        "clickhousedb",
        username=settings.user,
        password=settings.password or None,
        host=settings.host,
        port=settings.port,
        database="default",
    )
    # Great Expectations takes a dollar sign for the name of a variable.
    return url.render_as_string(hide_password=False).replace("$", "%24")


def _expectation(expectation: Expectation) -> Any:
    common: dict[str, Any] = {
        "description": expectation.description,
        "severity": expectation.severity,
        "meta": {"name": expectation.name},
    }
    if expectation.kind == "none":
        return UnexpectedRowsExpectation(unexpected_rows_query=expectation.sql, **common)
    kind = ExpectRowsToSatisfy if expectation.kind == "rows" else ExpectBatchToSatisfy
    return kind(condition=expectation.sql, **common)


def _result(suite: Suite, expectation: Expectation, found: Any) -> Result:
    observed = found.result.get("observed_value")
    if observed is None:
        observed = _exception_line(found.exception_info)
    return Result(
        suite.layer,
        suite.asset,
        expectation.name,
        expectation.description,
        bool(found.success),
        str(observed),
        observed if isinstance(observed, int) else None,
        expectation.severity,
    )


def _exception_line(info: dict) -> str:
    """The engine's message, from the information on one metric or from that on several, by metric."""
    details = [info] if "exception_message" in info else list(info.values())
    messages = [str(detail["exception_message"]) for detail in details if detail.get("exception_message")]
    return " ".join(messages[0].split())[:400] if messages else "could not be evaluated"
