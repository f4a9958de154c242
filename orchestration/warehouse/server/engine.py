"""The engine in this process: its configuration, its handles, and the two ways to get rows out of it piece by piece."""

import contextlib
import os
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import chdb  # noqa: F401  (loads the engine's library that _chdb needs)
from chdb import _chdb as _untyped

from orchestration.warehouse.server.accounts import OWNER, READER
from orchestration.warehouse.server.errors import ServerError, from_engine
from orchestration.warehouse.server.guard import NEVER_ZERO, NOT_FOR_CLIENTS

_chdb: Any = _untyped
# A setting nothing here uses; it carries the client's query_id into the engine's process list and query log, because
# the engine in process picks its own ids. (log_comment would do, but belongs to the clients.)
QUERY_ID_SETTING = "promql_table"
# Where the engine puts the overlay that answers table names with files of the disk; dropped as soon as it exists.
_OVERLAY = "_files_of_the_disk"
READER_ROLE = "warehouse_reader"
# Taken on for as long as the data that a request brings along become temporary tables, for which a server asks no rights.
_LOADER_ROLE = "warehouse_loader"
_OWNER_ROLE = "warehouse_owner"
_QUERY_LOG_TABLE = "engine_query_log"
# Tables of `system` that show what others ask; without a row policy every role could read them.
_OWNERS_TABLES = (_QUERY_LOG_TABLE, "session_log", "opentelemetry_span_log", "processes")
# The lines of that setting: the client's query id, what tells the query from others of that id, the name of its user.
_MARK = f"Settings['{QUERY_ID_SETTING}']"
ID_AS_ASKED = f"if({_MARK} = '', query_id, substringIndex({_MARK}, char(10), 1))"
USER_AS_ASKED = f"if({_MARK} = '', user, splitByChar(char(10), {_MARK})[3])"
# A statement without the clauses that this layer puts into it for its data and rows, which would show a path of the server,
# and with the functions and the table again for which it put values and a query there.
_FROM_BODY = r" FROM INFILE \'[^\']*/bodies/[^\']*\' "
_VALUE = r"$$/\*asked\*/\('(?:[^'\\]|\\.)*' AS `(\w+\(\))`\)$$"
_PROCESSES = r"$$(?s)/\*processes\*/.*?/\*asked\*/$$"
QUERY_AS_ASKED = (
    f"replaceRegexpOne(replaceRegexpOne(replaceRegexpAll(replaceRegexpAll(query, {_PROCESSES}, 'system.processes'),"
    f" {_VALUE}, $$\\1$$), '{_FROM_BODY}FORMAT Values$', 'VALUES'),"
    rf" '{_FROM_BODY}|\nINTO OUTFILE \'/dev/fd/[0-9]+\' APPEND (/\\*added\\*/FORMAT \\w+$)?', '')"
)
AS_ASKED = f"""{ID_AS_ASKED} AS query_id, if(is_initial_query, {ID_AS_ASKED}, initial_query_id) AS initial_query_id,
    {USER_AS_ASKED} AS user, if(is_initial_query, {USER_AS_ASKED}, initial_user) AS initial_user, {QUERY_AS_ASKED} AS query,
    mapFilter((name, value) -> name != '{QUERY_ID_SETTING}', Settings) AS Settings"""
# Begins a statement that this layer runs beside those of clients, of which the log holds nothing.
UNLOGGED = f"/* `{QUERY_ID_SETTING}` */ ".encode()
# The log as clients expect it: with their own ids and names, without the setting that carried them and the statements that
# set it.
_QUERY_LOG_VIEW = f"""CREATE OR REPLACE VIEW system.query_log SQL SECURITY INVOKER AS SELECT * REPLACE ({AS_ASKED})
    FROM system.{_QUERY_LOG_TABLE} WHERE position(query, '`{QUERY_ID_SETTING}`') = 0""".encode()
_LOGGED_BYTES = 100_000
_SESSION_LOG = f"""CREATE TABLE IF NOT EXISTS system.session_log (
    type LowCardinality(String), session_id String, event_date Date DEFAULT today(), event_time DateTime DEFAULT now(),
    user Nullable(String), interface LowCardinality(String) DEFAULT 'HTTP'
) ENGINE = Memory SETTINGS max_rows_to_keep = {100_000}""".encode()
_SPAN_LOG = f"""CREATE TABLE IF NOT EXISTS system.opentelemetry_span_log (
    hostname LowCardinality(String) DEFAULT hostName(), trace_id UUID, span_id UInt64, parent_span_id UInt64,
    operation_name LowCardinality(String), kind Enum8('INTERNAL' = 0, 'SERVER' = 1, 'CLIENT' = 2, 'PRODUCER' = 3, 'CONSUMER' = 4),
    start_time_us UInt64, finish_time_us UInt64, finish_date Date DEFAULT today(),
    attribute Map(LowCardinality(String), String),
    `attribute.names` Array(LowCardinality(String)) ALIAS mapKeys(attribute),
    `attribute.values` Array(String) ALIAS mapValues(attribute)
) ENGINE = Memory SETTINGS max_rows_to_keep = {100_000}""".encode()
# What monitoring asks for first, of the metrics that a server measures in the background and the engine in process does not.
_METRICS_VIEW = b"""CREATE OR REPLACE VIEW system.asynchronous_metrics SQL SECURITY INVOKER AS
    SELECT 'Uptime' AS metric, toFloat64(uptime()) AS value, 'Seconds since the server started.' AS description
    UNION ALL SELECT 'NumberOfDatabases', count(), 'Databases.' FROM system.databases
    UNION ALL SELECT 'NumberOfTables', count(), 'Tables of all databases.' FROM system.tables
    UNION ALL SELECT 'TotalPartsOfMergeTreeTables', count(), 'Active parts.' FROM system.parts WHERE active
    UNION ALL SELECT 'TotalRowsOfMergeTreeTables', sum(rows), 'Rows in active parts.' FROM system.parts WHERE active
    UNION ALL SELECT 'TotalBytesOfMergeTreeTables', sum(bytes_on_disk), 'Bytes of active parts.' FROM system.parts WHERE active
    UNION ALL SELECT 'MaxPartCountForPartition', max(parts), 'Most active parts of a partition.' FROM (
        SELECT count() AS parts FROM system.parts WHERE active GROUP BY database, table, partition_id)
    UNION ALL SELECT concat('DiskTotal_', name), total_space, 'Bytes of the disk.' FROM system.disks
    UNION ALL SELECT concat('DiskAvailable_', name), free_space, 'Free bytes of the disk.' FROM system.disks"""
# Defaults of a server rather than of a local tool.
_HANDLE_SETTINGS = {"implicit_select": "0", "allow_introspection_functions": "0"}


@dataclass
class Progress:
    """What a query has read and written so far, in rows and bytes."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0

    def add(self, result, is_insert: bool = False) -> None:
        """Take over the counters of an engine result; those of a stream's pieces are per piece."""
        self.read_rows += result.storage_rows_read()
        self.read_bytes += result.storage_bytes_read()
        self.written_rows += result.rows_written()
        self.written_bytes += result.bytes_written()
        self.result_rows += 0 if is_insert else result.rows_read()


class Handle:
    """One connection to the engine with its own current database, settings and temporary tables. Not for two threads at
    once. Every method raises ServerError."""

    def __init__(self, connection):
        self._connection = connection

    def close(self) -> None:
        """Let go of the handle, its settings and its temporary tables."""
        self._connection.close()

    def query(self, sql: bytes, output_format: str = "TSV", parameters: dict[str, str] | None = None, hidden=()):
        """Run one statement to its end; the result object holds rows and counters."""
        try:
            return self._connection.query(sql, output_format, params=parameters or {})
        except (RuntimeError, UnicodeDecodeError, ValueError) as error:
            raise from_engine(error, hidden) from None

    def value(self, sql: bytes, parameters: dict[str, str] | None = None) -> str:
        """The only value of a query, raw."""
        return self.query(sql, "TSVRaw", parameters).bytes().removesuffix(b"\n").decode("utf-8", "replace")

    def set(self, settings: dict[str, str]) -> None:
        """Change settings for everything this handle runs from now on."""
        if settings:
            clauses = [f"`{name}` = {quote(value)}" for name, value in settings.items()]
            self.query(UNLOGGED + ("SET " + ", ".join(clauses)).encode("utf-8", "surrogateescape"))

    def use(self, database: str) -> None:
        """Change the current database."""
        self.query(f"USE {quote_identifier(database)}".encode("utf-8", "surrogateescape"))

    def blocks(self, sql: bytes, output_format: str, parameters: dict[str, str], progress: Progress) -> Iterator[bytes]:
        """Rows of a SELECT as they are made, block by block; only for formats whose pieces simply join."""
        try:
            stream = self._connection.send_query(sql, output_format, params=parameters)
        except (RuntimeError, UnicodeDecodeError, ValueError) as error:
            raise from_engine(error) from None
        done = False
        try:
            while True:
                try:
                    piece = self._connection.streaming_fetch_result(stream)
                except (RuntimeError, UnicodeDecodeError) as error:
                    done = True
                    raise from_engine(error) from None
                if piece is None:
                    break
                progress.add(piece)
                data = piece.bytes()
                if piece.rows_read() == 0 and not data:
                    break
                # A block may be large and its reader slow: it is kept once, not twice.
                del piece
                if data:
                    yield data
                # Nor is it kept while the next one is made, or by the traceback of an error that comes instead.
                del data
            done = True
        finally:
            if not done:
                with contextlib.suppress(RuntimeError):
                    self._connection.streaming_cancel_query(stream)

    def piped(self, sql: bytes, output_format: str, parameters: dict[str, str], progress: Progress) -> Iterator[bytes]:
        """What a statement with INTO OUTFILE writes, in any format, in pieces of up to a megabyte while it runs.
        `sql` holds the clause with the name of the file still to be filled in, as b"%(path)s"."""
        reading, writing = os.pipe()
        path = f"/dev/fd/{writing}".encode()
        failures: list[ServerError] = []

        def run() -> None:
            try:
                progress.add(self.query(sql.replace(b"%(path)s", path, 1), output_format, parameters))
            except ServerError as error:
                failures.append(error)
            finally:
                os.close(writing)

        runner = threading.Thread(target=run, name="piped-query")
        runner.start()
        try:
            while data := os.read(reading, 1 << 20):
                yield data
        finally:
            os.close(reading)
            runner.join()
        if failures:
            raise failures[0]

    def classify(self, sql: bytes) -> tuple[str, int]:
        """The class of a statement as the parser sees it (READ_ONLY, MUTATING, CONTROL, ...) and how many there are;
        UNKNOWN and 0 where it does not parse."""
        try:
            found = self._connection.classify_query(sql)
        except (RuntimeError, UnicodeDecodeError, ValueError, TypeError) as error:
            raise from_engine(error) from None
        return found["query_class"].name, found["statement_count"]


class Engine:
    """The one engine of the process, on the data folder below `folder`."""

    def __init__(self, folder: Path, memory_bytes: int, readable_databases: tuple[str, ...] = ()):
        """Start the engine. `readable_databases` are what handles for readers see. Raises ServerError."""
        self.folder = folder
        data = folder / "data"
        _prepare_default_database(data)
        _write_private(folder / "users.xml", _users(readable_databases))
        _write_private(folder / "config.xml", _configuration(folder, memory_bytes))
        self._address = f"file:{data}?config-file={folder / 'config.xml'}"
        _chdb.set_signal_handlers_enabled(0)
        self._doomed: list[str] = []
        self._doomed_lock, self._killing = threading.Lock(), threading.Lock()
        # The engine lives as long as a handle is open, and a connection string is read by the first one only.
        self._keeper = self._connect()
        self._keeper.query(f"DROP DATABASE IF EXISTS {_OVERLAY}".encode())
        # The log's table exists once something is in it.
        self._keeper.query(b"SYSTEM FLUSH LOGS")
        self._keeper.query(_QUERY_LOG_VIEW)
        self._keeper.query(_METRICS_VIEW)
        self._keeper.query(_SESSION_LOG)
        self._keeper.query(_SPAN_LOG)
        self.version = self._keeper.value(b"SELECT version()")
        self.timezone = self._keeper.value(b"SELECT timezone()")

    def open(self, rights: str = OWNER) -> Handle:
        """A fresh handle: default database, default settings, no temporary tables. Costs about a millisecond. For READER
        the engine grants it nothing but SELECT on the readable databases, for NOBODY nothing at all."""
        handle = self._connect()
        if rights != OWNER:
            handle.query(f"SET ROLE {_role(rights)}".encode())
        return handle

    @contextlib.contextmanager
    def loading(self, handle: Handle, rights: str) -> Iterator[None]:
        """Let a handle that was opened for READER or NOBODY make temporary tables."""
        if rights == OWNER:
            yield
            return
        own = _role(rights)
        handle.query((f"SET ROLE {own}, {_LOADER_ROLE}" if rights == READER else f"SET ROLE {_LOADER_ROLE}").encode())
        try:
            yield
        finally:
            handle.query(f"SET ROLE {own}".encode())

    def has_database(self, name: str) -> bool:
        """Whether there is a database of this name, whoever may see it."""
        handle = self._connect()
        try:
            sql = b"SELECT count() FROM system.databases WHERE name = {name:String}"
            return handle.value(UNLOGGED + sql, {"name": escape_parameter(name)}) == "1"
        finally:
            handle.close()

    def kill(self, query_mark: str) -> None:
        """End the query that carries this mark (see QUERY_ID_SETTING), if it still runs. Does not wait for its end. Of many at
        once, as when clients go away together, the first ends all the others' queries with its own."""
        with self._doomed_lock:
            self._doomed.append(query_mark)
        with self._killing:
            with self._doomed_lock:
                marks, self._doomed = self._doomed, []
            if not marks:
                return
            handle = self._connect()
            try:
                where = f"has({{marks:Array(String)}}, Settings['{QUERY_ID_SETTING}'])"
                with contextlib.suppress(ServerError):
                    handle.query(
                        f"KILL QUERY WHERE {where} ASYNC".encode(), parameters={"marks": array_parameter(marks)}
                    )
            finally:
                handle.close()

    def progress(self, query_mark: str) -> dict[str, str] | None:
        """What the query that carries this mark has read and written up to now; None when it does not run."""
        names = {
            "read_rows": "read_rows",
            "read_bytes": "read_bytes",
            "written_rows": "written_rows",
            "written_bytes": "written_bytes",
            "total_rows_to_read": "total_rows_approx",
            "elapsed_ns": "toUInt64(elapsed * 1e9)",
        }
        handle = self._connect()
        try:
            sql = f"SELECT {', '.join(names.values())} FROM system.processes WHERE Settings['{QUERY_ID_SETTING}'] = "
            found = handle.value(sql.encode() + b"{mark:String}", {"mark": escape_parameter(query_mark)})
        except ServerError:
            return None
        finally:
            handle.close()
        return dict(zip(names, found.split("\t"), strict=True)) if found else None

    def log_session(self, user: str, session_id: str) -> None:
        """Write a new session of a client into system.session_log; the engine itself knows none."""
        self._log(
            "session_log",
            {"type": "'LoginSuccess'", "session_id": "{id:String}", "user": "{user:String}"},
            id=session_id,
            user=user,
        )

    def log_unparsed(self, user: str, query_id: str, query: str, error: ServerError) -> None:
        """Write a statement that does not parse into the query log; the engine itself logs what it has parsed."""
        now, name, own_id = "now64(6)", "{user:String}", "{id:String}"
        values = {
            "hostname": "hostName()",
            "type": "'ExceptionBeforeStart'",
            "event_date": "today()",
            "event_time": "now()",
            "event_time_microseconds": now,
            "query_start_time": "now()",
            "query_start_time_microseconds": now,
            "query": "{query:String}",
            "exception_code": str(error.code),
            "exception": "{exception:String}",
            "is_initial_query": "1",
            "user": name,
            "initial_user": name,
            "query_id": own_id,
            "initial_query_id": own_id,
            "interface": "'HTTP'",
        }
        exception = error.text(self.version).rstrip()
        self._log(_QUERY_LOG_TABLE, values, user=user, id=query_id, query=query[:_LOGGED_BYTES], exception=exception)

    def log_span(self, trace_id: str, parent: str, seconds: float, attributes: dict[str, str]) -> None:
        """Write a query that was part of a client's trace, and has just ended, into system.opentelemetry_span_log."""
        values = {
            "trace_id": "toUUID({trace:String})",
            "span_id": "rand64()",
            "parent_span_id": "reinterpretAsUInt64(reverse(unhex({parent:String})))",
            "operation_name": "'query'",
            "kind": "'SERVER'",
            "start_time_us": f"finish_time_us - {int(seconds * 1e6)}",
            "finish_time_us": "toUnixTimestamp64Micro(now64(6))",
            "attribute": "mapFromArrays({names:Array(String)}, {values:Array(String)})",
        }
        names, texts = list(attributes.keys()), list(attributes.values())
        self._log("opentelemetry_span_log", values, trace=trace_id, parent=parent, names=names, values=texts)

    def _log(self, table: str, row: dict[str, str], **parameters: str | list[str]) -> None:
        """Write one row, of values in SQL, into one of the logs that this layer keeps; where it cannot be written, nobody fails."""
        columns = ", ".join(f"{value} AS {name}" for name, value in row.items())
        handle = self._connect()
        with contextlib.suppress(ServerError), contextlib.closing(handle):
            handle.query(
                UNLOGGED + f"INSERT INTO system.{table} ({', '.join(row)}) SELECT {columns}".encode(),
                parameters={
                    name: escape_parameter(value) if isinstance(value, str) else array_parameter(value)
                    for name, value in parameters.items()
                },
            )

    def close(self) -> None:
        """Shut the engine down once the last handle is closed."""
        self._keeper.close()

    def _connect(self) -> Handle:
        try:
            handle = Handle(_chdb.connect(self._address))
        except RuntimeError as error:
            raise from_engine(error, (str(self.folder),)) from None
        handle.set(_HANDLE_SETTINGS)
        return handle


def _role(rights: str) -> str:
    return READER_ROLE if rights == READER else "NONE"


def quote(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_identifier(name: str) -> str:
    """A quoted identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def escape_parameter(text: str) -> str:
    """A text as the engine wants the value of a String parameter: escaped as in TSV."""
    return (
        text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0")
    )


def array_parameter(texts: Iterable[str]) -> str:
    """Texts as the engine wants the value of an Array(String) parameter: a literal, escaped once."""
    quoted = (escape_parameter(text).replace("'", "\\'") for text in texts)
    return "[" + ", ".join(f"'{text}'" for text in quoted) + "]"


def _prepare_default_database(data: Path) -> None:
    """Make `default` a plain database. Left alone the engine makes it an overlay that also serves files of the disk as
    tables; it also looks at the link metadata/default to find that overlay's tables, so the link must go each time."""
    metadata = data / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    link = metadata / "default"
    if link.is_symlink():
        link.unlink()
    definition = metadata / "default.sql"
    if not definition.exists():
        identity = str(uuid.uuid4())
        (data / "store" / identity[:3] / identity).mkdir(parents=True)
        partial = metadata / "default.sql.tmp"
        partial.write_text(f"ATTACH DATABASE default UUID '{identity}' ENGINE = Atomic\n")
        partial.replace(definition)


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _configuration(folder: Path, memory_bytes: int) -> str:
    spill = memory_bytes // 3
    users, nowhere = escape(str(folder / "users.xml")), escape(str(folder / "no_files"))
    return f"""<clickhouse>
  <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
  <os_threads_nice_value_merge_mutate>19</os_threads_nice_value_merge_mutate>
  <default_database>{_OVERLAY}</default_database>
  <users_config>{users}</users_config>
  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
  <user_files_path>{nowhere}/</user_files_path>
  <user_scripts_path>{nowhere}/</user_scripts_path>
  <format_schema_path>{nowhere}/</format_schema_path>
  <custom_local_disks_base_directory>{nowhere}/</custom_local_disks_base_directory>
  <query_log>
    <database>system</database><table>{_QUERY_LOG_TABLE}</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    <engine>ENGINE = Memory SETTINGS max_bytes_to_keep = {64 << 20}</engine>
  </query_log>
  <profiles><default>
    <max_bytes_before_external_group_by>{spill}</max_bytes_before_external_group_by>
    <max_bytes_before_external_sort>{spill}</max_bytes_before_external_sort>
  </default></profiles>
</clickhouse>
"""


def _users(readable_databases: tuple[str, ...]) -> str:
    """The engine knows one user only; what differs between clients is the role. Nobody gets the grants FILE (tables and
    functions over files of the machine) and SYSTEM SHUTDOWN."""
    grants = "".join(
        f"<query>GRANT SELECT ON {escape(quote_identifier(name))}.*</query>" for name in readable_databases
    )
    constraints = "".join(f"<{name.decode()}><min>1</min></{name.decode()}>" for name in NEVER_ZERO)
    constraints += "".join(f"<{name.decode()}><readonly/></{name.decode()}>" for name in sorted(NOT_FOR_CLIENTS))
    policies = "".join(
        f"<{name}><filter>has(currentRoles(), '{_OWNER_ROLE}')</filter></{name}>" for name in _OWNERS_TABLES
    )
    return f"""<clickhouse>
  <roles>
    <{_OWNER_ROLE}><grants>
      <query>GRANT ALL ON *.* WITH GRANT OPTION</query>
      <query>REVOKE FILE ON *.*</query>
      <query>REVOKE SYSTEM SHUTDOWN ON *.*</query>
    </grants></{_OWNER_ROLE}>
    <{READER_ROLE}><grants>{grants}</grants></{READER_ROLE}>
    <{_LOADER_ROLE}><grants><query>GRANT CREATE TEMPORARY TABLE ON *.*</query></grants></{_LOADER_ROLE}>
  </roles>
  <users><default>
    <password></password>
    <profile>default</profile><quota>default</quota>
    <networks><ip>::/0</ip></networks>
    <grants><query>GRANT {_OWNER_ROLE}</query><query>GRANT {READER_ROLE}</query>
    <query>GRANT {_LOADER_ROLE}</query></grants>
    <databases><system>{policies}</system></databases>
  </default></users>
  <profiles><default><constraints>{constraints}</constraints></default></profiles>
  <quotas><default/></quotas>
</clickhouse>
"""
