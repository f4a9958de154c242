"""Connections of dbt that outlive its call: who gets one again, and who does not."""

import pytest
from dbt.adapters.clickhouse.credentials import ClickHouseCredentials

from orchestration import dbt_connections


class Client:
    """Stands for a client of dbt-clickhouse."""

    def close(self) -> None:
        raise AssertionError("a kept client is not to be closed")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt_connections, "_idle", [])
    monkeypatch.setattr(dbt_connections, "get_db_client", lambda credentials: Client())


def credentials(schema: str = "tierhouse", **options: bool) -> ClickHouseCredentials:
    return ClickHouseCredentials(schema=schema, **options)


def test_a_closed_connection_is_taken_again() -> None:
    first = dbt_connections._client(credentials())
    first.close()
    first.close()

    assert dbt_connections._client(credentials()) is first
    assert dbt_connections._client(credentials()) is not first


def test_a_connection_in_use_is_not_shared() -> None:
    assert dbt_connections._client(credentials()) is not dbt_connections._client(credentials())


def test_other_credentials_get_a_connection_of_their_own() -> None:
    first = dbt_connections._client(credentials())
    first.close()

    assert dbt_connections._client(credentials(schema="elsewhere")) is not first


def test_a_connection_whose_session_may_have_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    first = dbt_connections._client(credentials())
    first.close()
    monkeypatch.setattr(dbt_connections, "IDLE_SECONDS", 0.0)

    assert dbt_connections._client(credentials()) is not first


def test_a_profile_that_wants_new_connections_gets_them() -> None:
    first = dbt_connections._client(credentials(reuse_connections=False))

    with pytest.raises(AssertionError, match="not to be closed"):
        first.close()
