"""Judging a delivered row: SQL that types each value, says why a row is refused, and keeps what was delivered.

Pure functions from the columns of a file to SQL text. A row passes through a table without storage whose materialized
views apply this SQL, so that every file is read once and no row passes through Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from orchestration.landing.contract import UPDATED_AT, Column, Table
from orchestration.landing.tables import quoted

# A line without updated_at takes the ordered_at of its order, which is known only once the orders have been judged.
VERSION_OF_ORDER = "toDateTime64(0, 3, 'UTC')"

# The first moment that lands; before it only the epoch, which stands for none.
FIRST_MOMENT = "toDateTime64('1970-01-02 00:00:00', 3, 'UTC')"

# Beyond this a Decimal(18, 4) overflows on its way through scaled integers.
LARGEST_DECIMAL = 90_000_000_000_000

_INTEGER_MAXIMUM = {"UInt8": 2**8 - 1, "UInt16": 2**16 - 1, "UInt32": 2**32 - 1, "UInt64": 2**64 - 1}
_DATE_PATTERN = r"[1-9]\\d{3}[-/](0?[1-9]|1[0-2])[-/](0?[1-9]|[12]\\d|3[01])"
# The engine's parser accepts 25:00 and 0000-00-00 and guesses day-first dates, so the form is checked before.
_TIME_PATTERN = (
    rf"^{_DATE_PATTERN}([T ]([01]?\\d|2[0-3]):[0-5]?\\d(:[0-5]?\\d(\\.\\d+)?)? ?(Z|[+-]\\d{{2}}(:?\\d{{2}})?)?)?$"
)


@dataclass(frozen=True)
class Delivered:
    """A column of a file. type: the ClickHouse type it is read as. family: text, integer, float (a double),
    single, decimal, boolean, date, naive (a timestamp without a zone, read as if it were UTC) or instant (a timestamp
    with a zone)."""

    name: str
    type: str
    family: str

    @property
    def nullable(self) -> bool:
        """Whether it may hold nulls."""
        return self.type.startswith("Nullable(")


@dataclass(frozen=True)
class Rules:
    """What judging depends on besides the contract: the business zone, the load time, the bound on amounts in CNY."""

    zone: str
    loaded_at: datetime
    amount_limit: int


# What a field holds that its row does not have, and the last line that is sent after a CSV file.
ABSENT = "\x01absent"
END_OF_FILE = "\x01end of file"


@dataclass(frozen=True)
class Fields:
    """The fields of a CSV file, by position: one name per column of the header.

    The engine gives a field that a row does not have its default, which no file holds; so a row that is too short shows
    it in the last field, a blank line in the first one too, and only a row that is too long fills the one after the last.
    """

    names: tuple[str, ...]

    SURPLUS = "_surplus_field"

    @property
    def structure(self) -> str:
        """The columns of the table that the file is read into."""
        marked = f"DEFAULT {quoted(ABSENT)}"
        columns = [
            f"`{name}` Nullable(String) {marked if number in (0, len(self.names) - 1) else ''}"
            for number, name in enumerate(self.names)
        ]
        return ", ".join([*columns, f"`{self.SURPLUS}` String {marked}"])

    @property
    def is_row(self) -> str:
        """Condition of a line that is a row: neither blank nor the one that was sent after the file."""
        return f"(isNull({self._first}) OR {self._first} NOT IN ({quoted(ABSENT)}, {quoted(END_OF_FILE)}))"

    @property
    def is_end(self) -> str:
        """Condition of the line that was sent after the file."""
        return f"ifNull({self._first} = {quoted(END_OF_FILE)}, 0)"

    @property
    def refusals(self) -> tuple[tuple[str, str], ...]:
        """Conditions of rows that are too short or too long, with the reason."""
        return (
            (f"ifNull(source.`{self.names[-1]}` = {quoted(ABSENT)}, 0)", "fewer fields than the header"),
            (f"source.{self.SURPLUS} != {quoted(ABSENT)}", "more fields than the header"),
        )

    @property
    def _first(self) -> str:
        return f"source.`{self.names[0]}`"


@dataclass(frozen=True)
class Judgement:
    """SQL over a file's columns, qualified with `source`. values: landing column -> typed value of a good row.
    texts: landing column -> what was delivered, as Nullable(String). refusals: (condition, reason) pairs; the
    conditions are never null. of_fields: those that come first, and of which one is the only reason, as the values may
    stand in the wrong columns. is_row: condition of what is a row at all. unknown: column -> condition of a delivered day
    that stands for none."""

    values: dict[str, str]
    texts: dict[str, str]
    refusals: tuple[tuple[str, str], ...]
    of_fields: tuple[tuple[str, str], ...] = ()
    is_row: str = ""
    unknown: dict[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> str:
        """Condition of a row that may land."""
        return f"NOT ({self._conditions(' OR ')}){self._and_is_row}"

    @property
    def is_bad(self) -> str:
        """Condition of a row that is refused. As a sum: all conditions are false for nearly all rows, and the engine would
        take an OR for a reason to compute each of them only for rows left over by those before, which costs more."""
        return f"({self._conditions(' + ')}) > 0{self._and_is_row}"

    @property
    def reason(self) -> str:
        """All reasons of a refused row, separated by semicolons."""
        parts = ", ".join(f"if({condition}, {quoted(reason)}, '')" for condition, reason in self.refusals)
        reasons = f"arrayStringConcat(arrayFilter(reason -> reason != '', [{parts}]), '; ')" if parts else "''"
        of_fields = ", ".join(f"{condition}, {quoted(reason)}" for condition, reason in self.of_fields)
        return f"multiIf({of_fields}, {reasons})" if of_fields else reasons

    def _conditions(self, operator: str) -> str:
        return operator.join(f"({condition})" for condition, _ in (*self.of_fields, *self.refusals)) or "0"

    @property
    def _and_is_row(self) -> str:
        return f" AND {self.is_row}" if self.is_row else ""


@dataclass(frozen=True)
class _Typed:
    """A delivered value on its way to a landing type. value: SQL, nullable when missing or unparsable may be null.
    missing and unparsable: conditions, or None where they cannot happen. number: the value before rounding."""

    value: str
    missing: str | None
    unparsable: str | None
    number: str = ""


def judge(table: Table, delivered: Sequence[Delivered], rules: Rules, fields: Fields | None = None) -> Judgement:
    """How rows of a file with these columns become rows of `table`. Columns unknown to the contract are ignored.

    fields: those of a CSV file, which show rows that are too short or too long.
    """
    by_name = {column.name: column for column in delivered}
    values: dict[str, str] = {}
    texts: dict[str, str] = {}
    refusals: list[tuple[str, str]] = []
    numbers: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for column in table.columns:
        source = by_name.get(column.name)
        if source is None:
            texts[column.name] = "CAST(NULL, 'Nullable(String)')"
            values[column.name] = _absent(column)
            continue
        texts[column.name] = _text(source)
        if fields and column.name == fields.names[-1]:
            texts[column.name] = f"nullIf({texts[column.name]}, {quoted(ABSENT)})"
        typed = _typed(column, source, rules)
        if column.may_be_unknown:
            unknown[column.name] = _stands_for_none(column, source)
            typed = _or_unknown(column, typed, unknown[column.name])
        numbers[column.name] = typed.number
        if typed.missing and column.required:
            kind = "key" if column.name in table.key else "value"
            refusals.append((typed.missing, f"missing {kind}: {column.name}"))
        refusals += _rules_of(column, source, typed, rules)
        values[column.name] = _final(column, typed)
    for pair in table.bounded_products:
        first, second = (numbers.get(name) for name in pair)
        if first and second:
            limit = rules.amount_limit
            product = (
                f"toFloat64({first}) * toFloat64({second}) > {limit} AND {first} <= {limit} AND {second} <= {limit}"
            )
            refusals.append((f"ifNull({product}, 0)", f"amount over the bound: {' x '.join(pair)}"))
    values[UPDATED_AT.name] = _version(table, values, by_name, rules)
    of_fields, is_row = (fields.refusals, fields.is_row) if fields else ((), "")
    return Judgement(values, texts, tuple(refusals), of_fields, is_row, unknown)


def _absent(column: Column) -> str:
    if column.nullable:
        return f"CAST(NULL, {quoted(column.full_type)})"
    return _default(column)


def _default(column: Column) -> str:
    literal = quoted(column.default) if isinstance(column.default, str) else str(column.default)
    return f"CAST({literal}, {quoted(column.type)})" if column.kind != "time" else VERSION_OF_ORDER


def _final(column: Column, typed: _Typed) -> str:
    if column.nullable or column.name == UPDATED_AT.name:
        return typed.value
    if typed.missing is None and typed.unparsable is None:
        return typed.value
    if column.required:
        return f"assumeNotNull({typed.value})"
    return f"ifNull({typed.value}, {_default(column)})"


def _version(table: Table, values: dict[str, str], by_name: dict[str, Delivered], rules: Rules) -> str:
    """The version of the row: its updated_at, else its event time, else the load time."""
    loaded_at = instant(rules.loaded_at)
    if table.event_time is None:
        fallback = VERSION_OF_ORDER if table.name == "order_lines" else loaded_at
    elif table.column(table.event_time).kind == "time":
        fallback = values[table.event_time]
        if table.column(table.event_time).may_be_unknown:
            fallback = f"greatest({fallback}, {FIRST_MOMENT})"
    else:
        midnight = f"toTimeZone(toDateTime64({values[table.event_time]}, 3, {quoted(rules.zone)}), 'UTC')"
        fallback = f"least({midnight}, {loaded_at})"
    if table.event_time and table.column(table.event_time).nullable:
        fallback = f"ifNull({fallback}, {loaded_at})"
    if UPDATED_AT.name not in by_name:
        return fallback
    given = values[UPDATED_AT.name]
    source = by_name[UPDATED_AT.name]
    return f"ifNull({given}, {fallback})" if source.nullable or source.family == "text" else given


def instant(moment: datetime) -> str:
    """The moment as a DateTime64(3, 'UTC') literal. moment must carry a zone."""
    return f"toDateTime64('{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 3, 'UTC')"


def _rules_of(column: Column, source: Delivered, typed: _Typed, rules: Rules) -> list[tuple[str, str]]:
    """The refusals of one column besides a missing value; no condition is ever null."""
    maybe_null = typed.missing is not None or typed.unparsable is not None

    def sure(condition: str) -> str:
        return f"ifNull({condition}, 0)" if maybe_null else condition

    refusals = []
    if column.kind == "text" and source.family == "text" and not column.values:
        # Other bytes would land, and stop whoever reads them as text later.
        refusals.append((f"ifNull(NOT isValidUTF8({_column(source)}), 0)", f"not UTF-8 text: {column.name}"))
    if typed.unparsable:
        refusals.append((typed.unparsable, f"unparsable value: {column.name}"))
    if column.values:
        allowed = ", ".join(quoted(value) if isinstance(value, str) else str(value) for value in column.values)
        refusals.append((sure(f"{typed.value} NOT IN ({allowed})"), f"unparsable value: {column.name}"))
    if column.at_most is not None:
        refusals.append((sure(f"{typed.value} > {column.at_most}"), f"unparsable value: {column.name}"))
    if column.kind == "decimal":
        size = f"abs({typed.number})" if column.may_be_negative else typed.number
        if not column.may_be_negative and not source.type.startswith(("UInt", "Nullable(UInt")):
            refusals.append((sure(f"{typed.number} < 0"), f"negative value: {column.name}"))
        if column.bounded:
            condition = f"{size} > {rules.amount_limit}"
            if source.family == "float":
                condition += f" AND NOT isInfinite({typed.number})"
            refusals.append((sure(condition), f"amount over the bound: {column.name}"))
        else:
            refusals.append((sure(f"{size} > {LARGEST_DECIMAL}"), f"unparsable value: {column.name}"))
    if column.kind in ("time", "date") and not column.may_lie_ahead:
        limit = rules.loaded_at + timedelta(days=1)
        local = limit.astimezone(ZoneInfo(rules.zone))
        if column.kind == "date":
            condition = f"{typed.value} > toDate('{local:%Y-%m-%d}')"
        elif source.family == "naive":
            # Compared on the wall clock as delivered: cheaper than the converted value.
            condition = f"{_column(source)} > toDateTime64('{local:%Y-%m-%d %H:%M:%S}', 3, 'UTC')"
        else:
            condition = f"{typed.value} > {instant(limit)}"
        if column.may_be_unknown:
            condition = f"({condition}) AND NOT {_stands_for_none(column, source)}"
        refusals.append((sure(condition), f"date in the future: {column.name}"))
    return refusals


def _column(source: Delivered) -> str:
    return f"source.`{source.name}`"


def _text(source: Delivered) -> str:
    """What was delivered, as text that means the same when it is landed again from CSV."""
    column = _column(source)
    if source.family == "instant":
        column = f"concat(toString({column}), 'Z')"
    elif source.family != "text":
        column = f"toString({column})"
    return f"CAST({column}, 'Nullable(String)')"


def _typed(column: Column, source: Delivered, rules: Rules) -> _Typed:
    if source.family == "text" and column.kind != "text":
        return _from_text(column, f"trimBoth({_column(source)})", rules)
    if source.family == "single" and column.kind != "text":
        text = f"toString({_column(source)})"
        return _from_text(column, f"if({text} = 'nan', NULL, {text})", rules)
    make = {"integer": _integer, "decimal": _decimal, "text": _string, "time": _time, "date": _date}[column.kind]
    return make(column, source, rules)


def _stands_for_none(column: Column, source: Delivered) -> str:
    """Condition of a day that other systems write for none: 1753, 1900, the epoch, 9999. Never null."""
    name = _column(source)
    last_year = 2149 if column.may_lie_ahead else 2099
    if source.family == "text":
        # Compared as text first, which is cheap and false for nearly all.
        text = f"trimBoth({name})"
        outside = f"({text} >= '{last_year}' OR {text} < '1970-01-02')"
        return f"ifNull({text} != '' AND {outside} AND match({text}, '{_TIME_PATTERN}'), 0)"
    zone = "" if source.family == "date" else ", 0, 'UTC'"
    make = "toDate32" if source.family == "date" else "toDateTime64"
    outside = f"{name} < {make}('1970-01-02'{zone}) OR {name} >= {make}('{last_year}-01-01'{zone})"
    return f"ifNull({outside}, 0)"


def _or_unknown(column: Column, typed: _Typed, unknown: str) -> _Typed:
    """The value, or what says that it is unknown: null, or the epoch where the column holds none."""
    value = f"if({unknown}, {'NULL' if column.nullable else VERSION_OF_ORDER}, {typed.value})"
    unparsable = typed.unparsable and f"({typed.unparsable}) AND NOT {unknown}"
    return replace(typed, value=value, unparsable=unparsable)


def _missing(source: Delivered) -> str | None:
    if source.family == "float":
        return f"ifNull(isNaN({_column(source)}), 1)" if source.nullable else f"isNaN({_column(source)})"
    return f"isNull({_column(source)})" if source.nullable else None


def _present(source: Delivered) -> str:
    """The column, with the NaN that pandas and polars write for a missing number turned into null."""
    column = _column(source)
    return f"if(isNaN({column}), NULL, {column})" if source.family == "float" else column


def _integer(column: Column, source: Delivered, rules: Rules) -> _Typed:
    name, missing, maximum = _column(source), _missing(source), _INTEGER_MAXIMUM[column.type]
    if source.family == "decimal":
        # Number columns of other databases arrive as decimals: whole ones are ids.
        value = f"accurateCastOrNull(toString({name}), '{column.type}')"
        return _Typed(value, missing, f"isNull({value}) AND isNotNull({name})")
    checks = []
    if not source.type.removeprefix("Nullable(").startswith(("UInt", "Bool")):
        checks.append(f"{name} < 0")
    if source.family == "float":
        checks += [f"{name} != floor({name})", f"{name} > {min(maximum, 2**53)}"]
    elif not source.type.removeprefix("Nullable(").startswith(("UInt8", "UInt16", "Bool")) and maximum < 2**63:
        checks.append(f"{name} > {maximum}")
    condition = " OR ".join(checks)
    if condition and source.nullable:
        condition = f"ifNull({condition}, 0)"
    convert = f"to{column.type}({_present(source)})"
    if source.family == "float" and missing:
        # Converting an infinite number is undefined even where the row is refused.
        convert = f"to{column.type}(if({condition} OR {missing}, NULL, {name}))"
    return _Typed(convert, missing, condition or None)


def _decimal(column: Column, source: Delivered, rules: Rules) -> _Typed:
    name, missing, scale = _column(source), _missing(source), column.scale
    if source.family in ("integer", "boolean"):
        value = f"reinterpret(toInt64({name}) * {10**scale}, 'Decimal64({scale})')"
        return _Typed(value, missing, None, name)
    if source.type.removeprefix("Nullable(").rstrip(")") == column.type.rstrip(")"):
        return _Typed(name, missing, None, name)
    if source.family == "decimal":
        value = _fitting(name, scale)
        return _Typed(value, missing, f"isNull({value}) AND isNotNull({name})", name)
    # 2.55 is stored as 2.54999…: rounding to four digits more than asked first finds the decimal that was written.
    size = f"abs({name})" if column.may_be_negative else name
    digits = f"toInt64(floor(floor({size} * 1e{scale + 4} + 0.5) / 1e4 + 0.5))"
    if column.may_be_negative:
        digits = f"if({name} < 0, -{digits}, {digits})"
    value = f"reinterpret({digits}, 'Decimal64({scale})')"
    if column.nullable or not column.required:
        value = f"if(isNaN({name}), NULL, {value})"
    infinite = f"isInfinite({name})"
    return _Typed(value, missing, f"ifNull({infinite}, 0)" if source.nullable else infinite, name)


def _fitting(number: str, scale: int) -> str:
    """A wider decimal rounded to the scale; null where it is too large for a decimal of 18 digits.

    A null keeps the value that it hides, which a cast would still convert: so a 0 takes its place.
    """
    is_large = f"abs({number}) > {LARGEST_DECIMAL}"
    rounded = f"round(if({is_large}, 0, {number}), {scale})"
    return f"if({is_large}, NULL, CAST({rounded}, 'Nullable(Decimal(18, {scale}))'))"


def _string(column: Column, source: Delivered, rules: Rules) -> _Typed:
    name = _column(source) if source.family == "text" else f"toString({_column(source)})"
    missing = _missing(source)
    if column.nullable or column.required or column.default:
        # CSV cannot tell an empty text from a missing one, so both mean missing in every format.
        return _Typed(f"nullIf({name}, '')", f"ifNull({name} = '', 1)", None)
    return _Typed(name, missing, None)


def _time(column: Column, source: Delivered, rules: Rules) -> _Typed:
    name, missing, zone = _column(source), _missing(source), quoted(rules.zone)
    if source.family == "naive":
        value, early = _local_to_utc(name, rules.zone), f"{name} < toDateTime64('1970-01-02 00:00:00', 0, 'UTC')"
    elif source.family == "date":
        value = f"toTimeZone(toDateTime64({name}, 3, {zone}), 'UTC')"
        early = f"{name} < toDate('1970-01-02')"
    else:
        value, early = f"toDateTime64({name}, 3, 'UTC')", f"{name} < toDateTime64('1970-01-02 00:00:00', 0, 'UTC')"
    return _Typed(value, missing, f"ifNull({early}, 0)" if source.nullable else early)


def _local_to_utc(name: str, zone: str) -> str:
    """A wall clock that was read as if it were UTC, as the instant it means in the zone.

    The offset is taken at the first estimate of the instant, so that it is right beside a change of clocks. The estimate counts
    from the start of the day, as the engine's parser of texts does: a clock that comes twice, or never, means one instant,
    whether a Parquet or a CSV file holds it.
    """
    midnight = f"toDateTime64(toDate32({name}), 0, {quoted(zone)})"
    estimate = f"{name} - toIntervalSecond(timezoneOffset({midnight}))"
    moment = (
        f"toDateTime64({name} - toIntervalSecond(timezoneOffset(toTimeZone({estimate}, {quoted(zone)}))), 3, 'UTC')"
    )
    return f"{moment} + {_skipped(moment, name, zone)}" if skips_a_midnight(zone) else moment


def _parsed_time(text: str, zone: str) -> str:
    """A text of a time as an instant; null where it is none. Without an offset it is a wall clock of the zone."""
    moment = f"parseDateTime64BestEffortOrNull({text}, 3, {quoted(zone)})"
    if not skips_a_midnight(zone):
        return moment
    wall = f"parseDateTime64BestEffortOrNull({text}, 3, 'UTC')"
    return f"if(match({text}, ':.*[Z+-]'), {moment}, {moment} + {_skipped(moment, wall, zone)})"


def _skipped(moment: str, wall: str, zone: str) -> str:
    """What to add to the moment that was found for a wall clock which the zone skips: the clock went forward meanwhile.

    The engine takes 00:30 of a day that begins at 01:00 for 23:30 of the day before, which is another business date.
    """
    offset = f"timezoneOffset(toTimeZone({moment}, {quoted(zone)}))"
    return f"toIntervalSecond(greatest(dateDiff('second', {moment}, {wall}) - {offset}, 0))"


@cache
def skips_a_midnight(zone: str) -> bool:
    """Whether the clocks of the zone ever go forward at midnight, so that some day begins at 01:00 or, on Lord Howe, at 00:30."""
    clocks, noon, before = ZoneInfo(zone), datetime(1970, 1, 1, 12), None
    while noon.year < 2100:
        offset = noon.replace(tzinfo=clocks).utcoffset()
        midnight = noon.replace(hour=0, tzinfo=clocks)
        # Comparing the offsets of two noons first spares most days the way there and back.
        if before is not None and offset != before and midnight.astimezone(UTC).astimezone(clocks) != midnight:
            return True
        noon, before = noon + timedelta(days=1), offset
    return False


def _date(column: Column, source: Delivered, rules: Rules) -> _Typed:
    name = _column(source)
    day = {"instant": f"toDate32({name}, {quoted(rules.zone)})", "naive": f"toDate32({name}, 'UTC')"}
    return _day(column, day.get(source.family, name), _missing(source))


def _day(column: Column, day: str, missing: str | None) -> _Typed:
    """A Date32 value as a Date; a day past the end of the type means an open end where the column allows one."""
    if column.nullable and column.may_lie_ahead:
        open_end = f"{day} >= toDate32('2149-01-01')"
        value = f"if({open_end}, NULL, toDate({day}))"
        outside = f"{day} < toDate32('1970-01-01')"
    else:
        value = f"toDate({day})"
        outside = f"{day} < toDate32('1970-01-01') OR {day} >= toDate32('2149-01-01')"
    return _Typed(value, missing, outside if missing is None else f"ifNull({outside}, 0)")


def _from_text(column: Column, text: str, rules: Rules) -> _Typed:
    missing = f"ifNull({text} = '', 1)"
    zone = quoted(rules.zone)
    number = ""
    if column.kind == "integer":
        if column.values == (0, 1):
            text = f"transform(lower({text}), ['true', 'false'], ['1', '0'], lower({text}))"
        whole = f"if(match({text}, '^\\\\d+\\\\.0*$'), toUInt64OrNull(extract({text}, '^\\\\d+')), NULL)"
        value = f"coalesce(toUInt64OrNull({text}), {whole})"
        maximum = _INTEGER_MAXIMUM[column.type]
        if maximum < 2**64 - 1:
            value = f"to{column.type}(if({value} > {maximum}, NULL, {value}))"
    elif column.kind == "decimal":
        number = f"toDecimal128OrNull({text}, {column.scale + 8})"
        value = _fitting(number, column.scale)
        # A decimal skips a second point, and takes a sign or a point without a digit for 0; a double does neither.
        unparsable = f"(isNull({number}) OR isNull(toFloat64OrNull({text}))) AND NOT {missing}"
        return _Typed(value, missing, unparsable, number)
    else:
        parsed = f"if(match({text}, '{_TIME_PATTERN}'), {_parsed_time(text, rules.zone)}, NULL)"
        if column.kind == "date":
            typed = _day(column, f"toDate32({parsed}, {zone})", missing)
            unparsable = f"(isNull({parsed}) AND NOT {missing}) OR {typed.unparsable}"
            return _Typed(typed.value, missing, unparsable)
        value = f"toTimeZone({parsed}, 'UTC')"
        early = f"ifNull({value} < toDateTime64('1970-01-02 00:00:00', 0, 'UTC'), 0)"
        return _Typed(value, missing, f"(isNull({value}) AND NOT {missing}) OR {early}")
    return _Typed(value, missing, f"isNull({value}) AND NOT {missing}", number)
