"""The evaluation over a demo world: nothing after a cut day moves a score, nothing after its own day moves a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from built_world import built_world
from clickhouse_connect.driver.client import Client
from own_warehouse import with_parsed_project

from orchestration import evaluations
from orchestration.errors import TierhouseError
from orchestration.evaluations import choose_day, cut_days, evaluate_models, lifetime_value_origin, no_order_origin
from orchestration.predictive import store_evaluation
from orchestration.predictive.evaluation import TOO_LITTLE_DATA, Evaluation, Options, Origin
from orchestration.predictive.promotions import served_model
from orchestration.warehouse.client import connect
from orchestration.warehouse.settings import Settings

LAST = date(2026, 3, 31)
# Before the end, so that there is something to leak.
DAY = date(2026, 3, 8)
FEW = Options(resamples=20)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, parsed_project: Path) -> Iterator[Settings]:
    home = with_parsed_project(tmp_path_factory.mktemp("evaluation"), parsed_project)
    with built_world(home, customers=700, days=300, last_date=LAST) as made:
        yield made


@pytest.fixture(scope="module")
def client(settings: Settings) -> Client:
    return connect(settings, autogenerate_session_id=False)


def _rows(client: Client, evaluated_on: date) -> pd.DataFrame:
    return client.query_df(
        "SELECT * FROM tierhouse_predictive.model_evaluation WHERE evaluated_on = {day:Date} ORDER BY model, metric",
        parameters={"day": evaluated_on},
    )


def _change_what_became_known_after(client: Client, day: date) -> None:
    """Half of the later order versions are gone, the others are worth a thousand times as much."""
    cutoff = f"toDateTime64('{day + timedelta(days=1)} 00:00:00', 3, 'Asia/Shanghai')"
    facts, wait = "tierhouse_facts.fct_orders", {"mutations_sync": 2}
    client.command(f"ALTER TABLE {facts} DELETE WHERE known_from >= {cutoff} AND order_id % 2 = 0", settings=wait)
    client.command(
        f"ALTER TABLE {facts} UPDATE net_amount = 1000 * net_amount, cost_amount = 0 WHERE known_from >= {cutoff}",
        settings=wait,
    )


def test_cut_days_are_month_ends_with_a_history_before_and_a_horizon_behind_them() -> None:
    first = date(2025, 1, 1)
    assert cut_days(first, date(2025, 12, 31), 90) == [
        date(2025, 6, 30),
        date(2025, 7, 31),
        date(2025, 8, 31),
        date(2025, 9, 30),
    ]
    assert cut_days(first, date(2025, 8, 28), 90) == []
    assert cut_days(first, date(2025, 8, 29), 90) == [date(2025, 5, 31)]
    assert cut_days(None, date(2025, 12, 31), 90) == []


def test_a_warehouse_that_was_never_refreshed_is_told_so(client: Client, settings: Settings) -> None:
    with pytest.raises(TierhouseError, match="run `tierhouse refresh` first"):
        choose_day(client, settings)


def test_a_history_that_is_too_short_is_a_verdict(client: Client, settings: Settings) -> None:
    day = LAST - timedelta(days=200)
    made = evaluate_models(client, settings, day, FEW)
    assert {one.verdict for one in made.evaluations} == {TOO_LITTLE_DATA}
    rows = _rows(client, day + timedelta(days=1))
    assert len(rows) == len(made.evaluations)
    assert rows["value"].isna().all() and rows["verdict_text"].str.contains("too little data").all()
    served = client.query(
        "SELECT served_model FROM tierhouse_predictive.promotions WHERE model = 'lifetime_value_in_tiers' AND evaluated_on = {day:Date}",
        parameters={"day": day + timedelta(days=1)},
    ).result_rows
    assert served == [("historical_margin",)]


def test_a_day_before_the_first_order_is_refused(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "refreshed_days", lambda *_: [LAST])
    assert choose_day(client, settings, LAST) == LAST
    with pytest.raises(TierhouseError, match="no order was known by 2001-02-03; evaluate a later day"):
        choose_day(client, settings, date(2001, 2, 3))


def test_a_warehouse_whose_first_month_has_not_ended_is_told_to_wait(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "refreshed_days", lambda *_: [date(2001, 2, 20)])
    with pytest.raises(TierhouseError, match="no order was known by 2001-01-31, the last month end; evaluate when"):
        choose_day(client, settings)


def test_verdicts_promotions_and_what_came_later(client: Client, settings: Settings) -> None:
    made = evaluate_models(client, settings, DAY, FEW)
    rows = _rows(client, DAY + timedelta(days=1))
    assert set(rows["known_until"].dt.date) == {DAY}
    deciding = rows[rows["is_deciding"] == 1].set_index("model")
    assert set(deciding.index) == {
        "lifetime_value",
        "lifetime_value_in_tiers",
        "lifetime_value_no_order",
        "churn",
        "spend_forecast",
        "potential",
    }
    # Facts alone hold no potential.
    assert deciding.loc["potential", "verdict"] == TOO_LITTLE_DATA
    assert deciding.loc["potential", "served_model"] == "potential_index"
    assert deciding.loc["lifetime_value_in_tiers", "served_model"] in ("lifetime_value_in_tiers", "historical_margin")
    for model, days in (("lifetime_value", 90), ("churn", 30)):
        row = deciding.loc[model]
        assert row["verdict"] != TOO_LITTLE_DATA, row["reason"]
        assert row["origin_count"] >= 2 and row["customer_count"] > 300
        assert max(pd.to_datetime(row["origins"])).date() <= DAY - timedelta(days=days)
        assert {
            "historical_spend",
            "order_count",
            "recency",
            "decayed_spend",
            "example_formula",
            "midrank_formula",
        } <= set(row["baseline_values"])
        best = min if row["metric"] == "brier" else max
        assert row["baseline_value"] == pytest.approx(best(row["baseline_values"].values()))
        assert row["verdict"] == ("promoted" if row["gain_low"] > 0 else "baseline_serves")
    # An evaluation of what was known up to a day counts after it only.
    promotions = client.query(
        "SELECT evaluated_on, model, served_model, verdict FROM tierhouse_predictive.promotions WHERE evaluated_on > {day:Date} "
        "ORDER BY model",
        parameters={"day": DAY},
    ).result_rows
    assert promotions == sorted(
        (DAY + timedelta(days=1), one.question.model, one.served_model, one.verdict) for one in made.evaluations
    )

    # Nothing that became known after the evaluation's day moves it, and doing it again writes the same rows once.
    _change_what_became_known_after(client, DAY)
    evaluate_models(client, settings, DAY, FEW)
    pd.testing.assert_frame_equal(_rows(client, DAY + timedelta(days=1)), rows, check_exact=True)
    # Once later days are published, a verdict decides for those that are not: what served on them stays what it was.
    client.command("CREATE DATABASE IF NOT EXISTS tierhouse_snapshots")
    client.command(
        "CREATE TABLE tierhouse_snapshots.published_builds ENGINE = Memory AS "
        f"SELECT toDate('{DAY}') + 10 AS as_of_date, 'b' AS build_id"
    )
    late = evaluate_models(client, settings, DAY, FEW)
    client.command("DROP TABLE tierhouse_snapshots.published_builds")
    assert (late.evaluated_on, late.serves_from) == (DAY + timedelta(days=1), DAY + timedelta(days=11))
    for model, served in {one.question.model: one.served_model for one in made.evaluations}.items():
        assert served_model(client, settings, model, str(DAY + timedelta(days=5))) == served
    # A verdict that knew less does not take over, however late it is written.
    evaluate_models(client, settings, DAY - timedelta(days=200), FEW)
    assert served_model(client, settings, "churn", str(DAY + timedelta(days=20))) == next(
        one.served_model for one in late.evaluations if one.question.model == "churn"
    )


def test_a_second_potential_that_foresees_growth_is_promoted(client: Client, settings: Settings) -> None:
    first = store_evaluation.first_order_day(client, settings, DAY)
    for cut in cut_days(first, DAY, 90):
        seen = store_evaluation.read_customers(client, settings, cut, 90, DAY)
        growth = (seen["net_amount_after"] > seen["net_amount_90d"]).astype(float) * 0.5 + 0.25
        days = [cut] * len(seen)
        for table, index in (("potential", "headroom_share"), ("potential_parts", "potential_index_v2")):
            values = growth if table == "potential_parts" else 0.5 + 0 * growth
            rows = [
                [day, customer, value] for day, customer, value in zip(days, seen["customer_id"], values, strict=True)
            ]
            # One customer has the second index alone.
            rows.append([cut, 0, 0.9 if table == "potential_parts" else None])
            client.insert(f"tierhouse_predictive.{table}", rows, column_names=["as_of_date", "customer_id", index])
        assert 0 not in store_evaluation.read_potential(client, settings, cut)["customer_id"].to_numpy()
    judged = evaluations.potential_question(client, settings, first, DAY, FEW)
    assert (judged.verdict, judged.served_model) == ("promoted", "potential"), judged.reason
    values = _deciding_values(judged)
    assert values["potential_index"] == pytest.approx(0.0, abs=1e-9)


def test_margins_are_whole_cents_so_that_equal_ones_tie(client: Client, settings: Settings) -> None:
    seen = store_evaluation.read_customers(client, settings, date(2025, 11, 30), 90, DAY)
    for name in ("value_to_date", "value_90d", "margin_after"):
        assert (seen[name] > 0).sum() > 100
        np.testing.assert_array_equal(seen[name], np.round(seen[name], 2), err_msg=name)


def test_customers_are_compared_without_repeating_them_and_their_orders_are_read_once(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(statement: str, **named: object) -> object:
        asked.append(statement)
        return query_arrow(statement, **named)

    query_arrow = client.query_arrow
    monkeypatch.setattr(client, "query_arrow", noted)
    store_evaluation.read_customers(client, settings, date(2025, 11, 30), 90, DAY)

    plan = [row[0] for row in client.query(f"EXPLAIN actions = 1 {asked[0]}").result_rows]
    assert not [line for line in plan if "CROSS" in line.upper()]
    # Once for what was known at the cut day, once for what followed.
    assert len([line for line in plan if "ReadFromMergeTree" in line and "fct_orders" in line]) == 2


def _deciding_values(judged: Evaluation) -> dict[str, float]:
    return dict(judged.rows[judged.rows["is_deciding"]].iloc[0]["baseline_values"])


def test_what_came_after_a_cut_day_moves_the_outcome_and_no_score(client: Client, settings: Settings) -> None:
    cut = date(2025, 11, 30)

    def origins() -> list[Origin]:
        return [
            lifetime_value_origin(client, settings, cut, 90, DAY),
            evaluations.spend_origin(client, settings, cut, DAY),
            no_order_origin(client, settings, "churn", cut, DAY),
            no_order_origin(client, settings, "lifetime_value_no_order", cut, DAY),
        ]

    before = origins()
    _change_what_became_known_after(client, cut)
    for old, new in zip(before, origins(), strict=True):
        assert not np.array_equal(old.actual, new.actual)
        np.testing.assert_array_equal(old.customer_id, new.customer_id)
        assert old.scores.keys() == new.scores.keys() and old.probabilities.keys() == new.probabilities.keys()
        for name in old.scores:
            np.testing.assert_array_equal(old.scores[name], new.scores[name], err_msg=name)
        for name in old.probabilities:
            np.testing.assert_array_equal(old.probabilities[name], new.probabilities[name], err_msg=name)
    assert {"lifetime_value", "lifetime_value_in_tiers"} <= set(before[0].scores)
    assert "churn" in before[2].probabilities and "lifetime_value_no_order" in before[3].probabilities
