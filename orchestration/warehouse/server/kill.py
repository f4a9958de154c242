"""KILL QUERY of users that may only read: which conditions they may give, and the statement narrowed to their own queries."""

from orchestration.warehouse.server.engine import quote
from orchestration.warehouse.server.statement import Statement, read_statement

# What joins the parts of a condition that only compares.
_JOINTS = (b"AND", b"OR", b"NOT", b"IN", b"LIKE", b"ILIKE", b"BETWEEN", b"IS")
_WAITS = (b"SYNC", b"ASYNC", b"TEST")
# What it may compare: any other name might be a table's.
_COLUMNS = frozenset(
    (
        b"query_id", b"initial_query_id", b"user", b"initial_user", b"query", b"query_kind", b"normalized_query_hash", b"elapsed",
        b"read_rows", b"read_bytes", b"total_rows_approx", b"memory_usage", b"peak_memory_usage", b"current_database",
        b"http_user_agent", b"client_name", b"address", b"is_cancelled", b"is_initial_query",
    )
)  # fmt: skip


def kills_by_plain_condition(statement: Statement) -> bool:
    """Whether a KILL QUERY only compares columns of the process list with values, as it is computed with the rights of another: no
    function or subquery, no settings, no name given that could stand for a column, no bracket that closes one outside."""
    end = _end_of_condition(statement)
    before = [token.upper for token in statement.tokens[:3]]
    behind = [token.upper for token in statement.tokens[end:]]
    if behind and behind[0] in _WAITS:
        behind = behind[1:]
    if before[2:] != [b"WHERE"] or statement.settings or (behind and (behind[0] != b"FORMAT" or len(behind) != 2)):
        return False
    depth, is_parameter, follows_value = 0, False, False
    for token in statement.tokens[3:end]:
        depth += token.nesting
        is_value = token.kind != "symbol" and token.upper not in _JOINTS
        # Two values beside each other are a function's call, a name given to a value, or a subquery.
        is_second = follows_value and (is_value or token.text in (b"(", b"{"))
        is_name = is_value and token.name is not None and not token.text[:1].isdigit()
        if not is_parameter and (is_second or (is_name and token.name not in _COLUMNS)):
            return False
        if depth < 0 or token.text == b"[" or token.upper == b"IDENTIFIER":
            return False
        if token.text in (b"{", b"}"):
            is_parameter = token.text == b"{"
        follows_value = is_value or token.text in (b")", b"}")
    return depth == 0


def _end_of_condition(statement: Statement) -> int:
    """Place of the first token behind the condition of a KILL QUERY; the number of tokens where none is."""
    tokens = statement.tokens
    ends = (place for place in range(3, len(tokens)) if tokens[place].upper in (*_WAITS, b"FORMAT"))
    return next(ends, len(tokens))


def narrow_to_user(statement: Statement, user: str) -> Statement:
    """A KILL QUERY for the queries of one user only."""
    start, behind = statement.tokens[2].end, statement.tokens[_end_of_condition(statement) :]
    end = behind[0].start if behind else len(statement.text)
    own = f") AND user = {quote(user)} ".encode("utf-8", "surrogateescape")
    text = statement.text[:start] + b" (" + statement.text[start:end] + b"\n" + own + statement.text[end:]
    return read_statement(text, len(text))
