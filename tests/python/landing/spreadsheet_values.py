"""What texts of a spreadsheet mean, a second time: character by character, without the patterns of the warehouse."""

from __future__ import annotations

import unicodedata
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

_DIGITS = "0123456789"


def plain(text: str) -> str:
    """The text in narrow characters without blanks around it."""
    narrow = unicodedata.normalize("NFKC", text.replace("−", "-").replace("\ufeff", " "))
    return "".join(" " if character.isspace() else character for character in narrow).strip(" ")


def amount(text: str) -> Decimal | None:
    """Yuan, rounded to two decimals; None where the text has no single meaning. The text holds a digit."""
    rest, signs = plain(text), ""
    if rest.endswith("元"):
        rest = rest[:-1].rstrip(" ")
        if not rest or rest[-1] not in _DIGITS:
            return None
    if rest[:1] in ("+", "-"):
        signs, rest = rest[0], rest[1:]
    if rest.startswith("¥"):
        rest = rest[1:].lstrip(" ")
        if rest[:1] in ("+", "-"):
            signs, rest = signs + rest[0], rest[1:]
    if len(signs) > 1:
        return None
    size = number(rest)
    return None if size is None else (-size if signs == "-" else size).quantize(Decimal("0.01"), ROUND_HALF_UP)


def number(text: str) -> Decimal | None:
    """A number without a sign, of plain characters."""
    whole, *fractions = text.split(".")
    if len(fractions) > 1 or set("".join(fractions)) - set(_DIGITS):
        return None
    first, *groups = whole.split(",")
    if set(first) - set(_DIGITS) or any(len(group) != 3 or set(group) - set(_DIGITS) for group in groups):
        return None
    if groups:
        has_point = bool(fractions) and fractions[0] != ""
        if not (has_point or (len(groups) > 1 and not fractions)) or len(first) not in (1, 2, 3) or first[0] == "0":
            return None
    return Decimal(f"{first or '0'}{''.join(groups)}.{''.join(fractions) or '0'}")


def may_be_a_decimal_comma(text: str) -> bool:
    """Whether an amount is of the form 1,234."""
    rest = "".join(character for character in plain(text) if character not in "¥元+- ")
    first, _, last = rest.partition(",")
    is_both = len(last) == 3 and len(first) in (1, 2, 3) and set(first + last) <= set(_DIGITS) and first[0] != "0"
    without = plain(text).replace(",", "")
    return is_both and amount(without) is not None


def day(text: str) -> date | None:
    """The day, of a text that begins with a year; None where it is none. A clock after it is not looked at but for its
    place: those of `CLOCKS` are true."""
    rest = plain(text)
    digits, after = _leading_digits(rest)
    if len(digits) in (8, 14) and digits[:2] in ("19", "20"):
        clock = f" {digits[8:10]}:{digits[10:12]}:{digits[12:]}" if digits[8:] else ""
        if clock and after:
            return None
        rest = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}{clock}{after}"
    year, rest = _leading_digits(rest)
    first, rest = rest[:1], rest[1:]
    month, rest = _leading_digits(rest)
    second, rest = rest[:1], rest[1:]
    of_month, rest = _leading_digits(rest)
    if (first, second) == ("年", "月"):
        if not rest.startswith("日"):
            return None
        rest = rest[1:].lstrip(" ")
    elif first == second and first in (".", "-", "/"):
        if rest and (rest[0] not in (" ", "T") or (first == "." and rest[0] == "T")):
            return None
        is_iso, rest = rest.startswith("T"), rest[1:]
        if rest.startswith(" ") or (is_iso and "时" in rest):
            return None
    else:
        return None
    if rest not in ("", *CLOCKS) or len(year) != 4 or len(month) not in (1, 2) or len(of_month) not in (1, 2):
        return None
    try:
        return date(int(year), int(month), int(of_month))
    except ValueError:
        return None


CLOCKS = ("05:30:00", "5:30", "23:59:59.5", "5时30分", "05时30分09秒")


def _leading_digits(text: str) -> tuple[str, str]:
    count = next((position for position, character in enumerate(text) if character not in _DIGITS), len(text))
    return text[:count], text[count:]
