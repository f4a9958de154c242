"""`tierhouse sql` against a warehouse of its own."""

import pytest
from click.testing import CliRunner

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


def test_a_wrong_statement_ends_in_one_line_and_a_failure(in_own_warehouse) -> None:
    result = CliRunner().invoke(main, ["sql", "SELECT no_such_column"])
    assert result.exit_code == 1
    assert "no_such_column" in result.stderr
    assert result.stderr.count("\n") == 1
