"""What runs once a week: which products to offer each customer. The steps, without Dagster; defs/ wires them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.history import published_days
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
_RECOMMEND = "recommend products"


@dataclass(frozen=True)
class Recommended:
    """What one run recommended: rows, customers who got a list, and which methods made it, for which reason."""

    row_count: int
    customer_count: int
    list_method: str
    new_method: str
    reason: str


def choose_day(client: Client, settings: Settings, as_of: date | None = None) -> date:
    """The day to predict from: as asked, else the last refreshed one. Raises TierhouseError where the facts end before it."""
    days = published_days(client, settings)
    if not days:
        raise TierhouseError("nothing is refreshed yet; run `tierhouse refresh` first")
    if as_of and as_of > days[-1]:
        raise TierhouseError(
            f"the warehouse is refreshed up to {days[-1]}; run `tierhouse refresh --as-of {as_of}` first, or predict an earlier day"
        )
    return as_of or days[-1]


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
