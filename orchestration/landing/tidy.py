"""The second judging: of the rows of a CSV file that were refused, with values as spreadsheets in China save them.

Pure functions to SQL text. A file that needs none of this never comes here. Only what has one meaning is tidied: full-width
digits and signs, blanks of every kind around a value, commas of thousands, the sign of the yuan, days and clocks in Chinese,
with points or in digits alone. Free text stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestration.landing.contract import MONEY, PRICE, Column, Table
from orchestration.landing.judge import ABSENT, Delivered, Fields, Judgement, Rules, judge
from orchestration.landing.tables import quoted

_BLANKS = "\t\r\n\u00a0\u3000\ufeff"
_WIDE = "０１２３４５６７８９．，：／－−＋￥"
_PLAIN = "0123456789.,:/--+¥"

# Patterns, and what takes the place of what they match.
_CHINESE_DAY = (r"^(\d{4})年(\d{1,2})月(\d{1,2})日 *(.*)$", r"\1-\2-\3 \4")
_DAY_WITH_POINTS = (r"^(\d{4})\.(\d{1,2})\.(\d{1,2})( .*)?$", r"\1-\2-\3\4")
# As order systems export them: eight digits, or fourteen with the clock. Of another century they would be a number.
_DAY_OF_DIGITS = (r"^((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([ T].*)?$", r"\1-\2-\3\4")
_MOMENT_OF_DIGITS = (r"^((?:19|20)\d{6})(\d\d)(\d\d)(\d\d)$", r"\1 \2:\3:\4")
_CHINESE_CLOCK = (r"^(\S+) (\d{1,2})时(\d{1,2})分$", r"\1 \2:\3")
_CHINESE_CLOCK_WITH_SECONDS = (r"^(\S+) (\d{1,2})时(\d{1,2})分(\d{1,2})秒$", r"\1 \2:\3:\4")
# In this order: a clock is found behind a day that is plain already, and fourteen digits become eight and a clock first.
_MOMENTS = (
    _CHINESE_DAY,
    _DAY_WITH_POINTS,
    _MOMENT_OF_DIGITS,
    _DAY_OF_DIGITS,
    _CHINESE_CLOCK,
    _CHINESE_CLOCK_WITH_SECONDS,
)
# A digit must remain: a sign of the currency alone is no missing amount.
_YUAN_BEFORE = (r"^([-+]?)¥ *([-+]?\.?\d)", r"\1\2")
_YUAN_AFTER = (r"(\d) *元$", r"\1")

# Either a point or another comma says that a comma is one of thousands; 1,234 alone could be a decimal comma.
_THOUSANDS = r"^[-+]?[1-9]\d{0,2}((,\d{3})+\.\d+|(,\d{3}){2,})$"
_AMBIGUOUS = r"^[-+]?[1-9]\d{0,2},\d{3}$"


def judge_tidied(table: Table, delivered: Sequence[Delivered], rules: Rules, fields: Fields) -> Judgement:
    """How the rows of `tidied_rows` become rows of `table`, or are refused, with the texts that were delivered."""
    judgement = judge(table, delivered, rules, fields)
    texts = {column.name: f"nullIf(source.`{_original(column.name)}`, {quoted(ABSENT)})" for column in delivered}
    ambiguous = [
        (
            f"ifNull(match(source.`{column.name}`, {quoted(_AMBIGUOUS)}), 0)",
            f"comma of thousands or decimals: {column.name}",
        )
        for column in table.columns
        if column.kind in ("integer", "decimal") and column.name in texts
    ]
    is_header = " AND ".join(f"lower(trimBoth(source.`{name}`)) = {quoted(name)}" for name in texts)
    return replace(
        judgement,
        texts=judgement.texts | texts,
        refusals=(*judgement.refusals, *ambiguous),
        of_fields=(*judgement.of_fields, (f"ifNull({is_header}, 0)", "repeated header")),
    )


def tidied_rows(table: Table, delivered: Sequence[Delivered], fields: Fields, rows: str) -> str:
    """Subquery of the rows of a table with the columns of `fields`: tidied, and beside them as delivered; without those
    that hold no value at all."""
    columns = [table.column(column.name) for column in delivered]
    tidied = ", ".join(f"{tidy(column, f'row.`{column.name}`')} AS `{column.name}`" for column in columns)
    originals = ", ".join(f"row.`{column.name}` AS `{_original(column.name)}`" for column in columns)
    return f"(SELECT * REPLACE ({tidied}), {originals} FROM {rows} AS row WHERE NOT ({is_empty(fields)}))"


def is_empty(fields: Fields) -> str:
    """Condition of a row, of a table named `row`, that holds no value, as spreadsheets leave below the last one.

    One with more fields than the header is none of them: the engine does not show all of its fields.
    """
    empty = [f"ifNull({_trimmed(f'row.`{name}`')} IN ('', {quoted(ABSENT)}), 1)" for name in fields.names]
    return " AND ".join([*empty, f"row.{Fields.SURPLUS} = {quoted(ABSENT)}"])


def tidy(column: Column, text: str) -> str:
    """SQL of the text as the first judging reads it; of free text the text itself."""
    if column.kind == "text":
        return _trimmed(text) if column.values else text
    text = _trimmed(text, _WIDE, _PLAIN)
    if column.kind in ("time", "date"):
        for pattern, by in _MOMENTS:
            text = _replaced(text, pattern, by)
        return text
    if column.type in (MONEY, PRICE):
        text = _replaced(_replaced(text, *_YUAN_BEFORE), *_YUAN_AFTER)
    return f"if(match({text}, {quoted(_THOUSANDS)}), replaceAll({text}, ',', ''), {text})"


def _replaced(text: str, pattern: str, by: str) -> str:
    return f"replaceRegexpOne({text}, {quoted(pattern)}, {quoted(by)})"


def _trimmed(text: str, wide: str = "", plain: str = "") -> str:
    """The text without blanks around it, and with characters of `plain` for those of `wide`."""
    return f"trimBoth(translateUTF8({text}, {quoted(_BLANKS + wide)}, {quoted(' ' * len(_BLANKS) + plain)}))"


def _original(name: str) -> str:
    return f"_delivered_{name}"
