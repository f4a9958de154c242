"""Fitted models as values: what was learned, from which days and data, by which code; and their files.

A model that scores a day was trained on what was known at the end of the last day of the month before. So one artifact serves
a whole month, and any day can be scored again, in any order, with the same result.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from orchestration.errors import TierhouseError

_VERSION_DIGITS = 12


def training_day(as_of: date) -> date:
    """The day whose end bounds what the model that scores `as_of` may know: the last day of the month before."""
    return as_of.replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class Artifact:
    """One fitted model. Equal inputs give an equal `version`, on any machine.

    model: its name, the folder of its files. code_version: changes whenever the same data would give other parameters.
    trained_from, trained_until: first and last business date that it saw. data_fingerprint: see `fingerprint`.
    parameters: what scoring needs, as JSON holds it (texts, finite numbers, booleans, None, lists, dicts with texts as keys);
    tuples become lists. Raises ValueError or TypeError for anything else.
    """

    model: str
    code_version: str
    trained_from: date
    trained_until: date
    data_fingerprint: str
    parameters: dict[str, Any]

    def __post_init__(self) -> None:
        if self.trained_from > self.trained_until:
            raise ValueError(f"{self.model} is trained from {self.trained_from} until {self.trained_until}")
        # As it comes back from a file, so that a loaded artifact equals the saved one.
        object.__setattr__(self, "parameters", json.loads(_canonical(self.parameters)))

    @property
    def version(self) -> str:
        """Short hash of everything else: twelve hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:_VERSION_DIGITS]

    def to_json(self) -> str:
        """Everything as one JSON text; equal artifacts give equal texts."""
        return _canonical(
            {
                "model": self.model,
                "code_version": self.code_version,
                "trained_from": self.trained_from.isoformat(),
                "trained_until": self.trained_until.isoformat(),
                "data_fingerprint": self.data_fingerprint,
                "parameters": self.parameters,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Artifact:
        """The artifact that `to_json` wrote. Raises ValueError, KeyError or TypeError where the text is none."""
        fields = json.loads(text)
        return cls(
            model=fields["model"],
            code_version=fields["code_version"],
            trained_from=date.fromisoformat(fields["trained_from"]),
            trained_until=date.fromisoformat(fields["trained_until"]),
            data_fingerprint=fields["data_fingerprint"],
            parameters=fields["parameters"],
        )


def fingerprint(*arrays: np.ndarray) -> str:
    """Short hash of training data, a row per position of the arrays; the order of the rows does not count.

    Arrays have one length and hold numbers or texts. Numbers are compared as float64, so 1 and 1.0 are one value.
    """
    columns = [_sortable(np.asarray(array)) for array in arrays]
    if len({len(column) for column in columns}) > 1:
        raise ValueError("the arrays of a fingerprint differ in length")
    order = np.lexsort(columns[::-1]) if columns else np.array([], dtype=np.int64)
    digest = hashlib.sha256()
    for column in columns:
        kind = "U" if column.dtype == object else column.dtype.kind
        digest.update(f"{kind}{len(column)};".encode())
        if column.dtype == object:
            digest.update("\0".join(column[order]).encode())
        else:
            digest.update(column[order].astype("<f8").tobytes())
    return digest.hexdigest()[:16]


def artifact_path(home: Path, model: str, version: str) -> Path:
    """Where the file of an artifact lies under TIERHOUSE_HOME."""
    return home / "models" / model / f"{version}.json"


def save_file(home: Path, artifact: Artifact) -> Path:
    """Write the artifact's file, whole or not at all. A file that is there already holds the same."""
    path = artifact_path(home, artifact.model, artifact.version)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(artifact.to_json() + "\n", encoding="utf-8")
        partial.replace(path)
    return path


def load_file(path: Path) -> Artifact:
    """The artifact of a file. Raises TierhouseError when the file is missing, damaged, or was edited by hand."""
    try:
        artifact = Artifact.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TierhouseError(f"there is no model {path}; refresh the day that needs it to fit it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TierhouseError(f"the model {path} cannot be read ({error}); delete the file and refresh") from None
    if artifact.version != path.stem:
        raise TierhouseError(f"the model {path} is not what was saved under its name; delete the file and refresh")
    return artifact


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _sortable(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "biuf":
        # Minus zero equals zero, so both must have one set of bytes.
        return array.astype(np.float64) + 0.0
    if array.dtype.kind in "OUT":
        # Not of a fixed width, in which every text takes the room of the longest.
        return np.array([str(text) for text in array.tolist()], dtype=object)
    raise TypeError(f"a fingerprint takes numbers and texts, not {array.dtype}")
