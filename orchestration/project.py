"""Where the dbt project lies, and its manifest: the compiled list of models that Dagster reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from orchestration.errors import TierhouseError
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


def ensure_manifest(settings: Settings) -> Path:
    """Path of a manifest that is as new as the project's files, made by `dbt parse` where needed (no connection used).

    Raises TierhouseError with dbt's own message when the project does not parse.
    """
    manifest = target_directory(settings) / "manifest.json"
    folders = ["models", "macros", "seeds", "tests/dbt"]
    files = [PROJECT_DIR / "dbt_project.yml", PROJECT_DIR / "profiles.yml"]
    files += [path for folder in folders for path in (PROJECT_DIR / folder).rglob("*") if path.is_file()]
    if manifest.exists() and manifest.stat().st_mtime > max(path.stat().st_mtime for path in files):
        return manifest
    result = subprocess.run(
        [dbt_executable(), "parse", "--project-dir", str(PROJECT_DIR), "--quiet"],
        env=dbt_environment(settings),
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        raise TierhouseError(f"the dbt project does not parse: {' '.join(lines[-4:])}")
    # An unchanged project leaves the manifest as it was; its time says that it was checked.
    manifest.touch()
    return manifest


if __name__ == "__main__":
    # `make lint`: the project parses without a connection.
    print(ensure_manifest(Settings.from_environment()))
