"""The SQL macros that need no dbt, rendered with Jinja alone: replays, simulations and tests use the text of the models."""

from __future__ import annotations

from functools import cache
from typing import Any

from orchestration.project import PROJECT_DIR

_FILES = (
    "arithmetic",
    "criteria",
    "scores",
    "tier_machine",
    "tier_stability",
    "labels",
    "levers",
    "lever_criteria",
    "lever_gates",
    "lever_dates",
    "lever_scores",
    "reason_card",
    "tier_reason_text",
)


@cache
def _module() -> Any:
    from jinja2 import Environment, StrictUndefined

    texts = [(PROJECT_DIR / "macros" / f"{name}.sql").read_text(encoding="utf-8") for name in _FILES]
    environment = Environment(extensions=["jinja2.ext.do"], undefined=StrictUndefined)
    return environment.from_string("\n".join(texts)).module


def render(macro: str, *arguments: object, **named: object) -> str:
    """SQL text of a macro of the files above.

    Arguments are SQL texts, or mappings of names to SQL texts, and must not hold what a user typed.
    """
    return str(getattr(_module(), macro)(*arguments, **named))


def macro(name: str) -> Any:
    """A macro itself, as an argument for one that takes macros."""
    return getattr(_module(), name)
