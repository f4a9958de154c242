"""Running one request in the engine: its handle and settings, its statement, rewritten where need be, its rows."""

import contextlib
import json
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from orchestration.warehouse.server.accounts import READER, Account, Accounts, read_account_statement
from orchestration.warehouse.server.engine import (
    AS_ASKED,
    ID_AS_ASKED,
    QUERY_ID_SETTING,
    READER_ROLE,
    UNLOGGED,
    USER_AS_ASKED,
    Engine,
    Handle,
    Progress,
    quote,
    quote_identifier,
)
from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.guard import NEVER_ZERO, check_setting, refuse_files_of_the_server
from orchestration.warehouse.server.inputs import structure_of_input
from orchestration.warehouse.server.kill import kills_by_plain_condition, narrow_to_user
from orchestration.warehouse.server.native import (
    MARK_REVISION,
    ZONE_REVISION,
    answer_revision,
    has_plain_times,
    rewrite_blocks,
)
from orchestration.warehouse.server.queries import RunningQueries
from orchestration.warehouse.server.request import RESERVED, ExternalTable, Request
from orchestration.warehouse.server.response_headers import asked_headers
from orchestration.warehouse.server.sessions import Borrowed, Session, Sessions, read_timeout
from orchestration.warehouse.server.statement import (
    DEFAULT_LIMIT_BYTES,
    Statement,
    literal_text,
    read_statement,
    tokenize,
)

# Formats without head, foot and separators between rows: their blocks can be joined as they come.
_JOINABLE_FORMATS = frozenset(
    [
        "tabseparated",
        "tsv",
        "tabseparatedraw",
        "tsvraw",
        "raw",
        "csv",
        "tskv",
        "native",
        "rowbinary",
        "jsoneachrow",
        "jsonlines",
        "ndjson",
        "jsoncompacteachrow",
        "jsonstringseachrow",
        "jsoncompactstringseachrow",
        "lineasstring",
        "rawblob",
        "msgpack",
    ]
)
# What breaks joining: rows behind the rows, or a frame around all of them.
_UNJOINABLE_WORDS = (b"totals", b"extremes", b"output_format_json_array_of_rows")
# Words of ALTER that rewrite parts, and the free space below which such a statement is looked at closely.
_REWRITING_WORDS = (b"delete", b"update", b"materialize")
_PLENTY_BYTES = 64 << 30
_RESERVED_BYTES = 2 << 20
# No more than this is handed on at once, so that the rest of a large block waits here, and not once more in each buffer behind.
_PIECE_BYTES = 1 << 20
_ZONE = re.compile(r"[\w+/-]+", re.ASCII)
# A session whose max_query_size is smaller cannot be told a query's id, which takes a SET of this length.
_SET_BYTES = 1024
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Types on one line, in a form that is read here, whatever the session prefers.
_DESCRIBING = b"print_pretty_type_names = 0, log_queries = 0, output_format = 'JSONCompactEachRow'"
# What may stand behind a table that has no alias.
_NO_ALIAS = (b"", b")", b"WHERE", b"PREWHERE", b"GROUP", b"ORDER", b"LIMIT", b"SETTINGS", b"FORMAT", b"UNION")
_PROCESSES = f"(SELECT * REPLACE ({AS_ASKED}) FROM system.processes)".encode()
# Functions that the engine would answer with its own id of a query, and with the one user that it knows.
_ID_FUNCTIONS = frozenset([b"queryid", b"query_id", b"initialqueryid", b"initial_query_id"])
_USER_FUNCTIONS = frozenset([b"currentuser", b"current_user", b"user"])
_TRACE_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f][13579bdf]")
_GET_IS_READONLY = (
    "For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries."
)


@dataclass
class Execution:
    """One request while it runs. `chunks` drives it, one thread at a time; `cancel` may come from another."""

    engine: Engine
    sessions: Sessions
    queries: RunningQueries
    accounts: Accounts
    request: Request
    user: str
    account: Account
    progress: Progress = field(default_factory=Progress)
    format: str | None = None
    output_format: str = ""
    timezone: str = ""
    mark: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.mark = f"{self.request.query_id}\n{uuid.uuid4()}\n{self.user}"
        self.timezone = self.engine.timezone
        self.output_format = self.request.format
        self.reads_only = self.account.reads_only
        self.readonly = self.reads_only or self.request.method != "POST"
        self._cancelled = threading.Event()
        self._parses = True
        self._writes = False

    @property
    def statement(self) -> Statement:
        assert self.request.statement is not None
        return self.request.statement

    def cancel(self) -> None:
        """End the query: the client has gone."""
        self._cancelled.set()
        self.engine.kill(self.mark)

    def progress_so_far(self) -> dict[str, str] | None:
        """X-ClickHouse-Progress at this moment; None while the engine does not run the query."""
        return self.engine.progress(self.mark)

    def summary(self) -> dict[str, str]:
        """X-ClickHouse-Summary as far as it is known."""
        return summary_of(self.progress, time.monotonic() - self.started)

    def chunks(self) -> Iterator[bytes]:
        """Run the request; gives the body of the answer in pieces, none for a statement without result set."""
        refuse_files_of_the_server(self.statement)
        self.request.statement = _spell_out(self.statement.with_one_for_zero(NEVER_ZERO))
        settings = self.request.settings
        for name in settings:
            check_setting(name)
        replaces = self.request.flag("replace_running_query")
        with (
            self.queries.entered(self.user, self.request.query_id, self, replaces),
            self._handle() as (handle, session),
            self._logged(),
        ):
            if session is not None:
                own = session.settings.items()
                self.request.session_values = {name: literal_text(value) for name, value in own if name in RESERVED}
            self._choose_format(session)
            self.headers = asked_headers(self._setting("http_response_headers", session))
            self._check_class(handle)
            self._check_readonly_session(settings, session)
            about_account = read_account_statement(self.statement)
            if about_account is not None:
                self.accounts.carry_out(about_account)
                return
            with (
                self._roles(handle, session),
                self._settings(handle, session, settings),
                self._externals(handle),
            ):
                self._restrict(handle, session)
                self._check_space()
                if self._cancelled.is_set():
                    raise ServerError(394, "QUERY_WAS_CANCELLED", "Query was cancelled.")
                for piece in self._run(handle, session):
                    self.progress.result_bytes += len(piece)
                    for start in range(0, len(piece), _PIECE_BYTES):
                        yield piece[start : start + _PIECE_BYTES]
                    del piece

    @contextlib.contextmanager
    def _logged(self) -> Iterator[None]:
        """Note what the engine does not: a statement that does not parse, and the trace of a client that the query is part of."""
        code = 0
        try:
            yield
        except ServerError as error:
            code = error.code
            if code == 62 and not self._parses:
                self.request.unparsed = self.statement.text
            raise
        finally:
            trace = _TRACE_PARENT.fullmatch(self.request.headers.get("traceparent", ""))
            if trace is not None:
                attributes = {
                    "clickhouse.query_id": self.request.query_id,
                    "clickhouse.query_status": "ExceptionWhileProcessing" if code else "QueryFinish",
                    "clickhouse.exception_code": str(code),
                    "db.statement": self.statement.text.decode("utf-8", "replace"),
                }
                self.engine.log_span(trace[1], trace[2], time.monotonic() - self.started, attributes)

    @contextlib.contextmanager
    def _handle(self) -> Iterator[tuple[Handle, Session | None]]:
        """The session's handle, or a fresh one that takes everything with it when the request ends."""
        parameters = self.request.parameters
        session_id = parameters.get("session_id")
        if session_id is None:
            handle = self.engine.open(self.account.rights)
            try:
                yield handle, None
            finally:
                handle.close()
            return
        if not session_id:
            raise ServerError(744, "SESSION_ID_EMPTY", "Session id query parameter was provided, but it was empty.")
        timeout = read_timeout(parameters.get("session_timeout"))
        must_exist = self.request.flag("session_check")
        session = self.sessions.acquire(self.user, session_id, timeout, must_exist, self.account.rights)
        try:
            yield session.handle, session
        finally:
            self.sessions.release(session)
            if self.request.flag("close_session"):
                self.sessions.close(self.user, session_id)

    def _setting(self, name: str, session: Session | None) -> str:
        """The value that counts for a setting of the engine: of the statement, else of the request, else of its session."""
        own = session.settings.get(name, "") if session is not None else ""
        return self.statement.setting(name) or self.request.settings.get(name, "") or literal_text(own)

    def _choose_format(self, session: Session | None) -> None:
        """The format of the rows: by the engine's settings for it, which win over the statement's FORMAT, else by that, else
        the request's default."""
        self.output_format = self.request.format
        for name in ("output_format", "format"):
            chosen = self._setting(name, session)
            if chosen:
                # Any other name is none of a format, which the engine says; it would not do in a header.
                self.output_format = chosen if _IDENTIFIER.fullmatch(chosen) else self.output_format
                return

    def _check_class(self, handle: Handle) -> None:
        """One statement only, and a reading one where only reading is allowed. What does not parse goes on: the engine
        says best what is wrong with it."""
        kind, count = handle.classify(self.statement.text)
        self._parses, self._writes = count > 0, kind == "MUTATING"
        if count > 1:
            raise ServerError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed).")
        if not self.readonly or kind == "READ_ONLY" or self._is_harmless():
            return
        if not count:
            self._fail_to_parse()
        reason = "This user cannot write." if self.reads_only else _GET_IS_READONLY
        raise ServerError(164, "READONLY", f"{self.user}: Cannot execute query in readonly mode. {reason}")

    def _fail_to_parse(self) -> None:
        """Have the engine say what is wrong with a statement that does not parse, on a handle where it could change nothing."""
        handle = self.engine.open(self.account.rights)
        try:
            handle.set({"readonly": "2"})
            handle.query(self.statement.text, "Null", self.request.query_parameters)
        finally:
            handle.close()

    def _check_space(self) -> None:
        """Refuse what rewrites parts while there is no room for it: the engine would put it off and wait without an end,
        deaf even to KILL."""
        kind = self.statement.kind
        if kind not in (b"DELETE", b"UPDATE") and not (
            kind == b"ALTER" and any(self.statement.mentions(word) for word in _REWRITING_WORDS)
        ):
            return
        free = shutil.disk_usage(self.engine.folder).free
        if free > _PLENTY_BYTES:
            return
        names = {
            token.identifier.decode("utf-8", "replace") for token in self.statement.tokens[:10] if token.identifier
        }
        tables = ", ".join(quote(name) for name in sorted(names))
        sql = f"SELECT max(bytes_on_disk) FROM system.parts WHERE active AND lower(table) IN ({tables})"
        own = self.engine.open()
        try:
            largest = int(own.value(sql.encode()) or 0)
        finally:
            own.close()
        if free < _RESERVED_BYTES + largest * 1.1:
            message = f"Cannot rewrite parts of up to {largest >> 20} MiB, {free >> 20} MiB are free."
            raise ServerError(243, "NOT_ENOUGH_SPACE", message)

    def _is_harmless(self) -> bool:
        """Statements that change nothing but the session, and those that end queries. Temporary tables are a matter of grants, which a
        reader has none of."""
        words = [token.upper for token in self.statement.tokens[:4]]
        if words[1:2] == [b"TEMPORARY"] or words[1:] == [b"OR", b"REPLACE", b"TEMPORARY"]:
            return words[0] in (b"CREATE", b"DROP") and not self.reads_only
        if words[:2] == [b"KILL", b"QUERY"]:
            return kills_by_plain_condition(self.statement)
        return words[:1] == [b"USE"] or (words[:1] == [b"SET"] and words[1:2] not in ([b"ROLE"], [b"DEFAULT"]))

    def _check_readonly_session(self, settings: dict[str, str], session: Session | None) -> None:
        """In a session `readonly` cannot be set for one request and taken back, so the layer enforces it there."""
        if session is None or settings.get("readonly", "0") == "0":
            return
        # Only 2 lets settings be changed and temporary tables be made.
        may_change = settings.pop("readonly") != "1"
        kind, count = session.handle.classify(self.statement.text)
        if kind != "READ_ONLY" and not (
            self._is_harmless() and (may_change or self.statement.kind in (b"USE", b"KILL"))
        ):
            if not count:
                self._fail_to_parse()
            raise ServerError(164, "READONLY", f"{self.user}: Cannot execute query in readonly mode.")
        if self.statement.settings and not may_change:
            name = next(iter(self.statement.settings))
            raise ServerError(164, "READONLY", f"Cannot modify '{name}' setting in readonly mode.")

    @contextlib.contextmanager
    def _roles(self, handle: Handle, session: Session | None) -> Iterator[None]:
        """The roles that the request asks for, as by SET ROLE before its statement; a session gets back its own."""
        roles = self.request.roles
        if not roles:
            yield
            return
        if session is not None:
            self._give_back(session)
        granted = (READER_ROLE,) if self.account.rights == READER else ()
        if self.reads_only and any(role not in granted for role in roles):
            message = f"Role should be granted to set as a current, but {self.user} was not granted {roles[0]}."
            raise ServerError(512, "SET_NON_GRANTED_ROLE", message)
        before = session.roles if session is not None and not self.reads_only else ""
        names = ", ".join(quote_identifier(role) for role in roles)
        handle.query(f"SET ROLE {names}".encode("utf-8", "surrogateescape"))
        try:
            yield
        finally:
            if before and self.statement.kind != b"SET":
                handle.query(f"SET ROLE {before}".encode("utf-8", "surrogateescape"))

    @contextlib.contextmanager
    def _settings(self, handle: Handle, session: Session | None, settings: dict[str, str]) -> Iterator[None]:
        """Settings and database of the request. A session has its own back before a SET or USE and behind it, and before a
        request with other settings or another database."""
        settings.pop("readonly", None)
        # A limit below the default was read for the statement as the client wrote it; the engine would count what this layer
        # puts around it.
        limit = settings.get("max_query_size", "")
        if limit.isdigit() and 0 < int(limit) < DEFAULT_LIMIT_BYTES:
            del settings["max_query_size"]
        changes_session = self.statement.kind in (b"SET", b"USE")
        if session is None or self._takes_mark(session):
            settings[QUERY_ID_SETTING] = self.mark
        zone = self._setting("session_timezone", session)
        if _ZONE.fullmatch(zone):
            self.timezone = zone
        try:
            if session is not None:
                self._borrow(session, settings, changes_session)
            else:
                # A fresh handle is in `default`, which most drivers name, and where who may only read cannot USE it in one step.
                if self.request.database and not (self.reads_only and self.request.database == "default"):
                    self._use(handle, self.request.database)
                handle.set(settings)
            yield
            if session is not None:
                self._learn(session)
        finally:
            if session is not None and changes_session:
                self._give_back(session)

    def _restrict(self, handle: Handle, session: Session | None) -> None:
        """Let the statement read only, where the request asks for it or its user may do no more. (In a session the layer has seen to
        it.) Data that the request brings along are tables by now, for which a server does not ask."""
        readonly = self.request.settings.get("readonly", "2" if self.readonly else "")
        if session is None and readonly:
            handle.set({"readonly": readonly})

    def _use(self, handle: Handle, database: str) -> None:
        """Make a database that a request names the current one. That takes no rights in it, as USE does: drivers name `default`
        by themselves, where a reader has none. Raises ServerError 81 where there is no such database."""
        try:
            handle.use(database)
        except ServerError as error:
            if error.code != 497:
                raise
            if not self.engine.has_database(database):
                raise ServerError(81, "UNKNOWN_DATABASE", f"Database {database} does not exist.") from None
            handle.set({"database": database})

    def _takes_mark(self, session: Session) -> bool:
        """Whether a setting that carries the query's id can be put in force in a session, and be taken back."""
        if "readonly" in session.settings or "readonly" in (
            self.statement.settings if self.statement.kind == b"SET" else {}
        ):
            return False
        limit = literal_text(session.settings.get("max_query_size", ""))
        return not (limit.isdigit() and 0 < int(limit) < _SET_BYTES)

    def _borrow(self, session: Session, settings: dict[str, str], changes_session: bool) -> None:
        """Put settings and database of the request in force; what the request before had put so stays where it is the same."""
        handle, asked, borrowed = session.handle, self.request.database, session.borrowed
        is_alike = borrowed is not None and (borrowed.settings.keys(), borrowed.database) == (settings.keys(), asked)
        if changes_session or not is_alike:
            self._give_back(session)
        try:
            if session.borrowed is None:
                session.borrowed = Borrowed(settings, asked)
                if asked:
                    self._use(handle, asked)
                handle.set(settings)
            else:
                before, session.borrowed.settings = session.borrowed.settings, settings
                changed = {name: value for name, value in settings.items() if before[name] != value}
                # Names may mean the same setting: the last one counts, so all are said again where more than the mark is new.
                handle.set(changed if changed.keys() <= {QUERY_ID_SETTING} else settings)
        except ServerError:
            self._give_back(session)
            raise

    def _learn(self, session: Session) -> None:
        """Remember what a SET, a USE or a temporary table that went well has made of its session."""
        statement = self.statement
        session.is_changed |= statement.kind in (b"SET", b"USE") or statement.mentions(b"temporary")
        second = statement.tokens[1].upper if len(statement.tokens) > 1 else b""
        if statement.kind == b"SET" and second == b"ROLE":
            session.roles = statement.text[statement.tokens[1].end :].decode("utf-8", "surrogateescape")
        elif statement.kind == b"SET" and second not in (b"DEFAULT", b"TRANSACTION"):
            for name, value in statement.settings.items():
                if name == "database":
                    # The same as USE.
                    session.database = literal_text(value or "") or session.database
                    continue
                session.settings.pop(name, None)
                if value is not None:
                    session.settings[name] = value
        elif statement.kind == b"USE":
            session.database = self._database_of_use(session)

    def _database_of_use(self, session: Session) -> str:
        """The database that USE names, as itself or as the value of a query parameter, of the request or of its session."""
        tokens = [token for token in self.statement.tokens[1:] if token.text != b";"]
        if len(tokens) > 1 and tokens[0].upper == b"DATABASE":
            tokens = tokens[1:]
        if tokens[0].text == b"{":
            name = tokens[1].text.decode("utf-8", "surrogateescape")
            own = literal_text(session.settings.get(f"param_{name}", ""))
            return self.request.query_parameters.get(name, own)
        return (tokens[0].name or b"").decode("utf-8", "surrogateescape")

    def _give_back(self, session: Session) -> None:
        """Put the session's own settings and database in force again."""
        borrowed, session.borrowed = session.borrowed, None
        if borrowed is None:
            return
        defaults = [f"{quote_identifier(name)} = DEFAULT" for name in borrowed.settings if name not in session.settings]
        # Two names may mean one setting: all of the session's own are said again, where more than the mark was changed.
        restored = borrowed.settings.keys() - {QUERY_ID_SETTING}
        own = [f"{quote_identifier(name)} = {value}" for name, value in session.settings.items()] if restored else []
        for clauses in (defaults, own):
            _set_where_possible(session.handle, clauses)
        if borrowed.database:
            with contextlib.suppress(ServerError):
                self._use(session.handle, session.database)

    @contextlib.contextmanager
    def _externals(self, handle: Handle) -> Iterator[None]:
        if not self.request.externals:
            yield
            return
        made: list[str] = []
        try:
            with self.engine.loading(handle, self.account.rights):
                for table in self.request.externals:
                    _create_external(handle, table)
                    made.append(table.name)
            yield
        finally:
            for name in made:
                with contextlib.suppress(ServerError):
                    handle.query(UNLOGGED + f"DROP TEMPORARY TABLE IF EXISTS {quote_identifier(name)}".encode())

    def _run(self, handle: Handle, session: Session | None) -> Iterator[bytes]:
        statement, parameters = self.statement, self.request.query_parameters
        output_format = self.output_format
        if statement.data_start is not None:
            self._insert_data(handle)
        elif statement.kind == b"KILL" and statement.mentions(b"query"):
            self.format = output_format
            with self._killer(handle) as (killer, killing):
                yield from self._whole(killer, self._kill(killer, killing), output_format)
        elif statement.is_select and self._parses and not self._writes:
            self.format = output_format
            yield from self._rows(handle, session, output_format, parameters)
        else:
            self.format = output_format if statement.has_result else None
            if self._parses and (statement.is_select or statement.kind == b"INSERT"):
                statement = self._with_values(statement)
            yield from self._whole(handle, statement.text, output_format)

    def _whole(self, handle: Handle, sql: bytes, output_format: str) -> Iterator[bytes]:
        try:
            result = handle.query(sql, output_format, self.request.query_parameters)
        except ServerError as error:
            if error.code in (192, 511):
                self._explain_missing_rights()
            replacement = _show_create_of_system_table(self.statement) if error.code == 60 else None
            if replacement is None:
                raise
            result = handle.query(replacement, output_format)
        self.progress.add(result, is_insert=self.statement.kind == b"INSERT")
        data = result.bytes()
        if data:
            self.format = output_format
            if output_format.lower() == "native" and self._revision:
                # What is not a SELECT answers in one block, without DateTime columns.
                yield from rewrite_blocks([data], [], marked=self._revision >= MARK_REVISION)
            else:
                yield data

    @contextlib.contextmanager
    def _killer(self, handle: Handle) -> Iterator[tuple[Handle, Statement]]:
        """What runs KILL QUERY. Who may only read ends own queries, which takes no right on a server: the engine shows that user no
        queries, so another handle does it."""
        if not self.reads_only:
            yield handle, self.statement
            return
        with contextlib.closing(self.engine.open()) as owner:
            yield owner, narrow_to_user(self.statement, self.user)

    def _kill(self, handle: Handle, statement: Statement) -> bytes:
        """Run KILL QUERY; gives a query for its result, with the ids and words of clients."""
        own = self.engine.open()
        try:
            sql = b"SELECT query_id, engine_id, user, query FROM " + _PROCESSES.replace(
                b"* REPLACE", b"query_id AS engine_id, * REPLACE", 1
            )
            lines = own.query(sql, "JSONCompactEachRow").bytes().splitlines()
        finally:
            own.close()
        as_asked = {engine_id: (query_id, user, query) for query_id, engine_id, user, query in map(json.loads, lines)}
        end = statement.format_token.start if statement.format_token else len(statement.text)
        tokens = tuple(token for token in statement.tokens if token.start < end)
        sql = _translate_names(replace(statement, text=statement.text[:end], tokens=tokens))
        sql += b"\n, " if statement.settings else b"\nSETTINGS "
        sql += b"output_format = 'JSONCompactEachRow'"
        result = handle.query(sql, "JSONCompactEachRow", self.request.query_parameters)
        rows = []
        for status, engine_id, user, query in map(json.loads, result.bytes().splitlines()):
            query_id, user, query = as_asked.get(engine_id, (engine_id, user, query))
            rows.append(json.dumps([status, query_id, user, query]))
        structure = "kill_status String, query_id String, user String, query String"
        return f"SELECT * FROM format(JSONCompactEachRow, {quote(structure)}, {quote(chr(10).join(rows))})".encode()

    def _with_values(self, statement: Statement) -> Statement:
        """The statement with the client's query id and user in place of the functions that ask for them: each as a value with the
        function's name, so that no column is called otherwise."""
        values = dict.fromkeys(_ID_FUNCTIONS, self.request.query_id)
        if self.user != "default":
            values |= dict.fromkeys(_USER_FUNCTIONS, self.user)
        text, tokens = statement.text, statement.tokens
        for place in range(len(tokens) - 3, 0, -1):
            token, before = tokens[place], tokens[place - 1].upper
            value = values.get(token.text.lower()) if token.kind == "word" else None
            is_call = [one.text for one in tokens[place + 1 : place + 3]] == [b"(", b")"]
            if value is not None and is_call and before not in (b".", b"INTO", b"TABLE", b"FUNCTION"):
                literal = f"/*asked*/({quote(value)} AS `{token.text.decode()}()`)".encode("utf-8", "surrogateescape")
                text = text[: token.start] + literal + text[tokens[place + 2].end :]
        return statement if text == statement.text else read_statement(text, len(text))

    def _explain_missing_rights(self) -> None:
        """Say why a user who can log in is unknown to the engine, where the statement names one."""
        made = self.accounts.were_made(token.name for token in self.statement.tokens if token.name)
        if self.statement.kind in (b"GRANT", b"REVOKE", b"ALTER", b"SHOW") and made:
            raise ServerError(
                514,
                "ACCESS_STORAGE_FOR_INSERTION_NOT_FOUND",
                f"User `{made[0]}` can log in, but has no rights: the embedded warehouse keeps no grants."
                " Use a ClickHouse server, or the reading account of TIERHOUSE_READER_USER.",
            )

    def _rows(
        self, handle: Handle, session: Session | None, output_format: str, parameters: dict[str, str]
    ) -> Iterator[bytes]:
        if not _IDENTIFIER.fullmatch(output_format):
            raise ServerError(73, "UNKNOWN_FORMAT", "Unknown format.")
        lower = output_format.lower()
        own = session.settings if session is not None else {}
        settings = {name.lower().encode() for name in (*self.request.settings, *own)}
        joinable = lower in _JOINABLE_FORMATS and not any(
            self.statement.mentions(word) or word in settings for word in _UNJOINABLE_WORDS
        )
        statement = self._with_values(_with_ids_of_clients(self.statement))
        if lower == "native":
            columns = None
            if self._revision >= ZONE_REVISION and session is not None and session.is_changed:
                # Only the session knows its tables, database and parameters; while rows come it answers nothing else.
                columns = self._columns(handle)
            blocks = handle.blocks(statement.text, output_format, parameters, self.progress)
            yield from self._newer_native(blocks, columns) if self._revision else blocks
        elif joinable and not self.request.waits_for_end:
            # (A stream's counters may lag behind; who waits for the end gets the final ones.)
            yield from handle.blocks(statement.text, output_format, parameters, self.progress)
        else:
            yield from handle.piped(_into_pipe(statement, output_format), output_format, parameters, self.progress)

    @property
    def _revision(self) -> int:
        """The protocol revision that the client asked for in Native."""
        return answer_revision(self.request.parameters.get("client_protocol_version", ""))

    def _newer_native(self, blocks: Iterator[bytes], columns: list[tuple[str, str]] | None) -> Iterator[bytes]:
        first = next(blocks, None)
        if first is None:
            return
        marked = self._revision >= MARK_REVISION
        if self._revision < ZONE_REVISION or not (marked or has_plain_times(first)):
            columns = []
        elif columns is None:
            columns = self._columns_elsewhere()
        held = [first]
        del first
        yield from rewrite_blocks(_taken(held, blocks), columns, marked)

    def _columns(self, handle: Handle) -> list[tuple[str, str]]:
        """Names and full types of the statement's columns; none where the engine does not say. Not in the query log, where
        clients look for what they asked themselves."""
        statement = self.statement
        query = statement.text[: statement.format_token.start] if statement.format_token else statement.text
        for source in (b"view(", b"("):
            # view() does not evaluate subqueries as a plain bracket does, but not everyone may use it, nor for every query.
            with contextlib.suppress(ServerError):
                sql = b"DESCRIBE TABLE " + source + query + b"\n) SETTINGS " + _DESCRIBING
                lines = handle.query(sql, "JSONCompactEachRow", self.request.query_parameters).bytes().splitlines()
                return [(found[0], found[1]) for found in map(json.loads, lines)]
        return []

    def _columns_of(self, handle: Handle, table: bytes) -> list[tuple[str, str]]:
        """Names and types of the columns of a table that can be inserted."""
        sql = b"DESCRIBE TABLE " + table + b" SETTINGS " + _DESCRIBING
        lines = handle.query(sql, "JSONCompactEachRow", self.request.query_parameters).bytes().splitlines()
        return [(found[0], found[1]) for found in map(json.loads, lines) if found[2] in ("", "DEFAULT")]

    def _columns_elsewhere(self) -> list[tuple[str, str]]:
        """The same on a handle of its own, while the statement runs."""
        handle = self.engine.open(self.account.rights)
        try:
            if self.request.database:
                self._use(handle, self.request.database)
            handle.set(self.request.settings)
            with self._externals(handle):
                return self._columns(handle)
        except ServerError:
            return []
        finally:
            handle.close()

    def _insert_data(self, handle: Handle) -> None:
        statement, path = self.statement, self.request.data
        assert path is not None and statement.format_token is not None
        hidden = (str(path), str(path.parent))
        parameters = self.request.query_parameters
        if not path.stat().st_size:
            return
        if statement.input_call is not None:
            self._insert_input(handle, hidden)
            return
        result = handle.query(_from_file(statement, str(path)), "TSV", parameters, hidden)
        self.progress.add(result, is_insert=True)
        self.progress.read_rows = max(self.progress.read_rows, self.progress.written_rows)
        self.progress.read_bytes = max(self.progress.read_bytes, self.progress.written_bytes)

    def _insert_input(self, handle: Handle, hidden: tuple[str, ...]) -> None:
        """INSERT ... SELECT ... FROM input('structure') FORMAT X: the engine in process leaves the data unread, so they
        become a temporary table, on disk, that takes the place of input()."""
        statement, path = self.statement, self.request.data
        assert statement.input_call is not None and statement.format_token is not None
        start, end = statement.input_call
        structure = structure_of_input(statement, lambda table: self._columns_of(handle, table))
        name = f"_input_{uuid.uuid4().hex}"
        external = ExternalTable(name, path, statement.format_name or "", structure) if path else None
        assert external is not None
        _create_external(handle, external, " ENGINE = MergeTree ORDER BY tuple()")
        try:
            text = statement.text[:start] + name.encode() + statement.text[end : statement.format_token.start]
            result = handle.query(text, "TSV", self.request.query_parameters, hidden)
            self.progress.add(result, is_insert=True)
        finally:
            handle.query(UNLOGGED + f"DROP TEMPORARY TABLE {name}".encode())


def _taken(held: list[bytes], blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The block held back, which is let go of, and those behind it."""
    yield held.pop()
    yield from blocks


def summary_of(progress: Progress, seconds: float) -> dict[str, str]:
    """X-ClickHouse-Summary of what was done in some seconds; numbers are strings there."""
    numbers = {
        "read_rows": progress.read_rows,
        "read_bytes": progress.read_bytes,
        "written_rows": progress.written_rows,
        "written_bytes": progress.written_bytes,
        "total_rows_to_read": progress.read_rows,
        "result_rows": progress.result_rows or progress.written_rows,
        "result_bytes": progress.result_bytes or progress.written_bytes,
        "elapsed_ns": int(seconds * 1e9),
    }
    return {name: str(number) for name, number in numbers.items()}


def _set_where_possible(handle: Handle, clauses: list[str]) -> None:
    """SET the clauses; one that the engine does not know, or may not set, does not keep the others."""
    if not clauses:
        return
    try:
        handle.query(("SET " + ", ".join(clauses)).encode("utf-8", "surrogateescape"))
    except ServerError:
        for clause in clauses if len(clauses) > 1 else ():
            _set_where_possible(handle, [clause])


def _create_external(handle: Handle, table: ExternalTable, engine: str = "") -> None:
    if not _IDENTIFIER.fullmatch(table.name):
        raise ServerError(36, "BAD_ARGUMENTS", "The name of an external table must be an identifier.")
    if not _IDENTIFIER.fullmatch(table.format):
        raise ServerError(73, "UNKNOWN_FORMAT", "Unknown format of an external table.")
    if not table.structure.strip():
        raise ServerError(36, "BAD_ARGUMENTS", f"External table {table.name} has neither structure nor types.")
    if not _is_within_brackets(table.structure.encode("utf-8", "surrogateescape")):
        raise ServerError(36, "BAD_ARGUMENTS", f"External table {table.name} has a structure that is none.")
    create = f"CREATE TEMPORARY TABLE {table.name} ({table.structure}){engine}".encode("utf-8", "surrogateescape")
    refuse_files_of_the_server(read_statement(create))
    if handle.classify(create)[1] > 1:
        raise ServerError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed).")
    handle.query(UNLOGGED + create)
    if table.path.stat().st_size:
        sql = f"INSERT INTO {table.name} FROM INFILE {quote(str(table.path))} FORMAT {table.format}"
        handle.query(UNLOGGED + sql.encode(), hidden=(str(table.path), str(table.path.parent)))


def _is_within_brackets(text: bytes) -> bool:
    """Whether a text between brackets stays between them: what closes them could go on with an engine or a query."""
    depth = 0
    for token in tokenize(text):
        depth += token.nesting
        if depth < 0:
            return False
    return True


def _from_file(statement: Statement, path: str) -> bytes:
    """The INSERT with its data read from a file: the clause belongs before SETTINGS and FORMAT."""
    token = statement.format_token
    assert token is not None
    place, depth = token, 0
    for earlier in statement.tokens:
        depth += earlier.nesting
        if earlier.start < token.start and not depth and earlier.upper == b"SETTINGS":
            place = earlier
            break
    tail = statement.text[place.start : token.start]
    clause = f" FROM INFILE {quote(path)} ".encode()
    # The line end, which only FORMAT has, tells it from VALUES in the query log.
    end = b"" if token.upper == b"VALUES" else b"\n"
    return statement.text[: place.start] + clause + tail + f"FORMAT {statement.format_name}".encode() + end


def _into_pipe(statement: Statement, output_format: str) -> bytes:
    """The statement with its rows written to a pipe, whose name `Handle.piped` fills in."""
    clause = b"\nINTO OUTFILE '%(path)s' APPEND "
    token = statement.format_token
    if token is not None:
        return statement.text[: token.start] + clause + statement.text[token.start :]
    return statement.text + clause + b"/*added*/FORMAT " + output_format.encode()


def _translate_names(statement: Statement) -> bytes:
    """KILL QUERY by the ids and users that clients know: the engine's own ones stand in its process list."""
    text = statement.text
    expressions = {b"query_id": ID_AS_ASKED.encode(), b"user": USER_AS_ASKED.encode()}
    for token in reversed(statement.tokens):
        if token.identifier in expressions:
            text = text[: token.start] + expressions[token.identifier] + text[token.end :]
    return text


def _spell_out(statement: Statement) -> Statement:
    """SHOW PROCESSLIST as the query that it stands for, so that it too shows clients their own ids."""
    words = [token.upper for token in statement.tokens[:2]]
    if words != [b"SHOW", b"PROCESSLIST"]:
        return statement
    text = b"SELECT * FROM system.processes ORDER BY elapsed DESC" + statement.text[statement.tokens[1].end :]
    return read_statement(text, len(text))


def _with_ids_of_clients(statement: Statement) -> Statement:
    """The statement with system.processes as clients expect it: with their own query ids, and without what this layer puts
    around their statements."""
    if b"processes" not in statement.text.lower():
        return statement
    text, tokens = statement.text, statement.tokens
    for place in range(len(tokens) - 3, 0, -1):
        names = [token.identifier or token.text for token in tokens[place : place + 3]]
        if names == [b"system", b".", b"processes"] and tokens[place - 1].upper in (b"FROM", b"JOIN", b","):
            behind = tokens[place + 3].upper if place + 3 < len(tokens) else b""
            alias = b" AS processes" if behind in _NO_ALIAS else b""
            processes = b"/*processes*/" + _PROCESSES + alias + b"/*asked*/"
            text = text[: tokens[place].start] + processes + text[tokens[place + 2].end :]
    return statement if text == statement.text else read_statement(text, len(text))


def _show_create_of_system_table(statement: Statement) -> bytes | None:
    """A query for what SHOW CREATE TABLE system.x answers elsewhere: the engine in process keeps no statement for its
    own tables. None for any other statement."""
    end = statement.format_token.start if statement.format_token else len(statement.text)
    words = [token.identifier or token.text for token in statement.tokens if token.start < end]
    is_system = words[:2] == [b"show", b"create"] and words[-3:-1] == [b"system", b"."]
    if not is_system or not _IDENTIFIER.fullmatch(words[-1].decode("utf-8", "replace")):
        return None
    return b"""SELECT format('CREATE TABLE system.{}\\n(\\n{}\\n)\\nENGINE = {}', any(table),
        arrayStringConcat(groupArray(format('    `{}` {}', name, type)), ',\\n'),
        assumeNotNull((SELECT engine FROM system.tables WHERE database = 'system' AND name = '%s'))) AS statement
        FROM system.columns WHERE database = 'system' AND table = '%s' HAVING count() > 0""".replace(b"%s", words[-1])
