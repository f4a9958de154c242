"""The server as a process: it starts by itself, keeps what was committed, and says in one line why it cannot start."""

import contextlib
import errno
import fcntl
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from embedded_server import PATIENCE_SECONDS, ROOT, start_server, stop_server, wait_until

from orchestration.errors import TierhouseError
from orchestration.warehouse import client, serve
from orchestration.warehouse.client import (
    FOLDER_IN_USE,
    connect,
    connection_failure,
    ensure_running,
    running_server,
    server_file,
)
from orchestration.warehouse.settings import Settings


def stop_running(home: Path) -> None:
    """End the server of a home that a command has started."""
    running = running_server(home)
    assert running
    os.kill(running.pid, signal.SIGTERM)
    wait_until(lambda: not running_server(home), "the server to end")


def start_expecting_refusal(home, *arguments: str, **variables: str) -> str:
    """Start a server that must not come up; gives the one line that it says."""
    finished = subprocess.run(
        [sys.executable, "-m", "orchestration.warehouse.serve", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"TIERHOUSE_HOME": str(home)} | variables,
        timeout=PATIENCE_SECONDS,
    )
    assert finished.returncode in (1, FOLDER_IN_USE) and finished.stdout == ""
    lines = finished.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("tierhouse: "), finished.stderr
    return lines[0]


def test_a_second_server_on_the_same_folder_says_so_in_one_line(server):
    assert f"already runs on {server.home / 'warehouse'}, at http://127.0.0.1:{server.port}" in start_expecting_refusal(
        server.home, "--port", "0"
    )
    assert server.ask("SELECT 1").text == "1\n"


def test_a_command_waits_for_a_server_that_is_just_ending(tmp_path):
    folder = tmp_path / "warehouse"
    folder.mkdir()
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})
    log = tmp_path / "logs" / "warehouse.log"
    with (folder / "server.lock").open("w") as ending, ThreadPoolExecutor(1) as pool:
        fcntl.flock(ending, fcntl.LOCK_EX)
        found = pool.submit(ensure_running, settings)
        wait_until(lambda: log.exists() and "already runs on" in log.read_text(), "a server to find the folder in use")
        assert not found.done()
        fcntl.flock(ending, fcntl.LOCK_UN)
        assert connect(found.result()).command("SELECT 1") == 1
    stop_running(tmp_path)


def test_a_command_gives_up_on_a_folder_that_stays_in_use(tmp_path, monkeypatch):
    folder = tmp_path / "warehouse"
    folder.mkdir()
    monkeypatch.setattr(client, "START_SECONDS", 3.0)
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})
    with (folder / "server.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TierhouseError, match="another server already runs on"):
            ensure_running(settings)


def test_a_port_in_use_and_an_open_door_are_refused_in_one_line(server, tmp_path):
    assert f"cannot listen on 127.0.0.1:{server.port}" in start_expecting_refusal(tmp_path, "--port", str(server.port))
    assert "without a password" in start_expecting_refusal(tmp_path, "--host", "0.0.0.0", "--port", "0")
    assert "TIERHOUSE_MEMORY_LIMIT_GIB" in start_expecting_refusal(tmp_path, TIERHOUSE_MEMORY_LIMIT_GIB="much")
    assert "TIERHOUSE_READER_PASSWORD" in start_expecting_refusal(tmp_path, TIERHOUSE_READER_USER="bi")


def test_after_a_kill_in_mid_write_all_committed_data_are_there(tmp_path):
    first = start_server(tmp_path)
    first.ask("CREATE TABLE kept (batch UInt64, number UInt64) ENGINE = MergeTree ORDER BY (batch, number)")
    first.ask("CREATE DATABASE other")
    first.ask("CREATE TABLE other.kept ENGINE = MergeTree ORDER BY a AS SELECT 7 AS a")
    committed: list[int] = []

    def write() -> None:
        for batch in range(10_000):
            try:
                answer = first.ask(f"INSERT INTO kept SELECT {batch}, number FROM numbers(1000)")
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 200:
                committed.append(batch)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(committed) >= 20, "some batches to be written")
    first.process.kill()
    first.process.wait()
    for writer in writers:
        writer.join()
    second = start_server(tmp_path)
    counts = dict(
        line.split("\t")
        for line in second.ask("SELECT batch, uniqExact(number) FROM kept GROUP BY batch").text.splitlines()
    )
    assert {counts.get(str(batch)) for batch in committed} == {"1000"}
    assert second.ask("SELECT a FROM other.kept").text == "7\n"
    assert stop_server(second) == 0
    assert not server_file(tmp_path).exists()


def test_a_server_may_open_as_many_files_as_many_clients_need(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        running = start_server(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = Path(f"/proc/{running.process.pid}/limits")
    if limits.exists():
        line = next(line for line in limits.read_text().splitlines() if line.startswith("Max open files"))
        allowed = (1 << 16) if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
        assert int(line.split()[3]) == allowed
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: running.ask("SELECT sleep(0.5)"), range(200)))
    assert {answer.text for answer in answers} == {"0\n"}
    stop_server(running)


def test_a_stop_waits_for_running_queries_and_leaves_quietly(tmp_path):
    running = start_server(tmp_path)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(running.ask("SELECT sleep(1.5), 'last wish'")))
    asking.start()
    wait_until(lambda: running.running("last wish"), "the query to run")
    assert stop_server(running) == 0
    asking.join()
    assert answers[0].status == 200
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_a_stop_leaves_a_query_that_does_not_end(tmp_path):
    running = start_server(tmp_path)
    running.ask("CREATE TABLE kept ENGINE = MergeTree ORDER BY a AS SELECT number AS a FROM numbers(1000000)")
    silent = socket.create_server(("127.0.0.1", 0))

    def ask_in_vain() -> None:
        # Nobody answers there: the engine waits, and hears neither KILL nor the end of its client.
        sql = f"SELECT sum(a) FROM url('http://127.0.0.1:{silent.getsockname()[1]}/', CSV, 'a Int8')"
        with contextlib.suppress(OSError, http.client.HTTPException):
            running.ask(sql, http_receive_timeout=600)

    asking = threading.Thread(target=ask_in_vain)
    asking.start()
    wait_until(lambda: running.running("sum(a)"), "the query to run")
    assert stop_server(running) == 0
    asking.join()
    silent.close()
    assert not server_file(tmp_path).exists()
    assert "leaving without it" in (tmp_path / "server.log").read_text()
    again = start_server(tmp_path)
    assert again.ask("SELECT count() FROM kept").text == "1000000\n"
    stop_server(again)


def test_a_password_is_needed_when_one_is_set(tmp_path):
    locked = start_server(tmp_path, TIERHOUSE_PASSWORD="sésame")
    assert locked.ask("SELECT 1").code == 516
    assert locked.ask("SELECT 1", password="sésame").text == "1\n"
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})
    with pytest.raises(TierhouseError, match="refuses user 'default'; check TIERHOUSE_USER and TIERHOUSE_PASSWORD"):
        connect(settings)
    assert connect(replace(settings, password="sésame")).command("SELECT 1") == 1
    stop_server(locked)
    assert "sésame" not in (tmp_path / "server.log").read_text()


def test_a_client_starts_the_server_once_and_finds_it_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TIERHOUSE_IDLE_MINUTES", "0.05")
    settings = Settings.from_environment({"TIERHOUSE_HOME": str(tmp_path)})
    assert running_server(tmp_path) is None
    found: list[Settings] = []
    starters = [threading.Thread(target=lambda: found.append(ensure_running(settings))) for _ in range(3)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len({one.port for one in found}) == 1 and len(found) == 3
    record = json.loads(server_file(tmp_path).read_text())
    assert record["port"] == found[0].port and connect(settings).command("SELECT 1") == 1
    wait_until(lambda: not server_file(tmp_path).exists(), "the idle server to end")
    assert "Traceback" not in (tmp_path / "logs" / "warehouse.log").read_text()


def test_a_server_that_a_command_started_ends_when_its_home_is_gone(tmp_path):
    home = tmp_path / "home"
    settings = ensure_running(Settings.from_environment({"TIERHOUSE_HOME": str(home)}))
    assert connect(settings).command("SELECT 1") == 1
    # Moved away rather than deleted: the engine writes its logs meanwhile.
    home.rename(tmp_path / "gone")

    def is_refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((settings.host, settings.port)) != 0

    wait_until(is_refused, "the server of the deleted home to end")


def test_a_server_whose_home_another_one_has_begun_anew_leaves_it_the_record(tmp_path):
    by_command, by_hand = tmp_path / "by_command", tmp_path / "by_hand"
    settings = ensure_running(Settings.from_environment({"TIERHOUSE_HOME": str(by_command)}))
    running = start_server(by_hand)
    for home in (by_command, by_hand):
        record = json.loads(server_file(home).read_text())
        home.rename(tmp_path / f"gone_{home.name}")
        server_file(home).parent.mkdir(parents=True)
        server_file(home).write_text(json.dumps(record | {"pid": os.getpid()}))

    def is_refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((settings.host, settings.port)) != 0

    wait_until(is_refused, "the server of the deleted home to end")
    assert stop_server(running) == 0
    for home in (by_command, by_hand):
        assert json.loads(server_file(home).read_text())["pid"] == os.getpid()


def test_a_record_that_cannot_be_read_now_is_no_reason_to_end(tmp_path, monkeypatch):
    record = tmp_path / "server.json"
    assert not serve._is_own(record)
    record.write_text("no record")
    assert not serve._is_own(record)
    record.write_text(json.dumps({"pid": os.getpid()}))
    assert serve._is_own(record)

    def refuse(*_, **__) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert serve._is_own(record)


def test_a_stale_record_of_a_dead_server_is_not_believed(server, tmp_path):
    (tmp_path / "warehouse").mkdir()
    record = {"pid": server.process.pid, "host": "127.0.0.1", "port": server.port}
    server_file(tmp_path).write_text(json.dumps(record))
    assert running_server(tmp_path) is None
    server_file(tmp_path).write_text("not json")
    assert running_server(tmp_path) is None
    assert running_server(server.home) is not None


def test_an_unreachable_remote_server_gives_one_line():
    settings = Settings.from_environment(
        {"TIERHOUSE_TARGET": "server", "CLICKHOUSE_HOST": "127.0.0.1", "CLICKHOUSE_PORT": "1"}
    )
    with pytest.raises(TierhouseError, match=r"^cannot reach the warehouse at http://127\.0\.0\.1:1: [^\n]*$"):
        connect(settings)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Error HTTPConnectionPool(host='h', port=1): Max retries exceeded with url: /?query_id=1 (Caused by "
            "NewConnectionError(\"HTTPConnection(host='h', port=1): Failed to establish a new connection: [Errno 111] "
            'Connection refused")) executing HTTP request attempt 1',
            "[Errno 111] Connection refused",
        ),
        (
            "Max retries exceeded (Caused by NameResolutionError(\"HTTPConnection(host='h', port=1): Failed to resolve 'h' "
            '([Errno -2] Name or service not known)"))',
            "[Errno -2] Name or service not known",
        ),
        (
            "Error ('Connection aborted.', RemoteDisconnected('Remote end closed connection without response')) executing",
            "Remote end closed connection without response",
        ),
        ("('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))", "Connection reset by peer"),
        ("Code: 60. DB::Exception: Unknown table", None),
    ],
)
def test_the_reason_of_a_broken_connection_is_taken_out_of_its_wrapping(text, reason):
    assert connection_failure(text) == reason
