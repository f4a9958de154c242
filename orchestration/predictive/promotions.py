"""Verdicts of evaluations and what serves by them. Rows are only added, so that a rebuilt day finds what served on it then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from clickhouse_connect.driver.client import Client

from orchestration.predictive.evaluation import Evaluation
from orchestration.warehouse.moments import next_moment
from orchestration.warehouse.settings import Settings


def served_model(client: Client, settings: Settings, model: str, as_of: str) -> str:
    """What serves for `model` on a day (ISO) by the verdict that knows most: the model itself, a baseline, or '' before any verdict."""
    found = client.query(
        "SELECT argMax(served_model, (evaluated_on, serves_from, written_at, served_model)) "
        f"FROM {_table(settings)} WHERE model = {{model:String}} AND serves_from <= {{as_of:Date}}",
        parameters={"model": model, "as_of": as_of},
    ).result_rows
    return str(found[0][0])


def add_verdicts(
    client: Client, settings: Settings, evaluated_on: date, serves_from: date, evaluations: Sequence[Evaluation]
) -> None:
    """Add what serves from `serves_from` on, in one insert.

    serves_from must lie after every published day: an earlier one would be rebuilt differently from how it was published.
    """
    # Of verdicts of one day the one written last counts.
    written_at = next_moment(client, _table(settings), "written_at")
    client.insert(
        _table(settings),
        [
            [evaluated_on, one.question.model, one.served_model, one.verdict, serves_from, written_at]
            for one in evaluations
        ],
        column_names=["evaluated_on", "model", "served_model", "verdict", "serves_from", "written_at"],
    )


def _table(settings: Settings) -> str:
    return f"{settings.database('predictive')}.promotions"
