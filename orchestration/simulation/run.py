"""Asks the statements of a simulation and puts the answers together: what the proposal does this morning, and over past weeks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.query import QueryResult

from orchestration.errors import TierhouseError
from orchestration.project import PROJECT_DIR
from orchestration.quality.seeds import SEEDS, Seeds, read_seed
from orchestration.simulation import queries
from orchestration.simulation.proposal import CONFIGURATION, version_on
from orchestration.simulation.queries import ENGINE_SETTINGS, Part, Reuse, Variant
from orchestration.simulation.rules import Rules, config_version_sql, rules_on
from orchestration.warehouse.settings import Settings

CURRENT, PROPOSED = "current", "proposed"
# What a reader must know about the numbers; in Chinese in orchestration/words_zh.py.
NO_PAST = "the past weeks hold no other stored day, so there is no past to replay"
LIKE_WITH_LIKE = (
    "stored days between the weeks' last ones, or days of other rules: `current` is today's rules replayed over the "
    "same days, so that like is compared with like"
)
# So many days of customers at once keep the memory of a replay at some GiB.
_DECISIONS_AT_ONCE = 12_000_000
_NOT_MADE = ("UNKNOWN_DATABASE", "UNKNOWN_TABLE", "UNKNOWN_IDENTIFIER")
_NO_ACCESS = ("ACCESS_DENIED", "UNKNOWN_DATABASE", "UNKNOWN_TABLE")


@dataclass(frozen=True)
class Base:
    """Today's customers in the order of their id: rank of the tier in force, and net sales of 90 days in cents."""

    customer_ids: np.ndarray
    ranks: np.ndarray
    cents: np.ndarray
    # Tiers of the ladder of the day, best first.
    tiers: list[str]


@dataclass(frozen=True)
class Outcome:
    """Ranks of the customers of the base under both rules, 0 for one without a tier, in the order of the base.

    horizon: `today`, the step that publishing would make, or `N weeks`, where the rules had led by now.
    current_tiers, proposed_tiers: what the ranks stand for, best first.
    """

    horizon: str
    current: np.ndarray
    proposed: np.ndarray
    current_tiers: list[str]
    proposed_tiers: list[str]


@dataclass
class Simulation:
    """What was simulated, and what came out."""

    as_of: date
    current: Rules
    proposed: Rules
    base: Base
    outcomes: list[Outcome]
    week_count: int = 0
    stability: list[dict[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Simulator:
    """One proposal on one stored day of a warehouse. Only SELECT statements are sent."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        proposed_seeds: Seeds,
        as_of: date | None = None,
        rules_of: date | None = None,
    ) -> None:
        """as_of: a stored day, default the latest. rules_of: the day whose version of the proposed seeds counts, default as_of.

        Raises TierhouseError when the day is not stored or no policy counts on it.
        """
        self._client, self._settings = client, settings
        self._made: dict[date, Rules | None] = {}
        self._versions: dict[str, str] = {}
        self._days = stored_days(client, settings)
        self.as_of = choose_day(self._days, as_of)
        self.current_seeds = self._current_seeds()
        current = rules_on(self.current_seeds, self.as_of)
        proposed = rules_on(proposed_seeds, rules_of or self.as_of)
        if current is None or proposed is None:
            raise TierhouseError(f"no policy counts on {rules_of or self.as_of}; see seeds/tier_policy.csv")
        self.current, self.proposed = current, proposed

    def run(self, weeks: int = 0) -> Simulation:
        """This morning's step under the proposal; with `weeks`, also what the last weeks would have been.

        Raises TierhouseError when a table that the proposal needs may not be read.
        """
        base = self.base()
        result = Simulation(self.as_of, self.current, self.proposed, base, [self._today(base)])
        days = self.counted_days(weeks) if weeks else []
        if weeks and len(days) < 2:
            result.notes.append(NO_PAST)
        elif weeks:
            self._past(result, days)
        return result

    def base(self) -> Base:
        """Customers of the day."""
        answer = self._arrays(
            "SELECT customer_id, tier_rank, toInt64(net_amount_90d * 100) AS cents "
            f"FROM {self._settings.database('marts')}.customer_tier_history "
            f"WHERE as_of_date = toDate('{self.as_of}') ORDER BY customer_id"
        )
        ladder = self._query(
            f"SELECT tier FROM {self._settings.database('marts')}.tier_value_contribution "
            f"WHERE as_of_date = toDate('{self.as_of}') ORDER BY tier_rank"
        ).result_rows
        return Base(
            answer["customer_id"], answer["tier_rank"].astype(np.int64), answer["cents"], [row[0] for row in ladder]
        )

    def counted_days(self, weeks: int) -> list[date]:
        """Of each of the ISO weeks that end with the as-of date's the last stored day, up to the as-of date."""
        first = self.as_of - timedelta(days=self.as_of.weekday() + 7 * (weeks - 1))
        last_of = {day - timedelta(days=day.weekday()): day for day in self._days if first <= day <= self.as_of}
        return sorted(last_of.values())

    def customers(self) -> tuple[list[str], list[tuple[object, ...]]]:
        """This morning's row of every customer under the proposal: column names, and rows in the order of customer_id."""
        variant = self._variant(PROPOSED, self.proposed, [self.as_of])
        scores = queries.inputs(self._settings, variant, [self.as_of], with_scores=True)
        states = self._replayed([variant], [self.as_of], Part())
        tiers = "[" + ", ".join(queries.literal(tier) for tier in self.proposed.tiers) + "]"
        named = {
            "tier": "states.tier_rank",
            "candidate_tier": "states.candidate_rank",
            "earned_tier": "states.earned_rank",
            "frequency_tier": "scores.frequency_rank",
            "order_value_tier": "scores.order_value_rank",
            "lifetime_value_tier": "scores.lifetime_value_rank",
            "score_tier": "scores.score_tier_rank",
        }
        answer = self._query(
            "SELECT states.as_of_date AS as_of_date, states.customer_id AS customer_id, states.tier_rank AS tier_rank, "
            f"{', '.join(f'{tiers}[{rank}] AS {name}' for name, rank in named.items())}, "
            "states.tier_since_date AS tier_since_date, states.decision AS decision, states.reason_code AS reason_code, "
            "toString(states.standing) AS standing, toString(states.treatment) AS treatment, states.cap_rank AS cap_rank, "
            "states.override_rank AS override_rank, states.up_count AS up_count, states.down_count AS down_count, "
            "scores.total_score AS total_score, scores.score_rank AS score_rank, scores.score_top_share AS score_top_share, "
            "scores.lifetime_value_top_share AS lifetime_value_top_share, scores.lifetime_value AS lifetime_value "
            f"FROM {states} AS states INNER JOIN ({scores}) AS scores USING (customer_id) ORDER BY customer_id"
        )
        return list(answer.column_names), [tuple(row) for row in answer.result_rows]

    def past_states(self, days: Sequence[date]) -> str:
        """Relation of the proposal's states on past days, one row per customer and day; for comparisons."""
        return self._replayed([self._variant(PROPOSED, self.proposed, days)], days, Part())

    def names(self, customer_ids: Sequence[int]) -> dict[int, tuple[str, object, str]]:
        """Name, account manager and region by customer."""
        if not len(customer_ids):
            return {}
        rows = self._query(
            "SELECT customer_id, customer_name, account_manager_id, toString(region_code) "
            f"FROM {self._settings.database('marts')}.customer_tier_history WHERE as_of_date = toDate('{self.as_of}') "
            f"AND customer_id IN ({', '.join(str(int(one)) for one in customer_ids)})"
        ).result_rows
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def _today(self, base: Base) -> Outcome:
        variant = self._variant(PROPOSED, self.proposed, [self.as_of])
        answer = self._arrays(queries.stepped(self._settings, variant, self.as_of, self._day_before(self.as_of)))
        ranks = _aligned(base, answer["customer_id"], answer["tier_rank"])
        return Outcome("today", base.ranks, ranks, base.tiers, self.proposed.tiers)

    def _past(self, result: Simulation, days: list[date]) -> None:
        base = result.base
        proposed = self._variant(PROPOSED, self.proposed, days)
        as_decided = self._stored_is_current(days)
        current = self._variant(CURRENT, self.current, days)
        parts = max(1, -(-len(base.customer_ids) * len(days) * (1 if as_decided else 2) // _DECISIONS_AT_ONCE))
        ranks = {name: np.zeros(len(base.customer_ids), np.int64) for name in (CURRENT, PROPOSED)}
        rows: list[dict[str, object]] = []
        for number in range(parts):
            part = Part(number, parts)
            replayed = [proposed] if as_decided else [current, proposed]
            histories = [self._replayed(replayed, days, part, tiers_only=True)]
            if as_decided:
                histories.append(queries.stored_history(self._settings, CURRENT, days, part))
            for row in self._query(queries.totals(histories, days)).named_results():
                found = _aligned(
                    base, _array("customer_id", row["last_customer_ids"]), np.asarray(row["last_tier_ranks"])
                )
                ranks[str(row["variant"])] += found
                rows.append(row)
        result.week_count = len(days)
        result.outcomes.append(
            Outcome(f"{len(days)} weeks", ranks[CURRENT], ranks[PROPOSED], self.current.tiers, self.proposed.tiers)
        )
        result.stability = sorted(
            (dict(row) for row in self._query(queries.measures(rows)).named_results()),
            key=lambda row: str(row["variant"]),
        )
        if not as_decided:
            result.notes.append(LIKE_WITH_LIKE)

    def _replayed(self, variants: Sequence[Variant], days: Sequence[date], part: Part, tiers_only: bool = False) -> str:
        inputs = [(variant, queries.inputs(self._settings, variant, days, part)) for variant in variants]
        return queries.replayed(self._settings, inputs, days, self._day_before(days[0]), part, tiers_only)

    def _day_before(self, day: date) -> date | None:
        """The stored day before a day."""
        return max((one for one in self._days if one < day), default=None)

    def _stored_is_current(self, days: Sequence[date]) -> bool:
        """Whether the stored history is what today's rules give on these days: no other rules, no other day between them."""
        others = [day for day in self._days if days[0] < day < days[-1] and day not in days]
        return not others and all(
            rules is not None and rules.policy == self.current.policy and rules.decides_as(self.current)
            for rules in self._rules_of_stored(days)
        )

    def _variant(self, name: str, rules: Rules, days: Sequence[date]) -> Variant:
        """What of the stored numbers of the days holds under the rules: all that the same rules had made then."""
        stored = self._rules_of_stored(days)
        if any(one is None for one in stored):
            return Variant(name, rules, Reuse())
        made = [one for one in stored if one is not None]
        same_scope = all(one.policy_row["percentile_scope"] == rules.policy_row["percentile_scope"] for one in made)
        without_end = "override_days_without_end"
        return Variant(
            name,
            rules,
            Reuse(
                lifetime_share=same_scope,
                behaviour=all(one.has_same(rules, "models") for one in made),
                components=all(one.has_same(rules, "models", "potential") for one in made),
                score_share=same_scope and all(one.has_same(rules, "weights") for one in made),
                caps=all(one.has_same(rules, "gates") and one.tiers == rules.tiers for one in made),
                overrides=all(
                    one.tiers == rules.tiers and one.policy_row[without_end] == rules.policy_row[without_end]
                    for one in made
                ),
            ),
        )

    def _rules_of_stored(self, days: Sequence[date]) -> list[Rules | None]:
        """Rules by which stored days were made; None for a day made by other rows than the published seeds hold for it."""
        missing = [day for day in days if day not in self._made]
        for sample in ("customer_id IN ({few})", "true"):
            if not missing:
                break
            table = f"{self._settings.database('marts')}.customer_tier_history"
            # All rows of a day have one version; those of few customers are read at once. Who was there first is there later.
            few = f"SELECT customer_id FROM {table} WHERE as_of_date = toDate('{missing[0]}') ORDER BY customer_id LIMIT 5"
            versions = self._query(
                f"SELECT as_of_date, any(config_version) FROM {table} "
                f"WHERE as_of_date IN ({queries.days_list(missing)}) AND {sample.format(few=few)} GROUP BY as_of_date"
            ).result_rows
            for day, version in versions:
                is_ours = version == self._config_version(day)
                self._made[day] = rules_on(self.current_seeds, day) if is_ours else None
            missing = [day for day in missing if day not in self._made]
        return [self._made[day] for day in days]

    def _config_version(self, day: date) -> str:
        """Configuration version of a day that is built with the published seeds."""
        key = repr([version_on(self.current_seeds, name, day) for name in CONFIGURATION])
        if key not in self._versions:
            self._versions[key] = self._query(f"SELECT {config_version_sql(self.current_seeds, day)}").result_rows[0][0]
        return self._versions[key]

    def _current_seeds(self) -> Seeds:
        """Seeds as the warehouse was last refreshed with; those of the project where the user may not read them."""
        try:
            return published_seeds(self._client, self._settings, CONFIGURATION)
        except TierhouseError as error:
            if any(word in str(error) for word in _NO_ACCESS):
                return {name: read_seed(PROJECT_DIR / "seeds" / f"{name}.csv") for name in CONFIGURATION}
            raise

    def _query(self, statement: str) -> QueryResult:
        return _ask(self._client, statement)

    def _arrays(self, statement: str) -> dict[str, np.ndarray]:
        answer = _ask(self._client, statement, column_oriented=True)
        columns = answer.result_columns if answer.column_names else []
        return {name: _array(name, column) for name, column in zip(answer.column_names, columns, strict=True)}


def published_seeds(client: Client, settings: Settings, names: Sequence[str] = SEEDS) -> Seeds:
    """Seeds as the warehouse was last refreshed with. Raises TierhouseError where it has none, or they may not be read."""
    seeds: Seeds = {}
    for name in names:
        answer = _ask(client, f"SELECT * FROM {settings.database('seeds')}.{name}")
        seeds[name] = [
            (line, dict(zip(answer.column_names, map(_text, row), strict=True)))
            for line, row in enumerate(answer.result_rows, start=2)
        ]
    return seeds


def stored_days(client: Client, settings: Settings) -> list[date]:
    """Days that the marts keep, oldest first. Raises TierhouseError when there is none."""
    table = f"{settings.database('marts')}.tier_value_contribution"
    try:
        rows = _ask(client, f"SELECT DISTINCT as_of_date FROM {table} ORDER BY as_of_date").result_rows
    except TierhouseError as error:
        if not any(word in str(error) for word in ("UNKNOWN_DATABASE", "UNKNOWN_TABLE")):
            raise
        rows = []
    if not rows:
        raise TierhouseError("no day is stored yet; run `tierhouse refresh` first")
    return [row[0] for row in rows]


def choose_day(days: Sequence[date], as_of: date | None) -> date:
    """The day to simulate, the latest by default. Raises TierhouseError when it is not among the stored `days`."""
    if as_of is None:
        return days[-1]
    if as_of not in days:
        near = max((day for day in days if day < as_of), default=days[0])
        raise TierhouseError(
            f"{as_of} is not a stored day; the nearest one is {near} (stored: {days[0]} to {days[-1]})"
        )
    return as_of


def _ask(client: Client, statement: str, column_oriented: bool = False) -> QueryResult:
    try:
        return client.query(statement, settings=dict(ENGINE_SETTINGS), column_oriented=column_oriented)
    except ClickHouseError as error:
        text = " ".join(str(error).split())
        missing = re.search(r"grant (SELECT\S* ON [\w.]+)", text)
        if missing:
            # The code stays in the line: callers look for it.
            raise TierhouseError(f"this needs the grant {missing[1]}, which the user lacks (ACCESS_DENIED)") from None
        # So it is after an update of the program, until the next refresh.
        is_missing = any(word in text for word in _NOT_MADE)
        what = "something is missing that `tierhouse refresh` makes" if is_missing else "the warehouse cannot answer"
        raise TierhouseError(f"{what}: {text[:1000]}") from None


def _array(name: str, values: Any) -> np.ndarray:
    """The values of a column. Of ids beyond 63 bits beside smaller ones numpy would make floats, which round them."""
    return np.asarray(values, dtype=np.uint64 if name == "customer_id" else None)


def _aligned(base: Base, customer_ids: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Ranks in the order of the base; 0 for its customers that are not among `customer_ids`."""
    found = np.zeros(len(base.customer_ids), np.int64)
    places = np.searchsorted(base.customer_ids, customer_ids)
    places = np.minimum(places, len(base.customer_ids) - 1)
    is_there = base.customer_ids[places] == customer_ids
    found[places[is_there]] = ranks[is_there]
    return found


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)
