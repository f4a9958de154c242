"""Quality gates: the expectation suites as blocking asset checks. Behind a gate that fails nothing runs.

landing is judged before the facts are made of it, facts and features before scores and tiers, and the finished build
before it is published: whatever fails, the marts show what they showed before.
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg

from orchestration.defs.resources import RefreshRun, Warehouse
from orchestration.progress import report
from orchestration.quality.checks import Result
from orchestration.quality.suites import TABLES, run_suites

_CHECK = "expectations"


def _specs(*layers: str) -> list[dg.AssetCheckSpec]:
    # Scores and tiers are made of predictions and overrides, and would wait for a gate that itself waits for them. What is not
    # published waits for the tables of the build that the same gate judges, so the build still stops.
    return [
        dg.AssetCheckSpec(
            _CHECK,
            asset=list(asset),
            blocking=asset[0] not in ("predictive", "tiers"),
            description=f"The expectations of {'.'.join(asset)}.",
        )
        for layer in layers
        for asset in TABLES[layer]
    ]


def _judge(context: dg.AssetCheckExecutionContext, warehouse: Warehouse, *layers: str) -> Iterator[dg.AssetCheckResult]:
    """One check result per table; a critical expectation that fails ends the step with one line that names it."""
    as_of = date.fromisoformat(context.partition_key)
    results = run_suites(warehouse.settings(), layers, as_of, context.run.run_id)
    for layer in layers:
        for asset in TABLES[layer]:
            report(f"quality of {layer}", asset)
            yield _check_result(asset, [result for result in results if result.asset == asset])
    blocking = [result for result in results if result.blocks]
    if blocking:
        more = (
            f" (and {len(blocking) - 1} more, see data_docs/index.html under TIERHOUSE_HOME)"
            if len(blocking) > 1
            else ""
        )
        raise dg.Failure(f"{blocking[0].line()}{more}", allow_retries=False)


def _check_result(asset: tuple[str, str], results: list[Result]) -> dg.AssetCheckResult:
    failed = [result for result in results if not result.is_success]
    return dg.AssetCheckResult(
        asset_key=list(asset),
        check_name=_CHECK,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if any(result.blocks for result in failed) else dg.AssetCheckSeverity.WARN,
        metadata={
            "expectations": len(results),
            "failed": dg.MetadataValue.md("\n".join(f"- {result.line()}" for result in failed)),
        },
    )


@dg.multi_asset_check(
    name="quality_of_landing",
    specs=_specs("landing"),
    description="Judge what landed before facts are made of it.",
)
def quality_of_landing(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse, refresh_run: RefreshRun
) -> Iterator[dg.AssetCheckResult]:
    yield from _judge(context, warehouse, "landing")


@dg.multi_asset_check(
    name="quality_of_inputs",
    specs=_specs("facts", "features"),
    description="Judge facts and features before scores and tiers are made of them.",
)
def quality_of_inputs(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse, refresh_run: RefreshRun
) -> Iterator[dg.AssetCheckResult]:
    yield from _judge(context, warehouse, "facts", "features")


@dg.multi_asset_check(
    name="quality_of_marts",
    specs=_specs("marts"),
    description="Judge the finished build before it is published.",
)
def quality_of_marts(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse, refresh_run: RefreshRun
) -> Iterator[dg.AssetCheckResult]:
    yield from _judge(context, warehouse, "marts")
