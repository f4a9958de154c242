"""What an expectation is, as plain data: suites are lists of these and know nothing of who runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from orchestration.predictive.cutoff import days_before, known
from orchestration.warehouse.settings import Settings

LAYERS = ("landing", "facts", "features", "marts")


@dataclass(frozen=True)
class Expectation:
    """One statement about the rows of a table that must hold.

    kind `rows`: every row satisfies the SQL condition (null counts as satisfied). `whole`: the SQL condition over
    aggregates holds for all rows together. `none`: the SQL query, in which {batch} is the table, returns no row.
    severity `critical` blocks the refresh, `warning` is only recorded.
    """

    name: str
    description: str
    kind: str
    sql: str
    severity: str = "critical"


@dataclass(frozen=True)
class Suite:
    """The expectations of one table. asset: the Dagster asset key; rows: the SELECT that yields the rows to judge."""

    layer: str
    asset: tuple[str, str]
    rows: str
    expectations: list[Expectation] = field(default_factory=list)

    @property
    def table(self) -> str:
        """Name of the table without its database."""
        return self.asset[1]


@dataclass(frozen=True)
class Result:
    """The outcome of one expectation.

    observed_value: what was counted, as text: rows that break the expectation (for `whole` 1 when it does not hold), or
    the engine's message when it could not be evaluated, and then unexpected_count is None.
    """

    layer: str
    asset: tuple[str, str]
    expectation: str
    description: str
    is_success: bool
    observed_value: str
    unexpected_count: int | None
    severity: str

    @property
    def blocks(self) -> bool:
        """Whether the refresh must stop here."""
        return not self.is_success and self.severity == "critical"

    def line(self) -> str:
        """One line for people: which expectation failed, what it says, what was found."""
        count = self.unexpected_count
        if count is None:
            found = self.observed_value
        elif count == 1:
            found = "1 violation"
        else:
            found = f"{count:,} violations"
        return f"{'.'.join(self.asset)}: {self.expectation} failed ({found}): {self.description}"


@dataclass(frozen=True)
class Build:
    """The build to judge: whose warehouse, which day, which build of its snapshot.

    carried: the published build whose measures it keeps, where the tiers of the day were decided again; else empty.
    """

    settings: Settings
    as_of: date
    build_id: str
    carried: str = ""

    def table(self, layer: str, name: str) -> str:
        """Full name of a table."""
        return f"{self.settings.database(layer)}.{name}"

    @property
    def day(self) -> str:
        """The as-of date as SQL."""
        return f"toDate('{self.as_of}')"

    def days_before(self, days: int) -> str:
        """The day that many days before the as-of date, as SQL."""
        return days_before(self.as_of, days)

    @property
    def known(self) -> str:
        """SQL condition: the version of a fact that was known at the cut-off, 00:00 of the next day in the zone."""
        return known(self.settings, self.as_of)


def rows(name: str, description: str, condition: str, severity: str = "critical") -> Expectation:
    """Every row satisfies the condition."""
    return Expectation(name, description, "rows", condition, severity)


def whole(name: str, description: str, condition: str, severity: str = "critical") -> Expectation:
    """The condition over aggregates holds for all rows together."""
    return Expectation(name, description, "whole", condition, severity)


def none(name: str, description: str, query: str, severity: str = "critical") -> Expectation:
    """The query returns no row; {batch} stands for the rows of the suite."""
    return Expectation(name, description, "none", query, severity)
