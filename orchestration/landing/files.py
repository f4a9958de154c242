"""Landing a folder of files: which file belongs to which table, what columns it has, and how it is sent.

A file is sent as it is, as the body of one INSERT over HTTP. Python reads only the schema of a Parquet file and the
header of a CSV or JSON file. A CSV file in GB18030 or UTF-16 is recoded on its way. A CSV file is followed by a line that shows
whether the engine came to its end: a quote that is never closed would take the rest of the file for one text.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.landing import text_encoding
from orchestration.landing.contract import REQUIRED_TABLES, TABLES, Table
from orchestration.landing.judge import END_OF_FILE, LARGEST_DECIMAL, Delivered, Fields
from orchestration.landing.pipeline import Progress, land_deliveries
from orchestration.landing.reading import INSERT_SETTINGS, Delivery
from orchestration.landing.report import LandingReport
from orchestration.landing.tables import create_landing_tables, scalar
from orchestration.warehouse.settings import Settings

# What spreadsheets call "Unicode text" is a .txt with tabs; the header tells the separator of any of them.
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
FORMATS = {".parquet": "Parquet", ".jsonl": "JSONEachRow"} | dict.fromkeys(_TEXT_SUFFIXES, "CSVWithNames")
# Suffix -> content encoding, with which the server unpacks the body while it arrives.
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

_LARGE_FILE = 8_000_000
_PIECE = 1 << 18
_WHOLE_DIGITS = len(str(LARGEST_DECIMAL))

_PARQUET_SETTINGS: dict[str, int | str] = {
    "input_format_parquet_allow_missing_columns": 0,
    "input_format_parquet_case_insensitive_column_matching": 1,
}
_CSV_SETTINGS: dict[str, int | str] = {
    # By position, not by name: so that a row shows whether it has as many fields as the header.
    "input_format_with_names_use_header": 0,
    "input_format_csv_allow_variable_number_of_columns": 1,
    "input_format_defaults_for_omitted_fields": 1,
    "input_format_csv_empty_as_default": 0,
    "format_csv_null_representation": r"\N",
}
_SEPARATORS = ",;|\t"
_JSON_SETTINGS: dict[str, int | str] = {
    "input_format_json_read_numbers_as_strings": 1,
    "input_format_json_read_bools_as_strings": 1,
}
_SETTINGS = {"Parquet": _PARQUET_SETTINGS, "CSVWithNames": _CSV_SETTINGS, "JSONEachRow": _JSON_SETTINGS}


def land_directory(
    client: Client, settings: Settings, directory: Path, progress: Progress | None = None
) -> LandingReport:
    """Land a folder that holds one file, or one folder of files, per landing table, as one batch.

    Files: .parquet, .csv (or .tsv, .txt) and .jsonl, all but the first also with .gz or .zst; columns by name in any
    order, of Parquet and CSV also in capitals. Landing the same files twice adds nothing. `progress` is called with one
    line per step. Takes the writer lock.
    Raises TierhouseError, and lands nothing, when the folder, a required table or a required column is missing, a file
    cannot be read, or more than `settings.refusal_limit` of the rows of a table are refused.
    """
    directory = Path(directory)
    files = find_files(directory)
    deliveries = {
        name: [describe(TABLES[name], path, path.relative_to(directory).as_posix()) for path in paths]
        for name, paths in files.items()
    }
    create_landing_tables(client, settings)
    _demand_required_tables(client, settings, directory, deliveries)
    report = land_deliveries(client, settings, deliveries, f"tierhouse land {directory}", progress)
    ignored = ignored_files(directory)
    if ignored:
        report.ignored.append(f"{', '.join(ignored)}: ignored, as no table of the landing contract has this name")
    return report


def find_files(directory: Path) -> dict[str, list[Path]]:
    """The files of each landing table in the folder, sorted by name. Raises TierhouseError for a folder without any."""
    if not directory.is_dir():
        raise TierhouseError(
            f"{directory} is not a folder; give the folder that holds orders.parquet and its neighbours"
        )
    found: dict[str, list[Path]] = {}
    for path in sorted(directory.iterdir()):
        name = path.name.partition(".")[0]
        if name not in TABLES:
            continue
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name[0] not in "._"]
        else:
            inside = [path]
        for file in inside:
            _format_of(file)
        found.setdefault(name, []).extend(inside)
    if not any(found.values()):
        raise TierhouseError(
            f"{directory} holds no file of the landing contract, such as orders.parquet or order_lines.csv.gz"
        )
    return {name: paths for name, paths in found.items() if paths}


def ignored_files(directory: Path) -> list[str]:
    """Names of files and folders beside those of the tables that look like data: most often a table's name misspelled."""
    ignored = []
    for path in sorted(directory.iterdir()):
        # A .txt of another name is mostly a note.
        is_data = path.is_dir() or any(suffix.lower() in FORMATS.keys() - {".txt"} for suffix in path.suffixes)
        if is_data and path.name[0] not in "._" and path.name.partition(".")[0] not in TABLES:
            ignored.append(path.name)
    return ignored


def describe(table: Table, path: Path, label: str) -> Delivery:
    """What a file delivers, from its schema or header alone. label: how people are told about the file.

    Raises TierhouseError when it cannot be read or lacks a required column.
    """
    format, compression = _format_of(path)
    rows = fields = None
    encoding, separator, notes = "utf-8", ",", []
    try:
        if path.stat().st_size == 0:
            raise TierhouseError(f"{label} is empty; deliver at least a header")
        if format == "Parquet":
            rows, names, columns = _parquet_columns(table, path, label)
        else:
            if format == "CSVWithNames":
                with _opened(path, compression) as body:
                    encoding = text_encoding.detect(body.read(text_encoding.SAMPLE_BYTES))
                if encoding != "utf-8":
                    notes.append(f"{label}: read as {encoding.upper()} text")
            names, separator = _header(path, format, compression, table, encoding)
            if format == "CSVWithNames":
                fields = Fields(
                    tuple(name if _in_contract(table, name) else f"_field_{k}" for k, name in enumerate(names))
                )
            columns = [Delivered(name, "Nullable(String)", "text") for name in names if _in_contract(table, name)]
    except UnicodeDecodeError:
        raise TierhouseError(
            f"{label} is neither UTF-8, UTF-16 nor GB18030 text; save it as UTF-8 and land the folder again"
        ) from None
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        raise TierhouseError(f"cannot read {label}: {' '.join(str(error).split())[:300]}") from None
    if not any(names):
        raise TierhouseError(f"{label} is empty; deliver at least a header")
    doubled = sorted({name for name in names if names.count(name) > 1 and (not fields or _in_contract(table, name))})
    if doubled:
        raise TierhouseError(f"{label} has the column {doubled[0]} more than once; name each column once")
    missing = [column.name for column in table.columns if column.required and column.name not in names]
    if missing:
        raise TierhouseError(
            f"{label} lacks the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {_shown(names)}"
        )
    unknown = [name or "''" for name in names if not _in_contract(table, name)]
    if unknown:
        notes.append(f"{label}: ignored unknown column{'s' * (len(unknown) > 1)} {', '.join(unknown)}")
    delivered = tuple(columns)
    sent_compression = compression if encoding == "utf-8" else None
    file_settings = _SETTINGS[format] | (_separated_by(separator) if fields else {})

    def send(client: Client, target: str) -> None:
        client.raw_insert(
            target,
            column_names=[*fields.names, Fields.SURPLUS] if fields else [column.name for column in delivered],
            insert_block=_pieces(
                path, compression, encoding, _packed(f"\n{END_OF_FILE}\n".encode(), sent_compression) if fields else b""
            ),
            fmt=format,
            compression=sent_compression,
            settings=INSERT_SETTINGS | file_settings,
        )

    return Delivery(label, delivered, send, rows, path.stat().st_size > _LARGE_FILE, tuple(notes), fields)


def _separated_by(separator: str) -> dict[str, int | str]:
    """Settings of the engine. It takes a tab only when told so, and then keeps blanks before a value."""
    told = {"input_format_csv_allow_whitespace_or_tab_as_delimiter": 1} if separator == "\t" else {}
    return {"format_csv_delimiter": separator, **told}


def _pieces(path: Path, compression: str | None, encoding: str, tail: bytes) -> Generator[bytes, None, None]:
    """The file in pieces, then the tail: as it is in UTF-8, else unpacked and recoded."""
    with _opened(path, compression if encoding != "utf-8" else None) as file:
        pieces = iter(lambda: file.read(_PIECE), b"")
        try:
            yield from pieces if encoding == "utf-8" else text_encoding.recoded(pieces, encoding)
        except UnicodeDecodeError:
            raise TierhouseError(f"cannot read {path.name}: it ends within a character; save it again") from None
        except OSError as error:
            raise TierhouseError(f"cannot read {path.name}: {error}") from None
    if tail:
        yield tail


def _packed(text: bytes, compression: str | None) -> bytes:
    """The text as one more member of a file that is packed so."""
    if compression == "gzip":
        return gzip.compress(text)
    return zstandard.compress(text) if compression == "zstd" else text


def _shown(names: list[str]) -> str:
    """The header as it was read, in one short line: other separators, capitals and blanks then show themselves."""
    text = " | ".join(" ".join(name.split()) for name in names)
    return repr(text if len(text) <= 200 else text[:199] + "…")


def _demand_required_tables(
    client: Client, settings: Settings, directory: Path, deliveries: dict[str, list[Delivery]]
) -> None:
    """Orders and their lines come together; a folder with neither may add to a warehouse that has them."""
    absent = [name for name in REQUIRED_TABLES if name not in deliveries]
    if len(absent) == len(REQUIRED_TABLES):
        landing = settings.database("landing")
        absent = [name for name in absent if not scalar(client, f"SELECT count() FROM {landing}.{name}")]
    if absent:
        raise TierhouseError(
            f"{directory} lacks the required table {absent[0]}; add {absent[0]}.parquet or {absent[0]}.csv"
        )


def _in_contract(table: Table, name: str) -> bool:
    return any(column.name == name for column in table.columns)


def _format_of(path: Path) -> tuple[str, str | None]:
    """(ClickHouse format, content encoding or None) of a file by its name. Raises TierhouseError for another name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    stem = suffixes[:-1] if compression else suffixes
    format = FORMATS.get(stem[-1]) if stem else None
    if format is None or (format == "Parquet" and compression):
        if suffixes and suffixes[-1] in (".xlsx", ".xls", ".et"):
            raise TierhouseError(
                f"{path} is a workbook; save each of its sheets as CSV UTF-8 under a table's name, such as orders.csv, and move it away"
            )
        raise TierhouseError(
            f"{path} is neither .parquet, .csv, .tsv, .txt nor .jsonl (all but .parquet also .gz or .zst); move it away or convert it"
        )
    return format, compression


def _parquet_columns(table: Table, path: Path, label: str) -> tuple[int, list[str], list[Delivered]]:
    """Row count, names of all columns, and the contract columns with the types they are read as."""
    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
        nulls = _columns_with_nulls(metadata)
    # Several systems write names in capitals; the engine finds them as well.
    names = [name.lower() if _in_contract(table, name.lower()) else name for name in schema.names]
    columns = []
    for name, field in zip(names, schema, strict=True):
        if not _in_contract(table, name) or pa.types.is_null(field.type):
            continue
        type_and_family = _parquet_type(field.type)
        if type_and_family is None:
            raise TierhouseError(
                f"{label}: the column {field.name} is of type {field.type}; write it as a plain column"
            )
        column = table.column(name)
        type, family = type_and_family
        if not _fits(column.kind, family):
            raise TierhouseError(
                f"{label}: the column {field.name} is of type {field.type} where the contract wants a {column.kind}"
            )
        is_nullable = field.nullable and field.name in nulls
        columns.append(Delivered(name, f"Nullable({type})" if is_nullable else type, family))
    # A column of type null is there, but holds nothing: it is read as missing values, refused where one is needed.
    empty = [
        name
        for name, field in zip(names, schema, strict=True)
        if pa.types.is_null(field.type) and _in_contract(table, name)
    ]
    columns += [Delivered(name, "Nullable(String)", "text") for name in empty]
    return metadata.num_rows, names, columns


def _columns_with_nulls(metadata: pq.FileMetaData) -> set[str]:
    """Columns that hold nulls, or whose statistics do not rule it out; the others are read without null maps."""
    nulls = set()
    for group in range(metadata.num_row_groups):
        for position in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(position)
            statistics = chunk.statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                nulls.add(chunk.path_in_schema.partition(".")[0])
    return nulls


def _parquet_type(type: pa.DataType) -> tuple[str, str] | None:
    """(ClickHouse type, family) that a Parquet column is read as; None for nested and unknown types."""
    kinds = pa.types
    if kinds.is_dictionary(type):
        return _parquet_type(type.value_type)
    if kinds.is_boolean(type):
        return "Bool", "boolean"
    if kinds.is_integer(type):
        return f"{'UInt' if kinds.is_unsigned_integer(type) else 'Int'}{type.bit_width}", "integer"
    if kinds.is_float64(type):
        return "Float64", "float"
    if kinds.is_floating(type):
        # The shortest text of a single is the number that was meant; widening it would show its binary tail.
        return "Float32", "single"
    if kinds.is_decimal(type):
        # Wide enough for every bound it is compared with: decimal(7, 2), say, has no room for a hundred million.
        return f"Decimal({max(type.precision, type.scale + _WHOLE_DIGITS)}, {type.scale})", "decimal"
    if kinds.is_date(type):
        return "Date32", "date"
    if kinds.is_timestamp(type):
        digits = {"s": 3, "ms": 3, "us": 6, "ns": 9}[type.unit]
        return f"DateTime64({digits}, 'UTC')", "instant" if type.tz else "naive"
    if kinds.is_string(type) or kinds.is_large_string(type) or kinds.is_string_view(type):
        return "String", "text"
    if kinds.is_binary(type) or kinds.is_large_binary(type):
        return "String", "text"
    return None


def _fits(kind: str, family: str) -> bool:
    if family == "text" or kind == "text":
        return True
    is_number = family in ("integer", "float", "single", "decimal", "boolean")
    return is_number if kind in ("integer", "decimal") else not is_number


def _header(path: Path, format: str, compression: str | None, table: Table, encoding: str) -> tuple[list[str], str]:
    """Column names and the separator: of a CSV file the first line, by the separator that finds most columns of the contract;
    of a JSON file the keys of the first object, and all of the contract since later objects may hold more."""
    if format == "CSVWithNames":
        _demand_line_feeds(path, compression, encoding)
        readings = [(_first_row(path, compression, encoding, separator), separator) for separator in _SEPARATORS]
        return max(readings, key=lambda reading: sum(_in_contract(table, name) for name in reading[0]))
    with _opened(path, compression) as body:
        first = json.loads(io.TextIOWrapper(body, encoding="utf-8-sig").readline() or "{}")
    return [*first, *(column.name for column in table.columns if column.name not in first)], ""


def _first_row(path: Path, compression: str | None, encoding: str, separator: str) -> list[str]:
    with _opened(path, compression) as body:
        text = io.TextIOWrapper(body, encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")
        return [name.strip().lower() for name in next(csv.reader(text, delimiter=separator), [])]


def _demand_line_feeds(path: Path, compression: str | None, encoding: str) -> None:
    """Raise ValueError for a CSV file whose lines end with a carriage return alone: the engine takes all of it for the
    header, and would find no row."""
    with _opened(path, compression) as body:
        start = body.read(_PIECE).decode(encoding, "ignore")
    if "\r" in start.rstrip("\r") and "\n" not in start:
        raise ValueError(
            "its lines end with a carriage return alone; save it with line feeds and land the folder again"
        )


def _opened(path: Path, compression: str | None) -> pa.NativeFile:
    """The unpacked file, also of several packed members; reading raises OSError where a packed one is cut off."""
    return pa.input_stream(str(path), compression=compression)
