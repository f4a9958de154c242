"""The help of the commands is enough to find all of them and what they take."""

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from orchestration.cli import main
from orchestration.landing.contract import TABLES
from orchestration.tables import column_table

COMMANDS = sorted(main.commands.items())


def test_no_summary_of_a_command_is_cut_at_80_columns() -> None:
    text = CliRunner().invoke(main, ["-h"], terminal_width=80).output.partition("Commands:")[2]
    assert "..." not in text
    assert all(f"\n  {name} " in text for name, _ in COMMANDS)


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_every_option_says_what_it_does(name: str, command: click.Command) -> None:
    silent = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert silent == []


def test_the_help_of_land_leads_to_every_column() -> None:
    text = " ".join(CliRunner().invoke(main, ["land", "-h"]).output.split())
    assert "--columns" in text and all(name in text for name in TABLES)
    for name, table in TABLES.items():
        listed = CliRunner().invoke(main, ["land", "--columns", name]).output
        assert listed == column_table(name) + "\n"
        assert {column.name for column in table.columns} <= {line.split(" ")[0] for line in listed.splitlines()}
        assert max(cell_len(line) for line in listed.splitlines()) <= 80
