"""What clients may not ask of the engine in this process: the files and programs of the server's machine.

The engine itself refuses the grant FILE (see engine.py), which covers file(), File tables, url('file:'), dictionaries
and backups. Here are the ways around that grant: clauses that the client in process handles, and functions and engines
that do not ask for it."""

import re

from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.statement import Statement, Token

_FUNCTIONS = frozenset(
    b"arrowstream catboostevaluate complex_key_ssd_cache deltalakelocal deltalakelocalcluster disk eval executable"
    b" executablepool file filecluster filelog filesystem hudilocal iceberglocal iceberglocalcluster modelevaluate"
    b" paimonlocal paimonlocalcluster python sqlite ssd_cache".split()
)
_ENGINES = frozenset(
    b"arrowstream backup deltalakelocal executable executablepool file filelog filesystem iceberglocal paimonlocal"
    b" python queryrunner sqlite".split()
)
# Engines whose arguments may be a path, with what those may start with: the grant FILE is not asked for there.
_HARMLESS_ARGUMENTS = {b"url": (b"'http://", b"'https://"), b"embeddedrocksdb": ()}
# Settings that name files of the server to read or to write.
_SETTINGS = frozenset(
    b"format_schema format_template_resultset format_template_row input_format_record_errors_file_path"
    b" output_format_schema".split()
)
# With 0 the loop that waits for rows never ends in the engine in process, deaf even to KILL. A plain 0, which a server takes as
# "no interval", becomes 1 before the engine sees it; what is written in another way the engine refuses by a constraint.
NEVER_ZERO = frozenset([b"interactive_delay"])
# Throttles, which a query obeys deaf to KILL, holding what others read as well, and the stop of the server: a byte a second ends
# in no lifetime. The engine keeps them as they are, by a constraint.
NOT_FOR_CLIENTS = frozenset([b"max_local_read_bandwidth", b"max_local_write_bandwidth"])
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def refuse_files_of_the_server(statement: Statement) -> None:
    """Raise ServerError 497 (ACCESS_DENIED) for a statement that reaches into the server's disk or runs a program."""
    tokens = statement.tokens
    if statement.kind == b"COPY":
        _refuse("COPY")
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else None
        name = token.identifier
        if name is None:
            continue
        if token.upper == b"INTO" and following and following.upper == b"OUTFILE":
            _refuse("INTO OUTFILE")
        if token.upper == b"FROM" and following and following.upper == b"INFILE":
            _refuse("FROM INFILE")
        if token.upper == b"FROM" and following and following.kind == "string" and statement.kind == b"ATTACH":
            _refuse("ATTACH ... FROM")
        if name in _FUNCTIONS and following and following.text == b"(" and not _is_new_table(statement, place):
            _refuse(f"{name.decode()}()")
        if token.upper == b"APPLY":
            applied = [later.identifier for later in tokens[place + 1 : place + 3]]
            if any(candidate in _FUNCTIONS for candidate in applied):
                _refuse("a function that reads files")
        if token.upper == b"ENGINE":
            _check_engine([later for later in tokens[place + 1 : place + 5] if later.text != b"="])
        if name in _SETTINGS and following and following.text == b"=":
            _refuse(f"the setting {name.decode()}")


def _check_engine(named: list[Token]) -> None:
    """Look at the name of a table's or database's engine and its first argument."""
    name = named[0].identifier if named else None
    if name in _ENGINES:
        _refuse(f"the engine {name.decode('utf-8', 'replace')}")
    if name in _HARMLESS_ARGUMENTS and len(named) > 1 and named[1].text == b"(":
        argument = named[2].text if len(named) > 2 else b""
        if not argument.lower().startswith(_HARMLESS_ARGUMENTS[name]):
            _refuse(f"the engine {name.decode()} over anything but an address that starts with http")


def check_setting(name: str) -> None:
    """Raise ServerError for a setting of a request that is no setting's name (115) or names a server's file (497)."""
    if not _SETTING_NAME.fullmatch(name):
        raise ServerError(115, "UNKNOWN_SETTING", "Setting has an invalid name.")
    if name.lower().encode() in _SETTINGS:
        _refuse(f"the setting {name}")


def _is_new_table(statement: Statement, place: int) -> bool:
    """A table that merely bears such a name, its columns behind it: INSERT INTO file (a), CREATE TABLE file (a)."""
    tokens: tuple[Token, ...] = statement.tokens
    while place >= 2 and tokens[place - 1].text == b".":
        place -= 2
    before = tokens[place - 1].upper if place else b""
    if statement.kind == b"INSERT":
        return before == b"INTO" or (before == b"TABLE" and place <= 3)
    return statement.kind == b"CREATE" and place <= 8 and before in (b"TABLE", b"EXISTS", b"VIEW", b"DICTIONARY")


def _refuse(what: str) -> None:
    raise ServerError(
        497, "ACCESS_DENIED", f"Not enough privileges. This server does not give clients access to its files: {what}."
    )
