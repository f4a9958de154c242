"""Reading customers at a cut day with what came after it, summed up in the engine, and writing verdicts and promotions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from orchestration.macros import render
from orchestration.predictive.cutoff import days_before, known, until
from orchestration.predictive.evaluation import Evaluation
from orchestration.predictive.evaluation_text import in_words
from orchestration.predictive.store_tables import replace_day
from orchestration.seeds import rows_in_force
from orchestration.warehouse.settings import Settings

# A cut day is judged by at most about this many customers, chosen by the hash of their id.
JUDGED_CUSTOMERS = 20_000
_POTENTIAL = {"headroom": "headroom_share", "growth": "growth_share", "acceptance": "new_product_acceptance_180d"}
# Both formulas take the mean order and the inverse of the days, as the rule of a scoring model would say it.
_INPUTS = (
    "CAST(('inverse', 30., 'average_order_value'), "
    "'Tuple(recency_form String, recency_half_life_days Float64, monetary_input String)')"
)
_CARRIED = (
    "customer_id, days_since_last_order, net_amount_to_date, value_to_date, value_90d, order_count_365d, net_amount_90d"
)
_WEIGHTS = "Tuple(r_weight Float64, f_weight Float64, m_weight Float64, p_weight Float64)"


def first_order_day(client: Client, settings: Settings, day: date) -> date | None:
    """First business date with a valid order, as known at the end of `day`; None without one."""
    first, count = client.query(f"SELECT min(business_date), count() {_orders(settings, day, day)}").result_rows[0]
    return first if count else None


def read_customers(
    client: Client, settings: Settings, cut: date, horizon_days: int, known_until: date, scored_by: date | None = None
) -> pd.DataFrame:
    """Customers with a valid order up to `cut` as it was known then, with scores of simple formulas, and what followed.

    What followed lies in the `horizon_days` after the cut and is taken as known at the end of `known_until`: margin_after
    (as the lifetime value counts margin), net_amount_after, order_count_after. By customer_id; at most about JUDGED_CUSTOMERS.
    scored_by: all customers instead, their scores as known at the end of this day. The formulas compare all customers, whatever
    the sample; the potential part is left out and its weight shared out.
    """
    before, sample = _orders(settings, cut, scored_by or cut), 1
    if scored_by is None:
        count = client.query(f"SELECT uniqExact(customer_id) {before}").result_rows[0][0]
        sample = max(1, -(-count // JUDGED_CUSTOMERS))
    after = f"business_date > {until(cut)} AND business_date <= {until(cut)} + {horizon_days}"
    recent = f"business_date > {days_before(cut, 90)}"
    weights = f"{settings.database('seeds')}.score_weights"
    statement = f"""
        WITH {_INPUTS} AS formula,
        (
            SELECT CAST(({", ".join(f"sumIf(weight, component = '{name}')" for name in "rfmp")}), '{_WEIGHTS}')
            FROM {rows_in_force(weights, until(cut))}
        ) AS weights,
        sums AS (
            SELECT customer_id, toUInt32({until(cut)} - max(business_date)) AS days_since_last_order,
                toFloat64(sum(net_amount)) AS net_amount_to_date, {_value("true")} AS value_to_date, {_value(recent)} AS value_90d,
                toUInt32(countIf({recent})) AS order_count_90d,
                toUInt32(countIf(business_date > {days_before(cut, 365)})) AS order_count_365d,
                toFloat64(sumIf(net_amount, {recent})) AS net_amount_90d,
                {render("money_per", f"sumIf(net_amount + tier_discount_amount, {recent})", "order_count_90d")} AS average_order_value_90d
            {before} GROUP BY customer_id
        ),
        followed AS (
            SELECT customer_id, {_value("true")} AS margin_after, toFloat64(sum(net_amount)) AS net_amount_after,
                toUInt32(count()) AS order_count_after
            {_orders(settings, known_until, known_until)} AND {after} GROUP BY customer_id
        ),
        inputs AS (
            SELECT *, {render("score_inputs", "sums", "formula")}, CAST(NULL AS Nullable(Float64)) AS potential FROM sums
        ),
        {_scored("ratio_to_max", "inputs", f"{_CARRIED}, recency, frequency, monetary, potential")},
        {_scored("midrank", "ratio_to_max", f"{_CARRIED}, ratio_to_max_score")}
        SELECT scored.*, margin_after, net_amount_after, order_count_after
        FROM midrank AS scored
        LEFT JOIN followed ON scored.customer_id = followed.customer_id
        WHERE cityHash64(scored.customer_id) % {sample} = 0
        ORDER BY customer_id
    """
    return client.query_arrow(statement, settings={"join_use_nulls": 0}).to_pandas()


def _scored(normalisation: str, source: str, carried: str) -> str:
    """A table expression: the carried columns of `source` and the total score by one normalisation.

    All its rows are compared, so rows are neither repeated per formula nor joined back.
    """
    return f"""{normalisation}_components AS (SELECT *, {render("score_components", "1", f"'{normalisation}'")} FROM {source}),
        {normalisation}_contributions AS (SELECT *, {render("score_contributions", "weights")} FROM {normalisation}_components),
        {normalisation} AS (SELECT {carried}, total_score AS {normalisation}_score FROM {normalisation}_contributions)"""


def potential_days(client: Client, settings: Settings) -> list[date]:
    """Days whose potential is stored in both versions."""
    database = settings.database("predictive")
    statement = (
        f"SELECT DISTINCT as_of_date FROM {database}.potential_parts "
        f"WHERE as_of_date IN (SELECT as_of_date FROM {database}.potential)"
    )
    return sorted(row[0] for row in client.query(statement).result_rows)


def read_potential(client: Client, settings: Settings, day: date) -> pd.DataFrame:
    """Both indexes of potential as stored for a day, of customers who have both: customer_id, potential_index, potential_index_v2.

    The first is computed from its stored parts, since the second stands in its column from its promotion on.
    """
    database, seed = settings.database("predictive"), f"{settings.database('seeds')}.potential_weights"
    total, known_weight = [], []
    for part, column in _POTENTIAL.items():
        total.append(f"if({column} IS NULL, 0., {part} * assumeNotNull({column}))")
        known_weight.append(f"if({column} IS NULL, 0., {part})")
    weights = ", ".join(f"sumIf(weight, part = '{part}') AS {part}" for part in _POTENTIAL)
    table = client.query_arrow(
        f"""
        WITH weights AS (
            SELECT {weights} FROM {rows_in_force(seed, until(day))}
        ),
        stored AS (
            SELECT customer_id, ({" + ".join(total)}) / nullIf({" + ".join(known_weight)}, 0) AS potential_index
            FROM weights CROSS JOIN {database}.potential WHERE as_of_date = {until(day)}
        )
        SELECT stored.customer_id AS customer_id, assumeNotNull(stored.potential_index) AS potential_index,
            assumeNotNull(parts.potential_index_v2) AS potential_index_v2
        FROM stored INNER JOIN (SELECT * FROM {database}.potential_parts WHERE as_of_date = {until(day)}) AS parts
            ON stored.customer_id = parts.customer_id
        WHERE stored.potential_index IS NOT NULL AND parts.potential_index_v2 IS NOT NULL
        ORDER BY customer_id
        """
    )
    return table.to_pandas()


def write_evaluations(
    client: Client, settings: Settings, evaluated_on: date, known_until: date, evaluations: Sequence[Evaluation]
) -> None:
    """Replace the rows of `evaluated_on` in `<prefix>_predictive.model_evaluation`. For who holds the writer lock."""
    frames = [_rows(evaluation) for evaluation in evaluations]
    rows = pd.concat(frames, ignore_index=True)
    origins = [list(one.origin_days) for one, frame in zip(evaluations, frames, strict=True) for _ in range(len(frame))]
    rows = rows.assign(origins=origins, baseline_values=[sorted(values.items()) for values in rows["baseline_values"]])
    days = {"evaluated_on": evaluated_on, "known_until": known_until}
    replace_day(client, settings, "model_evaluation", evaluated_on, rows, **days)


def _rows(evaluation: Evaluation) -> pd.DataFrame:
    question = evaluation.question
    english, chinese = in_words(evaluation)
    measured = evaluation.rows
    if measured.empty:
        unknown = dict.fromkeys(("value", "low", "high", "baseline_value", "gain", "gain_low", "gain_high"), np.nan)
        named = {"metric": question.deciding_metric, "baseline": "", "comparison": "not_compared", "is_deciding": True}
        measured = pd.DataFrame([named | unknown | {"baseline_values": {}}])
    return measured.assign(
        model=question.model,
        verdict=evaluation.verdict,
        served_model=evaluation.served_model,
        horizon_days=question.horizon_days,
        origin_count=len(evaluation.origin_days),
        customer_count=evaluation.customer_count,
        reason=evaluation.reason,
        verdict_text=english,
        verdict_text_zh=chinese,
        is_deciding=measured["is_deciding"].astype(np.uint8),
    )


def _value(condition: str) -> str:
    """Margin before the tier's discount, as the lifetime value counts it; net sales where no cost of the customer is known,
    which adds nothing to the cost. A float comes last, so that equal margins tie."""
    return (
        f"toFloat64(sumIf(net_amount + tier_discount_amount, {condition}) - round(sumIf(cost_amount, {condition}), 2))"
    )


def _orders(settings: Settings, last: date, known_until: date) -> str:
    """FROM and WHERE of the valid orders up to `last` as they were known at the end of `known_until`."""
    return (
        f"FROM {settings.database('facts')}.fct_orders WHERE {known(settings, known_until)} AND is_valid = 1 "
        f"AND business_date <= {until(last)}"
    )


def month_ends(first: date, last: date) -> list[date]:
    """Last days of months from `first` to `last`, oldest first."""
    found = []
    day = (last + timedelta(days=1)).replace(day=1) - timedelta(days=1)
    while day >= first:
        found.append(day)
        day = day.replace(day=1) - timedelta(days=1)
    return found[::-1]
