"""The manifest: made in this process, anew only where something else than the address of the warehouse has changed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from own_warehouse import REPOSITORY, with_parsed_project

from orchestration.project import ensure_manifest
from orchestration.warehouse.settings import Settings


def test_a_manifest_that_a_killed_process_left_half_written_is_made_anew(tmp_path: Path, parsed_project: Path) -> None:
    home = with_parsed_project(tmp_path / "home", parsed_project)
    (home / "target" / "manifest.json").write_text('{"nodes": {', encoding="utf-8")
    manifest = ensure_manifest(Settings.from_environment({"TIERHOUSE_HOME": str(home)}))
    assert json.loads(manifest.read_text(encoding="utf-8"))["nodes"]


def test_processes_that_find_the_project_changed_all_read_a_whole_manifest(tmp_path: Path) -> None:
    reading = (
        "import json; from orchestration.project import ensure_manifest; from orchestration.warehouse.settings import Settings; "
        "json.loads(ensure_manifest(Settings.from_environment()).read_bytes())"
    )
    environment = os.environ | {"TIERHOUSE_HOME": str(tmp_path)}
    readers = [
        subprocess.Popen([sys.executable, "-c", reading], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [reader.communicate()[1].decode()[-300:] for reader in readers if reader.wait()] == []


def test_another_address_needs_no_new_parse_and_another_prefix_does(tmp_path: Path, parsed_project: Path) -> None:
    home = with_parsed_project(tmp_path / "home", parsed_project)
    variables = {"TIERHOUSE_HOME": str(home), "TIERHOUSE_PORT": "9", "TIERHOUSE_USER": "somebody"}
    settings = Settings.from_environment(variables)
    state = home / "target" / parsed_project.name
    os.utime(state, (0, 0))
    environment = dict(os.environ)

    manifest = ensure_manifest(settings)
    # dbt writes its state when it has parsed something.
    assert state.stat().st_mtime == 0
    manifest.unlink()
    ensure_manifest(replace(settings, prefix="another"))

    assert state.stat().st_mtime > 0
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
    assert "another_facts" in {node["schema"] for node in nodes}
    assert os.environ == environment
