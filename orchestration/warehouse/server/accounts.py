"""Who may log in: the accounts of the environment, and those that CREATE USER made, which have no rights in the warehouse.

The engine in process has nowhere to keep users. What it could do for them (grants) it refuses; what clients need before
anything else, that a user is there and can log in, the server does itself."""

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestration.warehouse.server.errors import ServerError
from orchestration.warehouse.server.statement import Statement, Token, string_value

OWNER, READER, NOBODY = "owner", "reader", "nobody"


@dataclass(frozen=True)
class Account:
    """Someone who may ask. `digest` is the SHA-256 of the password; `rights` is OWNER, READER or NOBODY."""

    digest: str
    rights: str

    @property
    def reads_only(self) -> bool:
        """Whether nothing may be written."""
        return self.rights != OWNER


@dataclass(frozen=True)
class AccountStatement:
    """CREATE USER or DROP USER, as far as this server carries them out itself."""

    creates: bool
    names: tuple[str, ...]
    digest: str = ""
    tolerates: bool = False
    replaces: bool = False


class Accounts:
    """All accounts; the ones made by statements are kept in a file of the warehouse's folder."""

    def __init__(self, fixed: dict[str, Account], path: Path):
        self._fixed, self._path = fixed, path
        self._lock = threading.Lock()
        self._made: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def authenticate(self, name: str, password: str) -> Account | None:
        """The account, or None for a wrong password or an unknown name, in equal time for each."""
        account = self._fixed.get(name)
        if account is None and name in self._made:
            account = Account(self._made[name], NOBODY)
        expected = account.digest if account else secrets.token_hex(32)
        matches = hmac.compare_digest(expected, digest_of(password))
        return account if matches else None

    def were_made(self, names: Iterable[bytes]) -> list[str]:
        """Those of the names that belong to users who log in, but have no rights in the engine."""
        return [text for name in names if (text := name.decode("utf-8", "surrogateescape")) in self._made]

    def carry_out(self, statement: AccountStatement) -> None:
        """Make or drop a user. Raises ServerError 493, 192 or 495 as ClickHouse does."""
        with self._lock:
            made = dict(self._made)
            for name in statement.names:
                self._change(made, name, statement)
            if made != self._made:
                self._store(made)

    def _change(self, made: dict[str, str], name: str, statement: AccountStatement) -> None:
        if name in self._fixed and not (statement.creates and statement.tolerates):
            raise ServerError(495, "ACCESS_STORAGE_READONLY", f"Cannot change user `{name}`: it is configured.")
        exists = name in self._fixed or name in made
        if statement.creates and exists and not statement.replaces:
            if not statement.tolerates:
                message = f"Cannot insert user `{name}`: user `{name}` already exists."
                raise ServerError(493, "ACCESS_ENTITY_ALREADY_EXISTS", message)
        elif statement.creates:
            made[name] = statement.digest
        elif exists:
            del made[name]
        elif not statement.tolerates:
            raise ServerError(192, "UNKNOWN_USER", f"There is no user `{name}` in user directories.")

    def _store(self, made: dict[str, str]) -> None:
        partial = self._path.with_suffix(".tmp")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(made, file)
        partial.replace(self._path)
        self._made = made


def digest_of(password: str) -> str:
    """The SHA-256 of a password, as hexadecimal digits."""
    return hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest()


def read_account_statement(statement: Statement) -> AccountStatement | None:
    """CREATE USER [IF NOT EXISTS | OR REPLACE] name, ... [NOT IDENTIFIED | IDENTIFIED [WITH kind] BY 'text'] or DROP USER
    [IF EXISTS] name, ...; None for any other statement, also for users with hosts, roles or settings."""
    words = list(statement.tokens)
    head = _take(words, b"CREATE", b"USER") or _take(words, b"DROP", b"USER") or _take(words, b"CREATE", b"OR")
    creates = statement.kind == b"CREATE"
    replaces = head == (b"CREATE", b"OR") and bool(_take(words, b"REPLACE", b"USER"))
    if not head or (head[1] == b"OR" and not replaces):
        return None
    tolerates = bool(_take(words, b"IF", b"NOT", b"EXISTS") if creates else _take(words, b"IF", b"EXISTS"))
    replaces = replaces or (creates and bool(_take(words, b"OR", b"REPLACE")))
    names = [_text(words.pop(0)) if words else None]
    while _take(words, b",") and words:
        names.append(_text(words.pop(0)))
    known = tuple(name for name in names if name is not None)
    if len(known) < len(names):
        return None
    if not creates:
        return None if words else AccountStatement(False, known, tolerates=tolerates)
    digest = _read_identification(words)
    return None if digest is None else AccountStatement(True, known, digest, tolerates, replaces)


def _read_identification(words: list[Token]) -> str | None:
    if not words or [word.upper for word in words] == [b"NOT", b"IDENTIFIED"]:
        return digest_of("")
    if not _take(words, b"IDENTIFIED"):
        return None
    kind = words.pop(0).text.lower() if _take(words, b"WITH") and words else b"sha256_password"
    if kind == b"no_password" and not words:
        return digest_of("")
    if not _take(words, b"BY") or len(words) != 1 or words[0].kind != "string":
        return None
    text = string_value(words[0])
    if kind in (b"plaintext_password", b"sha256_password"):
        return digest_of(text)
    return text.lower() if kind == b"sha256_hash" and len(text) == 64 else None


def _take(words: list[Token], *expected: bytes) -> tuple[bytes, ...] | None:
    """Take these keywords off the front of the tokens; None, and nothing taken, where others stand there."""
    if tuple(word.upper for word in words[: len(expected)]) != expected:
        return None
    del words[: len(expected)]
    return expected


def _text(token: Token) -> str | None:
    if token.kind == "string":
        return string_value(token)
    return None if token.name is None else token.name.decode("utf-8", "surrogateescape")
