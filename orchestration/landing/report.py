"""What a landing did, per table: the numbers that must add up, and how they are kept in the journal and the audit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime


@dataclass
class TableReport:
    """Outcome of one table. delivered = landed + already_there + quarantined, also + held_back in a refused batch.

    reasons: refused rows by reason, summing to quarantined. files: relative to the landed folder. seconds: wall time.
    """

    table: str
    files: list[str] = field(default_factory=list)
    delivered: int = 0
    landed: int = 0
    already_there: int = 0
    quarantined: int = 0
    held_back: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def rows_per_second(self) -> float:
        """Delivered rows per second of wall time."""
        return self.delivered / self.seconds if self.seconds > 0 else 0.0


@dataclass
class LandingReport:
    """Outcome of one batch: its id, its load time (`_loaded_at` of all its rows, UTC), its tables in landing order.

    ignored: warnings about files that belong to no table. about_clock: what is odd about the clock, in one line; else empty.
    """

    batch_id: str
    loaded_at: datetime
    status: str = "landed"
    tables: list[TableReport] = field(default_factory=list)
    seconds: float = 0.0
    ignored: list[str] = field(default_factory=list)
    about_clock: str = ""

    @property
    def warnings(self) -> list[str]:
        """What was ignored, in any of the tables and beside them, and what is odd about the clock."""
        of_tables = [warning for table in self.tables for warning in table.warnings]
        return [*of_tables, *self.ignored, *filter(None, [self.about_clock])]

    def to_json(self) -> str:
        """The report as it is kept in the batch journal."""
        return json.dumps(asdict(self) | {"loaded_at": self.loaded_at.isoformat()}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> LandingReport:
        """The report that `to_json` wrote."""
        content = json.loads(text)
        content["loaded_at"] = datetime.fromisoformat(content["loaded_at"])
        content["tables"] = [TableReport(**table) for table in content["tables"]]
        return cls(**content)
