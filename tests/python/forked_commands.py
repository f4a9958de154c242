"""Commands of tierhouse in processes of their own, forked from one that has imported the libraries already.

Half of the processor time of a command over a small warehouse is the import of Dagster, dbt and Great Expectations.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

from own_warehouse import OwnWarehouse

# Of ours only what imports Great Expectations: other modules read the environment as they are imported.
_IMPORTED = [
    "orchestration.quality.validation",
    "dagster_dbt",
    "dbt.adapters.clickhouse",
    "dbt.cli.main",
    "sklearn.ensemble",
]


class ForkedCommands(OwnWarehouse):
    """A warehouse whose commands run so; output and errors pass through files in its home."""

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_IMPORTED)
        printed = [self.settings.home / name for name in ("command.out", "command.err")]
        process = context.Process(target=_command, args=(arguments, self.variables | variables, *printed))
        process.start()
        process.join(600)
        assert process.exitcode is not None, f"tierhouse {' '.join(arguments)} does not end"
        output, errors = (path.read_text(encoding="utf-8") for path in printed)
        return process.exitcode, output, errors


def _command(arguments: tuple[str, ...], variables: dict[str, str], output: Path, errors: Path) -> None:
    os.environ.update(variables)
    for path, descriptor in ((output, 1), (errors, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = ["tierhouse", *arguments]
    from orchestration.cli import main

    main()
