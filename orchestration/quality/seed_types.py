"""What the table of a seed can hold: a value that the engine would refuse, or read as another one, is named before it is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache

from orchestration.errors import TierhouseError
from orchestration.project import PROJECT_DIR

_INTEGERS = {"UInt8": 2**8, "UInt16": 2**16, "UInt32": 2**32}
# As the engine reads them: neither digits of other scripts nor 50_000, which Python takes.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What a column of type Date holds; a day beyond would become the first or the last of them.
_FIRST_DAY, _LAST_DAY = "1970-01-01", "2149-06-06"


@cache
def column_types(seed: str) -> dict[str, str]:
    """Type of each column of a seed, in the order of its table."""
    import yaml  # type: ignore[import-untyped]

    for path in sorted((PROJECT_DIR / "seeds").glob("*_seeds.yml")):
        for node in yaml.safe_load(path.read_text(encoding="utf-8"))["seeds"]:
            if node["name"] == seed:
                return dict(node["config"]["column_types"])
    raise KeyError(seed)


def check_types(seeds: Mapping[str, Sequence[tuple[int, Mapping[str, str]]]], names: Iterable[str]) -> None:
    """Raises TierhouseError for the first value of these seeds that its column cannot hold as it is written. `comment` may be left out."""
    for seed in names:
        for line, row in seeds[seed]:
            for column, kind in column_types(seed).items():
                value = row.get(column, "" if column == "comment" else None)
                if value is None:
                    raise TierhouseError(f"seed {seed}.csv, line {line}: there is no {column}")
                fault = type_fault(kind, value)
                if fault:
                    raise TierhouseError(f"seed {seed}.csv, line {line}: {column} is `{value}`, must be {fault}")


def type_fault(kind: str, value: str) -> str:
    """What a value of a column of this type must be, where it is not."""
    if kind in _INTEGERS:
        is_whole = value.isascii() and value.isdigit() and int(value) < _INTEGERS[kind]
        return "" if is_whole else f"a whole number from 0 to {_INTEGERS[kind] - 1}"
    if kind == "Float64" or kind.startswith("Decimal"):
        if not _NUMBER.fullmatch(value):
            return "a number"
        exponent = Decimal(value).normalize().as_tuple().exponent
        if kind.startswith("Decimal") and isinstance(exponent, int) and exponent < -2:
            return "a number with at most 2 decimals"
    return ""


def day_fault(value: str) -> str:
    """What a day must be, where it is not one as written here, or beyond what is kept. Versions are compared as texts, too."""
    try:
        date.fromisoformat(value if _DAY.fullmatch(value) else "")
    except ValueError:
        return "a date like 2026-01-31"
    return "" if _FIRST_DAY <= value <= _LAST_DAY else f"a date from {_FIRST_DAY} to {_LAST_DAY}"
