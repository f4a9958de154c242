"""`tierhouse sql` against a warehouse of its own."""

import pytest
from click.testing import CliRunner
from embedded_server import READER, READER_PASSWORD, Server
from own_warehouse import SAMPLE

from orchestration.cli import main


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["SELECT 1 AS a, 'x' AS b FORMAT TSV"], "1\tx\n"),
        (["--format", "csv", "SELECT 1 AS a, 'x' AS b"], '"a","b"\n1,"x"\n'),
        (["--format", "json", "SELECT 1 AS a"], '{"a":1}\n'),
        (["--format", "json", "SELECT 1 AS a FORMAT CSV"], "1\n"),
    ],
)
def test_a_format_in_the_statement_goes_before_the_option(in_own_warehouse, arguments, answer) -> None:
    result = CliRunner().invoke(main, ["sql", *arguments])
    assert (result.exit_code, result.stdout) == (0, answer)


@pytest.mark.parametrize(
    ("statement", "told"),
    [("SELECT no_such_column", "no_such_column"), ("SELEC 1", "Syntax error"), ("SELECT 1 FROM no.table", "no")],
)
def test_a_wrong_statement_ends_in_one_short_line_and_a_failure(in_own_warehouse, statement, told) -> None:
    result = CliRunner().invoke(main, ["sql", statement])
    assert result.exit_code == 1
    assert result.stderr.startswith("tierhouse: the warehouse says: ") and told in result.stderr
    assert result.stderr.count("\n") == 1 and len(result.stderr) < 450 and "http" not in result.stderr


def test_who_may_only_read_is_told_that_a_command_needs_the_owner(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"HOME": str(server.home), "PORT": str(server.port), "USER": READER, "PASSWORD": READER_PASSWORD}
    for name, value in named.items():
        monkeypatch.setenv(f"TIERHOUSE_{name}", value)
    for arguments in (["explain", "207"], ["land", str(SAMPLE)], ["sql", "CREATE DATABASE mine"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1
        assert (
            "this command needs the account that owns the warehouse" in result.stderr and result.stderr.count("\n") == 1
        )
