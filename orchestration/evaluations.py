"""What runs once a month: every model against what is simple, at several earlier days. The steps, without Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.history import published_days, refreshed_days
from orchestration.predictive import candidates, churn_model, store_churn, store_lifetime_value, store_potential
from orchestration.predictive import store_evaluation as store
from orchestration.predictive.artifacts import training_day
from orchestration.predictive.evaluation import (
    OPTIONS,
    Evaluation,
    Options,
    Origin,
    Question,
    evaluate,
)
from orchestration.predictive.lifetime_value import NO_ORDER_DAYS
from orchestration.predictive.lifetime_value import OPTIONS as LIFETIME_OPTIONS
from orchestration.predictive.order_histories import from_facts
from orchestration.predictive.promotions import add_verdicts
from orchestration.progress import report
from orchestration.warehouse.settings import Settings

STEP = "evaluate models"
# Cut days per question, month ends.
CUT_DAYS = 4
# Horizons of value, the longest first that two cut days have behind them.
VALUE_HORIZONS = (365, 90)
SPEND_HORIZON = 90
# Orders that must lie before a cut day, so that a model trained at the end of the month before it has 90 days.
FEWEST_DAYS_BEFORE = 120
_EPOCH = date(1970, 1, 1)

LIFETIME_VALUE = Question("lifetime_value", "normalised_gini", 90, is_advice=True)
# What tiers count when the model serves; this verdict lets it, and without it they count margin to date.
IN_TIERS = Question("lifetime_value_in_tiers", "normalised_gini", 90, in_use="historical_margin")
SPEND_FORECAST = Question("spend_forecast", "normalised_gini", SPEND_HORIZON, in_use="net_sales_of_90_days")
POTENTIAL = Question("potential", "normalised_gini", SPEND_HORIZON, in_use="potential_index")
CHURN = Question("churn", "brier", NO_ORDER_DAYS, is_yes_or_no=True)
LIFETIME_NO_ORDER = Question("lifetime_value_no_order", "brier", NO_ORDER_DAYS, is_yes_or_no=True, is_advice=True)


@dataclass(frozen=True)
class Evaluated:
    """known_until: last day whose knowledge the verdicts use, evaluated_on: the day after; serves_from: first day they decide for."""

    evaluated_on: date
    serves_from: date
    known_until: date
    evaluations: list[Evaluation]


def choose_day(client: Client, settings: Settings, as_of: date | None = None) -> date:
    """Last day whose knowledge counts: as asked, else the last month end that is refreshed.

    Raises TierhouseError where the refreshed days end before it or no order was known by it, a refresh was cut off, or the tables
    are those of an older version.
    """
    days = refreshed_days(client, settings)
    if client.command(f"EXISTS TABLE {settings.database('predictive')}.model_evaluation") != 1:
        raise TierhouseError("there is no table predictive.model_evaluation yet; run `tierhouse refresh` once first")
    if as_of and as_of > days[-1]:
        raise TierhouseError(
            f"the warehouse is refreshed up to {days[-1]}; run `tierhouse refresh --as-of {as_of}` first, or take an earlier day"
        )
    day = as_of or training_day(days[-1] + timedelta(days=1))
    if store.first_order_day(client, settings, day) is None:
        raise TierhouseError(
            f"no order was known by {day}; evaluate a later day"
            if as_of
            else f"no order was known by {day}, the last month end; evaluate when a month has ended"
        )
    return day


def evaluate_models(client: Client, settings: Settings, day: date, options: Options = OPTIONS) -> Evaluated:
    """Judge every model with what was known at the end of `day`, write the verdicts, and what serves from now on.

    A verdict decides for days that are not published yet: those that are stay as they are when they are built again.
    A run that dies between the two leaves what served before.
    """
    first = store.first_order_day(client, settings, day)
    evaluations = [
        *_value_questions(client, settings, first, day, options),
        potential_question(client, settings, first, day, options),
        *_churn_questions(client, settings, first, day, options),
    ]
    evaluated_on = day + timedelta(days=1)
    serves_from = max([day, *published_days(client, settings)[-1:]]) + timedelta(days=1)
    store.write_evaluations(client, settings, evaluated_on, day, evaluations)
    add_verdicts(client, settings, evaluated_on, serves_from, evaluations)
    return Evaluated(evaluated_on, serves_from, day, evaluations)


def cut_days(first: date | None, day: date, horizon_days: int) -> list[date]:
    """The last month ends with enough orders before them and a whole horizon behind them, oldest first."""
    if first is None:
        return []
    earliest = first + timedelta(days=FEWEST_DAYS_BEFORE)
    return store.month_ends(earliest, day - timedelta(days=horizon_days))[-CUT_DAYS:]


def _value_questions(
    client: Client, settings: Settings, first: date | None, day: date, options: Options
) -> Iterator[Evaluation]:
    enough = [days for days in VALUE_HORIZONS if len(cut_days(first, day, days)) >= options.fewest_origins]
    horizon = enough[0] if enough else VALUE_HORIZONS[-1]
    origins = []
    for cut in cut_days(first, day, horizon):
        origins.append(lifetime_value_origin(client, settings, cut, horizon, day))
        report(STEP, "cut day")
    for question in (LIFETIME_VALUE, IN_TIERS):
        others = {LIFETIME_VALUE.model, IN_TIERS.model} - {question.model}
        own = [
            replace(one, scores={name: score for name, score in one.scores.items() if name not in others})
            for one in origins
        ]
        yield evaluate(replace(question, horizon_days=horizon), own, options)
    yield _judge(
        SPEND_FORECAST,
        cut_days(first, day, SPEND_HORIZON),
        lambda cut: spend_origin(client, settings, cut, day),
        options,
    )


def _churn_questions(
    client: Client, settings: Settings, first: date | None, day: date, options: Options
) -> Iterator[Evaluation]:
    # The scores of the month before turn a baseline into a chance, so that day needs a history too.
    later = None if first is None else first + timedelta(days=NO_ORDER_DAYS)
    cuts = cut_days(later, day, NO_ORDER_DAYS)
    for question in (CHURN, LIFETIME_NO_ORDER):
        yield _judge(
            question, cuts, partial(no_order_origin, client, settings, question.model, known_until=day), options
        )


def potential_question(
    client: Client, settings: Settings, first: date | None, day: date, options: Options
) -> Evaluation:
    """Version 2 of potential against version 1 and the other baselines, on cut days for which both were stored."""
    stored = set(store.potential_days(client, settings))
    cuts = [cut for cut in cut_days(first, day, SPEND_HORIZON) if cut in stored]
    return _judge(POTENTIAL, cuts, partial(potential_origin, client, settings, known_until=day), options)


def _judge(
    question: Question, cuts: Sequence[date], origin_at: Callable[[date], Origin], options: Options
) -> Evaluation:
    origins = []
    for cut in cuts:
        origins.append(origin_at(cut))
        report(STEP, "cut day")
    return evaluate(question, origins, options)


def lifetime_value_origin(client: Client, settings: Settings, cut: date, horizon: int, known_until: date) -> Origin:
    """Margin that followed a cut day, and what the model and the baselines expected."""
    customers = store.read_customers(client, settings, cut, horizon, known_until)
    ids = customers["customer_id"].to_numpy()
    predicted = _lifetime_value(client, settings, cut, ids, horizon)
    scores: dict[str, Any] = dict(candidates.baselines(customers))
    if not isinstance(predicted, str):
        scores[LIFETIME_VALUE.model] = predicted.expected_margin
        scores[IN_TIERS.model] = scores["historical_margin"] + predicted.expected_margin_365d
    return Origin(
        cut,
        ids,
        customers["margin_after"].to_numpy(np.float64),
        scores,
        scores.get(LIFETIME_VALUE.model, np.zeros(len(ids))),
    )


def spend_origin(client: Client, settings: Settings, cut: date, known_until: date) -> Origin:
    """Net sales that followed a cut day, and what the trees of potential and the baselines expected."""
    customers = store.read_customers(client, settings, cut, SPEND_HORIZON, known_until)
    ids = customers["customer_id"].to_numpy()
    examples = store_potential.read_examples(client, settings, training_day(cut))
    blocks = store_potential.read_blocks(client, settings, cut, cut)
    predicted = candidates.expected_spend(examples, blocks, ids)
    # What was sold in the last days, in the unit of the outcome.
    scores: dict[str, Any] = candidates.baselines(customers) | {
        "net_sales_of_90_days": customers["net_amount_90d"].to_numpy(np.float64)
    }
    if not isinstance(predicted, str):
        scores["spend_forecast"] = predicted
    return Origin(
        cut,
        ids,
        customers["net_amount_after"].to_numpy(np.float64),
        scores,
        scores.get("spend_forecast", np.zeros(len(ids))),
    )


def potential_origin(client: Client, settings: Settings, cut: date, known_until: date) -> Origin:
    """What the active customers gained after a cut day, as a share of what they were before and after, and both indexes of then."""
    customers = candidates.active(store.read_customers(client, settings, cut, SPEND_HORIZON, known_until))
    customers = customers.merge(store.read_potential(client, settings, cut), on="customer_id")
    before, after = (
        np.maximum(customers[name].to_numpy(np.float64), 0.0) for name in ("net_amount_90d", "net_amount_after")
    )
    gained = np.maximum(after - before, 0.0) / np.where(after + before > 0, after + before, 1.0)
    index = customers["potential_index_v2"].to_numpy(np.float64)
    scores: dict[str, Any] = candidates.baselines(customers) | {
        "potential_index": customers["potential_index"].to_numpy(np.float64)
    }
    return Origin(cut, customers["customer_id"].to_numpy(), gained, scores | {POTENTIAL.model: index}, index)


def no_order_origin(client: Client, settings: Settings, model: str, cut: date, known_until: date) -> Origin:
    """Whether active customers ordered in the 30 days after a cut day, and how likely the model and the baselines held it.

    A baseline becomes a chance by what followed its scores 30 days before, which was known at the cut day.
    """
    earlier_day = cut - timedelta(days=NO_ORDER_DAYS)
    customers = candidates.active(store.read_customers(client, settings, cut, NO_ORDER_DAYS, known_until))
    earlier = candidates.active(store.read_customers(client, settings, earlier_day, NO_ORDER_DAYS, cut))
    ids = customers["customer_id"].to_numpy()
    scores: dict[str, Any] = dict(candidates.no_order_scores(customers))
    chances: dict[str, Any] = dict(candidates.no_order_chances(customers, earlier))
    predicted = (
        _churn(client, settings, cut, ids)
        if model == CHURN.model
        else _lifetime_value(client, settings, cut, ids, NO_ORDER_DAYS)
    )
    if isinstance(predicted, candidates.LifetimeValue):
        predicted = predicted.p_no_order
    if not isinstance(predicted, str) and chances:
        scores[model] = chances[model] = predicted
    actual = (customers["order_count_after"].to_numpy() == 0).astype(np.float64)
    return Origin(cut, ids, actual, scores, scores.get(model, np.zeros(len(ids))), chances)


def _lifetime_value(
    client: Client, settings: Settings, cut: date, customer_id: np.ndarray, horizon: int
) -> candidates.LifetimeValue | str:
    trained_until = training_day(cut)
    training, holdout = store_lifetime_value.read_training(client, settings, trained_until, LIFETIME_OPTIONS)
    histories = store_lifetime_value.read_customers(client, from_facts(settings, cut, cut), cut)
    histories = histories[np.isin(histories["customer_id"].to_numpy(), customer_id)].sort_values("customer_id")
    return candidates.lifetime_value(training, trained_until, holdout, histories, horizon, LIFETIME_OPTIONS)


def _churn(client: Client, settings: Settings, cut: date, customer_id: np.ndarray) -> np.ndarray | str:
    trained_until = training_day(cut)
    training = store_churn.read_history(
        client, settings, trained_until, trained_until, churn_model.TRAINING_DAYS, is_training=True
    )
    history = store_churn.read_history(client, settings, cut, cut, candidates.HISTORY_DAYS)
    return candidates.churn_no_order(training, (trained_until - _EPOCH).days, history, (cut - _EPOCH).days, customer_id)
