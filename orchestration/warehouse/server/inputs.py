"""INSERT ... SELECT ... FROM input(...): the structure of the data, also where it follows from the table that takes them."""

from collections.abc import Callable, Sequence

from orchestration.warehouse.server.engine import quote_identifier
from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.statement import Statement, Token, string_value

Columns = list[tuple[str, str]]


def structure_of_input(statement: Statement, describe: Callable[[bytes], Columns]) -> str:
    """The columns of the data in SQL, as the statement's input() says or, where it says 'auto' or nothing, by place among those of
    the table: `describe` gives names and types of a table's columns. Raises ServerError."""
    assert statement.input_call is not None
    start, end = statement.input_call
    inner = [token for token in statement.tokens if start < token.start < end - 1][1:]
    if len(inner) > 1 or (inner and inner[0].kind != "string"):
        raise ServerError(36, "BAD_ARGUMENTS", "Table function input needs its structure as one string.")
    structure = string_value(inner[0]) if inner else "auto"
    if structure != "auto":
        return structure
    before = [token for token in statement.tokens if token.start < start]
    table, names = _target(before)
    types = dict(describe(table) if table else [])
    found = _by_place(_selected(before), [(name, types[name]) for name in names or types if name in types])
    if not found:
        raise ServerError(
            636,
            "CANNOT_EXTRACT_TABLE_STRUCTURE",
            "Table function 'input' was used without structure argument but structure could not be determined automatically."
            " Please, provide structure manually.",
        )
    return ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in found)


def _target(tokens: Sequence[Token]) -> tuple[bytes, list[str]]:
    """The table behind INSERT INTO, as written, and the columns it names; no table where it is a function."""
    place = next((number for number, token in enumerate(tokens) if token.upper == b"INTO"), len(tokens)) + 1
    if place + 1 < len(tokens) and tokens[place].upper == b"TABLE" and tokens[place + 1].name:
        place += 1
    if place >= len(tokens) or tokens[place].upper == b"FUNCTION":
        return b"", []
    parts = [tokens[place].text]
    while place + 2 < len(tokens) and tokens[place + 1].text == b".":
        place += 2
        parts.append(tokens[place].text)
    names: list[str] = []
    if tokens[place + 1].text == b"(":
        for token in tokens[place + 2 :]:
            if token.text == b")":
                break
            names += [token.name.decode("utf-8", "surrogateescape")] if token.name else []
    return b".".join(parts), names


def _selected(tokens: Sequence[Token]) -> list[list[Token]]:
    """The expressions of the SELECT whose FROM these tokens end with; none where something else comes between."""
    if tokens[-1].upper != b"FROM":
        return []
    items: list[list[Token]] = [[]]
    depth = 0
    for token in reversed(tokens[:-1]):
        depth -= token.nesting
        if not depth and token.upper == b"SELECT":
            return items
        if not depth and token.text == b",":
            items.insert(0, [])
        else:
            items[0].insert(0, token)
    return []


def _by_place(items: list[list[Token]], columns: Columns) -> Columns:
    """A column for each name among the expressions, and the table's own for the asterisk; what reads nothing stands for a
    column that is not in the data. None where an expression may read others, or more than there are."""
    found: Columns = []
    stars = sum(_texts(item) == [b"*"] for item in items)
    covered = len(columns) - len(items) + stars
    if stars > 1 or covered < 0:
        return []
    place = 0
    for item in items:
        name = item[0].name if len(item) == 1 or (len(item) == 3 and item[1].upper == b"AS") else None
        if _texts(item) == [b"*"]:
            found += columns[place : place + covered]
            place += covered
            continue
        if name is not None and not name[:1].isdigit():
            found.append((name.decode("utf-8", "surrogateescape"), columns[place][1]))
        elif not _reads_nothing(item):
            return []
        place += 1
    return found


def _texts(item: list[Token]) -> list[bytes]:
    return [token.text for token in item]


def _reads_nothing(item: list[Token]) -> bool:
    """Whether all names in an expression are its alias or of functions."""
    expression = item[:-2] if len(item) > 2 and item[-2].upper == b"AS" else item
    behind = [*_texts(expression)[1:], b""]
    return all(
        token.name is None or token.name[:1].isdigit() or text == b"("
        for token, text in zip(expression, behind, strict=True)
    )
