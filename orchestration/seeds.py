"""Configuration seeds as Python asks for them; the models have the macro `configured` for it."""

from __future__ import annotations


def rows_in_force(seed: str, day: str) -> str:
    """SQL text of the rows of a seed that count on a day, in brackets: the version with the latest valid_from on or before it.

    seed: database and name; day: an expression. Both are SQL texts, and must not hold what a user typed.
    """
    return f"(SELECT * FROM {seed} WHERE valid_from = (SELECT max(valid_from) FROM {seed} WHERE valid_from <= {day}))"
