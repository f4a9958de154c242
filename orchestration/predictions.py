"""What runs once a week: which products to offer each customer, and what will be sold. The steps, without Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.history import refreshed_days
from orchestration.predictive import forecast as forecasting
from orchestration.predictive import store_forecast
from orchestration.predictive import store_recommendation as store
from orchestration.predictive.artifacts import Artifact, fingerprint
from orchestration.predictive.recommendation import (
    MODEL_VERSION,
    OUTCOME_DAYS,
    Choice,
    Fold,
    choose,
    learn,
    recommend,
    unjudged,
)
from orchestration.predictive.recommendation_sources import Catalogue, Model, history_of
from orchestration.predictive.store_artifacts import save_artifact
from orchestration.progress import report
from orchestration.warehouse.settings import Settings

# Customers whose lists are made at once: bounds the memory, changes no result.
CUSTOMERS_AT_ONCE = 25_000
_RECOMMEND, _FORECAST = "recommend products", "forecast sales"


@dataclass(frozen=True)
class Recommended:
    """What one run recommended: rows, customers who got a list, and which methods made it, for which reason."""

    row_count: int
    customer_count: int
    list_method: str
    new_method: str
    reason: str


@dataclass(frozen=True)
class Forecasted:
    """What one run forecast: series, how many of them a model serves, rows."""

    series_count: int
    model_count: int
    row_count: int


def choose_day(client: Client, settings: Settings, as_of: date | None = None) -> date:
    """The day to predict from: as asked, else the last published one.

    Raises TierhouseError where the day is not published, since drift compares its snapshot and the forecast takes tiers from it,
    where a refresh was cut off, or where the last one was that of a version which had no tables for predictions.
    """
    days = refreshed_days(client, settings)
    for table in ("product_recommendations", "recommendation_evaluation", "sales_forecast"):
        if client.command(f"EXISTS TABLE {settings.database('predictive')}.{table}") != 1:
            raise TierhouseError(
                f"there is no table predictive.{table} yet; run `tierhouse refresh` once, then predict again"
            )
    day = as_of or days[-1]
    if day not in days:
        # Of two that are equally near the earlier one, which knows less.
        nearest = min(days, key=lambda one: (abs(one - day), one))
        raise TierhouseError(
            f"{day} is not published; run `tierhouse refresh --as-of {day}` first, or predict from {nearest}, the nearest published day"
        )
    if store.first_order_day(client, settings, day) is None:
        raise TierhouseError(f"no order was known by {day}; predict a later day")
    return day


def recommend_products(client: Client, settings: Settings, day: date) -> Recommended:
    """Compare the methods on the two weeks before the end of `day`, and write the lists of the winners for every customer.

    Replaces the rows of `day` in `<prefix>_predictive.product_recommendations` and `recommendation_evaluation`. Where the history
    is too short or the customers too few to judge by, the unjudged choice serves, and the evaluation says why.
    """
    customers = store.read_customers(client, settings, day)
    condition = store.sample_condition(len(customers))
    report(_RECOMMEND, "customers")
    choice, evaluation = _choose(client, settings, day, condition)
    report(_RECOMMEND, "comparison")

    products = store.read_products(client, settings, day)
    catalogue = store.read_catalogue(client, settings, day, products)
    fold = store.read_fold(client, settings, day, day, condition)
    model = learn(fold.history, catalogue)
    report(_RECOMMEND, "model")
    artifact = _artifact(fold, choice, day)
    save_artifact(client, settings, artifact)

    served: set[int] = set()

    def lists() -> Iterator[pd.DataFrame]:
        for start in range(0, len(customers), CUSTOMERS_AT_ONCE):
            part = customers.iloc[start : start + CUSTOMERS_AT_ONCE]
            made = _lists(client, settings, day, part, model, catalogue, choice)
            served.update(made["customer_id"].unique().tolist())
            report(_RECOMMEND, "customers")
            yield made

    rows = store.replace_recommendations(client, settings, day, lists(), products, artifact.version)
    store.replace_evaluation(client, settings, day, evaluation, artifact.version)
    return Recommended(rows, len(served), choice.list_method, choice.new_method, choice.reason)


def _choose(client: Client, settings: Settings, day: date, condition: str) -> tuple[Choice, pd.DataFrame]:
    """Weights of the blend from the two weeks before the last two, the comparison from the last two."""
    judging, training = day - timedelta(days=OUTCOME_DAYS), day - timedelta(days=2 * OUTCOME_DAYS)
    first = store.first_order_day(client, settings, day)
    if first is None or first > training - timedelta(days=store.LATELY_DAYS):
        choice = unjudged("history_too_short")
        return choice, _not_judged(choice)
    choice, rows = choose(
        store.read_fold(client, settings, training, judging, condition),
        store.read_fold(client, settings, judging, day, condition),
    )
    return choice, rows.assign(verdict=choice.reason)


def _not_judged(choice: Choice) -> pd.DataFrame:
    """The evaluation where there is none: what serves, and why it was not judged."""
    row = {"customer_count": 0, "recall_at_10": np.nan, "recall_low": np.nan, "recall_high": np.nan, "coverage": np.nan}
    return pd.DataFrame(
        [
            {"target": "not_in_use", "method": choice.list_method, **row, "role": "list", "verdict": choice.reason},
            {
                "target": "never_bought",
                "method": choice.new_method,
                **row,
                "role": "new_places",
                "verdict": choice.reason,
            },
        ]
    )


def _lists(
    client: Client,
    settings: Settings,
    day: date,
    customers: pd.DataFrame,
    model: Model,
    catalogue: Catalogue,
    choice: Choice,
) -> pd.DataFrame:
    first, last = customers["customer_id"].iloc[0], customers["customer_id"].iloc[-1]
    purchases = store.read_purchases(client, settings, day, f"customer_id BETWEEN {first} AND {last}")
    return recommend(history_of(customers, purchases, catalogue), model, catalogue, choice)


def _artifact(fold: Fold, choice: Choice, day: date) -> Artifact:
    """Methods and weights that serve. Nearness and factors follow from the fingerprinted purchases and the code."""
    history = fold.history
    owner = np.repeat(history.customer_ids, np.diff(history.indptr))
    return Artifact(
        model="recommendation",
        code_version=MODEL_VERSION,
        trained_from=day - timedelta(days=store.HISTORY_DAYS - 1),
        trained_until=day,
        data_fingerprint=fingerprint(
            owner, fold.catalogue.product_ids[history.product], history.counts.sum(axis=1), history.last_age
        ),
        parameters={
            "list_method": choice.list_method,
            "new_method": choice.new_method,
            "reason": choice.reason,
            "weights": choice.weights,
        },
    )


def forecast_sales(client: Client, settings: Settings, day: date) -> Forecasted:
    """Forecast weekly net sales in total and by region, category and tier, for the eight weeks after the last complete one.

    Replaces the rows of `day` in `<prefix>_predictive.sales_forecast`. Nothing is written where no week is complete yet.
    """
    sales = store_forecast.read_weekly_sales(client, settings, day)
    report(_FORECAST, "sales")
    last, first = store_forecast.last_complete_week(day), store_forecast.first_complete_week(client, settings, day)
    if first is None or first > last:
        return Forecasted(0, 0, 0)
    first = max(first, last - timedelta(weeks=forecasting.HISTORY_WEEKS - 1))
    weeks = pd.date_range(first, last, freq="7D")
    rows, learned = [], {}
    for (dimension, member), series in sales.groupby(["dimension", "member"], sort=True):
        known = series.set_index("week")["net_amount"].reindex(weeks.as_unit("s"), fill_value=0.0)
        made = forecasting.forecast(known.to_numpy(), last)
        rows.append(_forecast_rows(str(dimension), str(member), str(series["member_name"].iloc[-1]), made, last))
        learned[f"{dimension}/{member}"] = made.method
        report(_FORECAST, "series")
    if not rows:
        return Forecasted(0, 0, 0)
    artifact = Artifact(
        model="forecast",
        code_version=forecasting.MODEL_VERSION,
        trained_from=first,
        trained_until=last + timedelta(days=6),
        data_fingerprint=fingerprint(
            sales["dimension"].to_numpy(),
            sales["member"].to_numpy(),
            sales["week"].astype(str).to_numpy(),
            sales["net_amount"].to_numpy(),
        ),
        parameters={"methods": learned},
    )
    save_artifact(client, settings, artifact)
    table = pd.concat(rows, ignore_index=True)
    store_forecast.replace_forecast(client, settings, day, table, artifact.version)
    models = int((table["verdict"] == "model_serves").sum()) // forecasting.HORIZON_WEEKS
    return Forecasted(len(learned), models, len(table))


def _forecast_rows(dimension: str, member: str, name: str, made: forecasting.Forecast, last: date) -> pd.DataFrame:
    ahead = range(1, forecasting.HORIZON_WEEKS + 1)
    return pd.DataFrame(
        {
            "dimension": dimension,
            "member": member,
            "member_name": name,
            "week_start_date": [last + timedelta(weeks=week) for week in ahead],
            "weeks_ahead": list(ahead),
            "net_amount": np.round(made.path.middle, 2),
            "net_amount_low": np.round(made.path.low, 2),
            "net_amount_high": np.round(made.path.high, 2),
            "method": made.method,
            "baseline_method": made.baseline,
            "verdict": made.verdict,
            "mase": made.mase,
            "baseline_mase": made.baseline_mase,
            "interval_coverage": made.interval_coverage,
            "origin_count": made.origin_count,
            "history_week_count": made.week_count,
            "spring_festival": made.spring_festival,
        }
    )
