"""Sessions: a name a client chose, the engine handle that keeps its temporary tables and settings, and when it ends."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestration.warehouse.server.engine import Engine, Handle
from orchestration.warehouse.server.errors import ServerError

DEFAULT_TIMEOUT_SECONDS = 60
MAXIMUM_TIMEOUT_SECONDS = 3600


@dataclass
class Borrowed:
    """What the last request has put in force in its session: settings, and a database where it named one."""

    settings: dict[str, str]
    database: str


@dataclass
class Session:
    """One session; `busy` while a query runs in it. `settings`, `roles` (both as SQL text) and `database` are its own, as its SET
    and USE statements made them, `is_changed` whether any did, or a temporary table may be there. The engine is not asked for them: its
    answer would itself be under these settings. `borrowed` is what a request has put over them and the next one may need
    alike: nothing runs in a session between its requests."""

    handle: Handle
    timeout: float
    expires: float
    busy: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    database: str = "default"
    roles: str = "DEFAULT"
    is_changed: bool = False
    borrowed: Borrowed | None = None


class Sessions:
    """All sessions of the server, by user and session id. Each serves one query at a time."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic):
        self._engine = engine
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def acquire(self, user: str, session_id: str, timeout: float, must_exist: bool, rights: str) -> Session:
        """Enter a session, making it unless `must_exist`; one that is there keeps the timeout it was made with, as on a server.
        Raises ServerError 373 while another query runs in it, 372 when it must exist and does not."""
        self.expire()
        with self._lock:
            session = self._sessions.get((user, session_id))
            if session is not None and session.busy:
                raise ServerError(373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client.")
            if session is not None:
                session.busy = True
                return session
            if must_exist:
                raise ServerError(372, "SESSION_NOT_FOUND", f"Session {session_id} not found.")
            self._engine.log_session(user, session_id)
            session = Session(self._engine.open(rights), timeout, 0.0)
            self._sessions[user, session_id] = session
            return session

    def release(self, session: Session) -> None:
        """Leave a session; its time until it expires starts anew."""
        with self._lock:
            session.busy = False
            session.expires = self._clock() + session.timeout

    def close(self, user: str, session_id: str) -> None:
        """End a session that no query runs in, before its time."""
        with self._lock:
            session = self._sessions.get((user, session_id))
            if session is None or session.busy:
                return
            del self._sessions[user, session_id]
        session.handle.close()

    def expire(self, everything: bool = False) -> None:
        """Close the sessions whose time is over, or all that are idle."""
        now = self._clock()
        with self._lock:
            over = [key for key, one in self._sessions.items() if not one.busy and (everything or one.expires <= now)]
            ended = [self._sessions.pop(key) for key in over]
        for session in ended:
            session.handle.close()


def read_timeout(text: str | None) -> float:
    """The value of session_timeout in seconds. Raises ServerError 374 unless it is a number up to the maximum."""
    if text is None:
        return DEFAULT_TIMEOUT_SECONDS
    if not (text.isascii() and text.isdigit()):
        raise ServerError(374, "INVALID_SESSION_TIMEOUT", "Invalid session timeout.")
    if int(text) > MAXIMUM_TIMEOUT_SECONDS:
        raise ServerError(
            374,
            "INVALID_SESSION_TIMEOUT",
            f"Session timeout '{text}' is larger than max_session_timeout: {MAXIMUM_TIMEOUT_SECONDS}. Maximum session"
            " timeout could be modified in configuration file.",
        )
    return float(text)
