"""What runs once a quarter: do the standards still cut where they should? The steps, without Dagster. Nothing is changed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.predictive import store_review
from orchestration.predictive.threshold_review import CRITERIA, OUT_OF_REACH, TOO_LITTLE_DATA, Review, Standard, review
from orchestration.progress import report
from orchestration.quality.seeds import Row
from orchestration.simulation.proposal import changed_seeds
from orchestration.simulation.run import CURRENT, Simulation, Simulator, choose_day, published_seeds, stored_days
from orchestration.warehouse.settings import Settings

STEP = "review thresholds"
# Weeks that are replayed under today's standards and under the proposed ones.
WEEKS = 52
_COLUMNS = (
    "minimum_orders_per_month",
    "minimum_average_order_value",
    "maximum_lifetime_value_top_share",
    "maximum_score_top_share",
)


@dataclass(frozen=True)
class Reviewed:
    """as_of: the reviewed day. simulation: what the proposal would do; None where nothing is proposed."""

    as_of: date
    policy: str
    reviews: list[Review]
    seed_rows: list[str]
    simulation: Simulation | None


def day_to_review(client: Client, settings: Settings, as_of: date | None = None) -> date:
    """The stored day as asked, else the latest. Raises TierhouseError in one line where there is none."""
    day = choose_day(stored_days(client, settings), as_of)
    if client.command(f"EXISTS TABLE {settings.database('predictive')}.threshold_review") != 1:
        raise TierhouseError("there is no table predictive.threshold_review yet; run `tierhouse refresh` once first")
    return day


def review_thresholds(client: Client, settings: Settings, day: date, weeks: int = WEEKS) -> Reviewed:
    """Review the standards in force on a stored day, simulate what restores the quotas, and write the rows of the day.

    What is in force, and what the proposal changes in it, are the seeds that the warehouse was last refreshed with.
    """
    seeds = published_seeds(client, settings)
    unchanged = Simulator(client, settings, seeds, day)
    current = unchanged.current
    row = current.policy_row
    reviews = review(
        store_review.read_measures(client, settings, day),
        [_standard(one) for one in current.standards],
        row["candidate_rule"],
        int(row["required_criteria"]),
    )
    report(STEP, "measures")
    is_proposed = any(one.proposed != one.standard for one in reviews)
    simulation, seed_rows = None, [""] * len(reviews)
    if is_proposed:
        assignments = [
            f"{one.standard.tier}.{column}={_plain(value)}"
            for one in reviews
            for column, value in zip(_COLUMNS, one.proposed.bounds().values(), strict=True)
            if one.proposed != one.standard
        ]
        simulation = Simulator(client, settings, changed_seeds(seeds, assignments, day), day).run(weeks)
        rows = {str(one["tier"]): one for one in current.standards}
        seed_rows = [_seed_row(rows[one.standard.tier], one, day) for one in reviews]
        report(STEP, "simulation")
    ranks = (simulation.base if simulation else unchanged.base()).ranks
    store_review.write_review(client, settings, day, _rows(current.policy, reviews, seed_rows, ranks, simulation))
    return Reviewed(day, current.policy, reviews, seed_rows if is_proposed else [], simulation)


def next_quarter(day: date) -> date:
    """First day of the quarter after the one of `day`."""
    month = 3 * ((day.month - 1) // 3) + 4
    return date(day.year + (month > 12), (month - 1) % 12 + 1, 1)


def _rows(
    policy: str, reviews: Sequence[Review], seed_rows: Sequence[str], ranks: np.ndarray, simulation: Simulation | None
) -> list[dict[str, object]]:
    today = simulation.outcomes[0].proposed if simulation else ranks
    past = simulation.outcomes[1] if simulation and len(simulation.outcomes) > 1 else None
    change = {str(row["variant"]): row["weekly_change_rate"] for row in simulation.stability} if simulation else {}
    proposed_change = next((rate for variant, rate in change.items() if variant != CURRENT), None)
    remarks = {
        TOO_LITTLE_DATA: ["too few customers to tell where to cut"],
        OUT_OF_REACH: ["no bound fills the tier: too few customers order at all"],
    }
    rows: list[dict[str, object]] = []
    for one, seed_row in zip(reviews, seed_rows, strict=True):
        rank = one.standard.tier_rank
        of_tier: dict[str, object] = {
            "policy": policy,
            "tier": one.standard.tier,
            "tier_rank": rank,
            "quota_share": one.quota_share,
            "customer_count": int((ranks == rank).sum()),
            "customer_share": float(((ranks > 0) & (ranks <= rank)).mean()) if len(ranks) else 0.0,
            "candidate_share": one.candidate_share,
            "proposed_candidate_share": one.proposed_candidate_share,
            "simulated_customer_count": int((today == rank).sum()),
            "simulated_in_count": int(((today == rank) & (ranks != rank)).sum()),
            "simulated_out_count": int(((today != rank) & (ranks == rank)).sum()),
            "week_count": simulation.week_count if simulation else 0,
            "past_customer_count": int((past.current == rank).sum()) if past else None,
            "past_simulated_customer_count": int((past.proposed == rank).sum()) if past else None,
            "weekly_change_rate": change.get(CURRENT),
            "simulated_weekly_change_rate": proposed_change,
            "verdict": one.verdict,
            "proposed_seed_row": seed_row,
            "note": "; ".join([*remarks.get(one.verdict, []), *(simulation.notes if simulation else [])]),
        }
        bounds, proposed = one.standard.bounds(), one.proposed.bounds()
        for criterion in CRITERIA:
            rows.append(
                of_tier
                | {
                    "criterion": criterion,
                    "threshold": bounds[criterion],
                    "reaching_share": one.reaching_share[criterion],
                    "proposed_threshold": proposed[criterion],
                    "proposed_reaching_share": one.proposed_reaching_share[criterion],
                }
            )
    return rows


def _standard(row: Row) -> Standard:
    return Standard(row["tier"], int(row["tier_rank"]), *(float(row[column]) for column in _COLUMNS))


def _seed_row(row: Row, reviewed: Review, day: date) -> str:
    """The row of tier_standards.csv to publish, valid from the next quarter on."""
    bounds = zip(_COLUMNS, (_plain(value) for value in reviewed.proposed.bounds().values()), strict=True)
    changed = dict(row) | dict(bounds) | {"valid_from": next_quarter(day).isoformat()}
    changed["comment"] = f"{row['comment']}; review of {day}: share {100 * reviewed.proposed_candidate_share:.1f} %"
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(changed.values())
    return text.getvalue()


def _plain(value: float) -> str:
    return f"{value:.9g}"
