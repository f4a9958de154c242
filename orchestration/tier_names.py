"""What people read in place of a tier: the macro tier_names, for tables that Python prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def tier_name(tier: str, label: str, language: str) -> str:
    """The name in `en` or `zh`. Of a label in both, as `gold 黄金`, what follows the tier and a space is the Chinese one."""
    is_both = label.startswith(f"{tier} ")
    if language == "zh":
        return (label.removeprefix(tier).strip(" ") if is_both else label) or tier
    return label if label and label.isascii() and not is_both else tier


def tier_names(ladder: Iterable[Sequence[str]], language: str) -> dict[str, str]:
    """Names by tier. ladder: tiers with their labels."""
    return {tier: tier_name(tier, label, language) for tier, label in ladder}
