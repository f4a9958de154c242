"""What an install takes: the lock holds all that the project asks for, in versions that run on every Python it names."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from orchestration import doctor

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked_versions() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[str]:
    optional = [text for group in PROJECT["project"]["optional-dependencies"].values() for text in group]
    return [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"], *optional]


@pytest.mark.parametrize("text", requirements())
def test_the_lock_holds_a_version_that_the_project_asks_for(text):
    requirement = Requirement(text)
    assert requirement.specifier.contains(locked_versions()[canonicalize_name(requirement.name)])


def test_the_lock_names_exact_versions_and_no_addresses():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text and " @ " not in text


VERSIONS = [(3, minor) for minor in range(9, 17)]


def is_named(version: tuple[int, int]) -> bool:
    return ".".join(map(str, version)) in SpecifierSet(PROJECT["project"]["requires-python"])


@pytest.mark.parametrize("version", VERSIONS)
def test_makefile_and_doctor_judge_a_python_as_the_project_does(version, monkeypatch):
    question = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("SUPPORTED := "))
    monkeypatch.setattr(sys, "version_info", (*version, 1))
    with pytest.raises(SystemExit) as answer:
        exec(question.removeprefix("SUPPORTED := "))
    assert (not answer.value.code) == is_named(version)
    assert (next(doctor.examine())[1] == "") == is_named(version)


def fake_python(folder: Path, name: str, version: tuple[int, int]) -> None:
    """A command that answers the Makefile's question as a Python of this version would, and does nothing else."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {0 if is_named(version) else 1}\n")
    path.chmod(0o755)


def setup_plan(tmp_path: Path, **pythons: tuple[int, int]) -> subprocess.CompletedProcess[str]:
    """What `make setup` would do in a fresh checkout where only these commands are called python."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sh", "test"):
        (commands / name).symlink_to(shutil.which(name) or "")
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        fake_python(commands, name, pythons.get(name.replace(".", "_"), (3, 14)))
    make = shutil.which("make")
    assert make
    return subprocess.run(
        [make, "setup"], cwd=tmp_path, env={"PATH": str(commands)}, capture_output=True, text=True, check=False
    )


def test_where_no_python_is_supported_the_install_says_which_are(tmp_path):
    finished = setup_plan(tmp_path)
    assert finished.returncode == 2
    assert finished.stderr.startswith("tierhouse needs Python 3.11, 3.12 or 3.13; install one")
    assert not (tmp_path / ".venv").exists()


def test_the_install_passes_over_a_python_that_its_libraries_do_not_run_on(tmp_path):
    finished = setup_plan(tmp_path, python3_12=(3, 12))
    # The stand-in makes no environment, so the install ends at the next step.
    assert "needs Python" not in finished.stderr and ".venv/bin/pip" in finished.stderr
