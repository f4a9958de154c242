"""Settings from environment variables: defaults, what a child process gets, and clear lines for bad values."""

from pathlib import Path

import pytest

from orchestration.errors import TierhouseError
from orchestration.warehouse.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_defaults_are_the_embedded_warehouse_of_the_checkout_on_loopback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment({})
    assert settings.home == REPOSITORY / ".tierhouse"
    assert (settings.target, settings.url, settings.user) == ("embedded", "http://127.0.0.1:18123", "default")
    assert settings.database("marts") == "tierhouse_marts" and not settings.port_is_explicit


def test_a_remote_target_reads_the_variables_of_clickhouse():
    variables = {
        "TIERHOUSE_TARGET": "cluster",
        "CLICKHOUSE_HOST": "h",
        "CLICKHOUSE_SECURE": "1",
        "CLICKHOUSE_CLUSTER": "c",
    }
    settings = Settings.from_environment(variables | {"CLICKHOUSE_PASSWORD": "secret", "TIERHOUSE_PORT": "1"})
    assert (settings.url, settings.cluster) == ("https://h:8443", "c")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "variables", [{}, {"TIERHOUSE_TARGET": "server", "CLICKHOUSE_HOST": "h", "CLICKHOUSE_PASSWORD": "p"}]
)
def test_a_child_process_gets_the_same_settings(variables):
    settings = Settings.from_environment(variables)
    again = Settings.from_environment(settings.environment())
    assert again.environment() == settings.environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIERHOUSE_TARGET", "laptop"),
        ("TIERHOUSE_SCHEMA", "Drop Table"),
        ("TIERHOUSE_ZONE", "Mars/Olympus"),
        ("TIERHOUSE_PORT", "eighty"),
        ("TIERHOUSE_PORT", "70000"),
        ("TIERHOUSE_REFUSAL_LIMIT", "2"),
        ("TIERHOUSE_REFUSAL_LIMIT", "nan"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(name, value):
    with pytest.raises(TierhouseError, match=name):
        Settings.from_environment({name: value})


def test_a_remote_target_needs_its_host_and_cluster():
    with pytest.raises(TierhouseError, match="CLICKHOUSE_HOST"):
        Settings.from_environment({"TIERHOUSE_TARGET": "server"})
    with pytest.raises(TierhouseError, match="CLICKHOUSE_CLUSTER"):
        Settings.from_environment({"TIERHOUSE_TARGET": "cluster", "CLICKHOUSE_HOST": "h"})
    with pytest.raises(TierhouseError, match="CLICKHOUSE_SECURE"):
        Settings.from_environment({"TIERHOUSE_TARGET": "server", "CLICKHOUSE_HOST": "h", "CLICKHOUSE_SECURE": "yes"})
