"""The process of the embedded warehouse: takes the folder's lock, starts the engine, listens, ends when told."""

import asyncio
import contextlib
import fcntl
import ipaddress
import json
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click
import uvicorn

from orchestration.errors import TierhouseError
from orchestration.warehouse.client import FOLDER_IN_USE, home_identity, running_server, server_file
from orchestration.warehouse.server.protocol import Protocol
from orchestration.warehouse.settings import Settings

logger = logging.getLogger("tierhouse.warehouse")

GIBIBYTE = 1 << 30
KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 10
# How much longer a stop may take before the process leaves what does not end.
LEAVE_SECONDS = 5
BACKLOG = 1024
# Each thread of the engine holds three files open; with 1,024, as a system often allows at first, it fails at some 200 clients.
OPEN_FILES = 1 << 16


class FolderInUse(TierhouseError):
    """Another server holds the folder."""


def serve(settings: Settings, until_idle: bool = False) -> None:
    """Run the embedded warehouse of `settings.home` until a signal (or, with `until_idle`, until nobody asks for
    TIERHOUSE_IDLE_MINUTES). Raises TierhouseError when the folder is in use or the port is taken."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    folder = settings.home / "warehouse"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TierhouseError(f"cannot write to {folder}: {error.strerror}; set TIERHOUSE_HOME") from None
    accounts = _accounts(settings)
    if not _is_loopback(settings.host) and not settings.password:
        raise TierhouseError(
            f"refusing to listen on {settings.host} without a password: set TIERHOUSE_PASSWORD, or listen on 127.0.0.1"
        )
    idle_seconds = _number("TIERHOUSE_IDLE_MINUTES", 15.0) * 60 if until_idle else None
    _allow_open_files()
    memory_bytes = int(_number("TIERHOUSE_MEMORY_LIMIT_GIB", _half_of_memory() / GIBIBYTE) * GIBIBYTE)
    with _folder_lock(settings, folder), _listening(settings) as listener:
        # The engine reads its zone when it is loaded, and takes long to load: a second server should say so before.
        os.environ["TZ"] = "UTC"
        from orchestration.warehouse.server.accounts import OWNER, READER, Account, Accounts, digest_of
        from orchestration.warehouse.server.app import Application
        from orchestration.warehouse.server.engine import Engine
        from orchestration.warehouse.server.errors import ServerError

        bodies = folder / "bodies"
        shutil.rmtree(bodies, ignore_errors=True)
        bodies.mkdir(mode=0o700)
        try:
            engine = Engine(folder, memory_bytes, readable_databases=(settings.database("marts"),))
        except ServerError as error:
            raise TierhouseError(
                f"the warehouse in {folder} cannot be opened: {error.message.splitlines()[0]}"
            ) from None
        application = Application(
            engine,
            Accounts(
                {
                    user: Account(digest_of(password), READER if reads_only else OWNER)
                    for user, (password, reads_only) in accounts.items()
                },
                folder / "accounts.json",
            ),
            bodies,
            home_identity(settings.home),
        )
        try:
            asyncio.run(_listen(application, listener, settings, idle_seconds))
        finally:
            _remove_server_file(server_file(settings.home))
            engine.close()


async def _listen(application, listener: socket.socket, settings: Settings, idle_seconds: float | None) -> None:
    configuration = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
        backlog=BACKLOG,
        lifespan="on",
        http=Protocol,
        ws="none",
    )
    server = _Server(configuration, server_file(settings.home))
    host, port = listener.getsockname()[:2]
    _write_server_file(settings, host, port)
    logger.info("warehouse of %s listens on %s", settings.home, replace(settings, host=host, port=port).url)
    stopper = (
        asyncio.create_task(_stop_when_idle(application, server, idle_seconds, settings)) if idle_seconds else None
    )
    await server.serve(sockets=[listener])
    if stopper is not None:
        stopper.cancel()


class _Server(uvicorn.Server):
    """uvicorn, ending quietly: it would raise the signal again after a graceful stop, which hides the exit code. And ending
    surely: some queries are deaf in the engine, and their threads would keep the process for ever."""

    def __init__(self, configuration: uvicorn.Config, record: Path):
        super().__init__(configuration)
        self._record = record

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        if not self.should_exit:
            leaving = threading.Timer(STOP_SECONDS + LEAVE_SECONDS, self._leave)
            leaving.daemon = True
            leaving.start()
        super().handle_exit(sig, frame)

    def _leave(self) -> None:
        """End at once, as by SIGKILL: what the engine has committed is on the disk, and nothing else would stay in any case."""
        logger.warning("what still runs does not end; leaving without it")
        _remove_server_file(self._record)
        os._exit(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self.handle_exit, one, None)
        yield


async def _stop_when_idle(application, server: uvicorn.Server, idle_seconds: float, settings: Settings) -> None:
    record = server_file(settings.home)
    while application.running or time.monotonic() - application.last_used < idle_seconds:
        await asyncio.sleep(min(1.0, idle_seconds / 4))
        # Nobody finds a server whose folder was deleted, as by `make clean`; it would hold port and memory for nothing.
        if not _is_own(record):
            logger.info("%s is gone, or another server's; stopping", record)
            break
    else:
        logger.info("nobody asked for %.0f s; stopping", idle_seconds)
    server.should_exit = True


def _accounts(settings: Settings) -> dict[str, tuple[str, bool]]:
    """Password and whether only reading is allowed, by user."""
    accounts = {settings.user: (settings.password, False)}
    reader, password = os.environ.get("TIERHOUSE_READER_USER", ""), os.environ.get("TIERHOUSE_READER_PASSWORD", "")
    if reader:
        if reader == settings.user:
            raise TierhouseError("TIERHOUSE_READER_USER must differ from TIERHOUSE_USER")
        if not password:
            raise TierhouseError("TIERHOUSE_READER_USER needs TIERHOUSE_READER_PASSWORD")
        accounts[reader] = (password, True)
    return accounts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = 0.0
    if not number > 0:
        raise TierhouseError(f"{name} is {text!r}; set it to a number above 0")
    return number


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _half_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@contextmanager
def _folder_lock(settings: Settings, folder: Path) -> Iterator[None]:
    """The folder belongs to one server at a time; the lock goes with the process, however it ends."""
    with (folder / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = running_server(settings.home)
            where = f", at {replace(settings, host=other.host, port=other.port).url}" if other else ""
            raise FolderInUse(f"another server already runs on {folder}{where}") from None
        yield


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    try:
        # With the protocol named asyncio sends small packets at once; without, each answer waits 40 ms for an ACK.
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(*found[:3])
    except OSError as error:
        raise TierhouseError(f"cannot listen on {settings.host}: {error.strerror}") from None
    with contextlib.closing(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(found[4])
        except OSError as error:
            address = f"{settings.host}:{settings.port}"
            raise TierhouseError(
                f"cannot listen on {address} ({error.strerror}); set TIERHOUSE_PORT to a free port"
            ) from None
        yield listener


def _write_server_file(settings: Settings, host: str, port: int) -> None:
    path = server_file(settings.home)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps({"pid": os.getpid(), "host": host, "port": port}))
    partial.replace(path)


def _is_own(record: Path) -> bool:
    """Whether the record is there and of this process: where a folder was deleted, another server may have begun a new one."""
    try:
        return json.loads(record.read_text())["pid"] == os.getpid()
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return False
    except OSError:
        # It cannot be read now, as where too many files are open.
        return True


def _remove_server_file(record: Path) -> None:
    if _is_own(record):
        record.unlink(missing_ok=True)


@click.command()
@click.option("--host", default=None, help="Address to listen on.")
@click.option("--port", default=None, type=int, help="Port to listen on; 0 picks a free one.")
@click.option("--until-idle", is_flag=True, help="End after TIERHOUSE_IDLE_MINUTES without a request.")
def main(host: str | None, port: int | None, until_idle: bool) -> None:
    """Run the embedded warehouse of TIERHOUSE_HOME."""
    try:
        settings = Settings.from_environment()
        settings = replace(settings, host=host or settings.host, port=settings.port if port is None else port)
        serve(settings, until_idle)
    except TierhouseError as error:
        print(f"tierhouse: {error}", file=sys.stderr)
        sys.exit(FOLDER_IN_USE if isinstance(error, FolderInUse) else 1)


if __name__ == "__main__":
    main()
