"""Where the dbt project lies, and its manifest: the compiled list of models that Dagster reads."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestration.warehouse.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parent.parent


def dbt_executable() -> str:
    """The dbt that is installed beside this Python."""
    return str(Path(sys.executable).parent / "dbt")


def target_directory(settings: Settings) -> Path:
    """Where dbt writes compiled SQL, the manifest and run results."""
    return settings.home / "target"


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Environment for dbt: connection, paths under TIERHOUSE_HOME, usage statistics off."""
    return {
        **os.environ,
        **settings.environment(),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_TARGET_PATH": str(target_directory(settings)),
        "DBT_LOG_PATH": str(settings.home / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": "false",
    }


def project_version(settings: Settings) -> str:
    """Short hash of all that views and seeds are made of: the project's files, the adapter, the target and the zone.

    The same for all users of a warehouse, or each would make anew what the others made.
    """
    parts = [metadata.version("dbt-clickhouse"), settings.target, settings.zone]
    digest = hashlib.sha256("\n".join(parts).encode())
    for path in sorted(_project_files()):
        digest.update(path.relative_to(PROJECT_DIR).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def is_settled_node(node: Mapping[str, Any]) -> bool:
    """Whether a node of the manifest is a view or a seed: what only a change of the project or of a seed moves."""
    kind = node["resource_type"]
    return bool(kind == "seed" or (kind == "model" and node["config"]["materialized"] == "view"))


def settled_relations(settings: Settings) -> set[tuple[str, str]]:
    """Database and name of each view and seed that the project makes."""
    manifest = json.loads(ensure_manifest(settings).read_text(encoding="utf-8"))
    nodes = filter(is_settled_node, manifest["nodes"].values())
    return {(settings.database(node["config"]["schema"]), node["alias"]) for node in nodes}


def _project_files() -> list[Path]:
    files = [PROJECT_DIR / "dbt_project.yml", PROJECT_DIR / "profiles.yml"]
    for folder in ("models", "macros", "seeds", "tests/dbt"):
        files += [path for path in (PROJECT_DIR / folder).rglob("*") if path.is_file()]
    return files


def ensure_manifest(settings: Settings) -> Path:
    """Path of the manifest of this very project, made by dbt in this process where needed (no connection used).

    Of several processes that find another one makes it and the others wait, as dbt does not write it in one step: a file beside it
    says of which project it is, once it is whole. Raises TierhouseError with dbt's own message when the project does not parse.
    """
    manifest = target_directory(settings) / "manifest.json"
    # The manifest names databases, so it is of one prefix too.
    made_of, version = manifest.with_name("manifest.version"), f"{project_version(settings)} {settings.prefix}"
    if _is_of(manifest, made_of, version):
        return manifest
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with manifest.with_name("manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_of(manifest, made_of, version):
            # Importing dbt takes over a second, which whoever finds a manifest is spared.
            from orchestration.dbt import parse

            made_of.unlink(missing_ok=True)
            parse(settings)
            made_of.write_text(f"{version} {manifest.stat().st_size}", encoding="utf-8")
    return manifest


def _is_of(manifest: Path, made_of: Path, version: str) -> bool:
    """Whether the manifest is the one of this version, and whole: a machine that goes down may leave it short or full of zeros."""
    try:
        with manifest.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            is_whole = file.read() == b"}"
        return is_whole and made_of.read_text(encoding="utf-8", errors="replace") == f"{version} {size}"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    # `make lint`: the project parses without a connection.
    print(ensure_manifest(Settings.from_environment()))
