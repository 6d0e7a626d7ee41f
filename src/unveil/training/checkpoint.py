"""Checkpoints: interrupted runs resume from the last completed epoch.

``.checkpoints/ARCH`` contains a ``lock`` and a folder named by the run's identity, with its
``origin`` and the last two ``EPOCH-SHA256.npz``. Files are written atomically. A run with other
data, parameters, code or libraries has another identity and never reads these checkpoints.
"""

import hashlib
import importlib
import importlib.metadata
import json
import math
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python as plain

from unveil.common.errors import UserError
from unveil.common.files import atomic_write, remove_stale, require_path, sha256
from unveil.common.locks import exclusive_lock
from unveil.common.paths import PACKED, pipeline_paths
from unveil.config.params import Params
from unveil.config.provenance import source_digests
from unveil.training.devices import precision

VIEW_CODE = ("data", "inference")
"""The packages whose code also makes the views of a distillation."""
KEEP_LAST = 2
"""Number of checkpoints to keep: the newest, and one to fall back on."""


class Diverged(UserError):
    """The loss or a weight became NaN or infinite; a retry would fail the same way."""


@dataclass(frozen=True)
class State:
    """The state of a run after an epoch: groups of arrays, and notes that JSON can hold."""

    arrays: dict[str, list[NDArray[Any]]]
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in a folder named by its identity."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.identity = folder.name
        self.origin = self._origin()

    def save(self, epoch: int, state: State) -> None:
        """Write the state after an epoch (from 0) atomically and remove older checkpoints.

        A full disk raises ``UserError`` and leaves earlier checkpoints in place.
        """
        arrays = {
            f"{group}.{place}": array
            for group, members in state.arrays.items()
            for place, array in enumerate(members)
        }
        notes = {**state.notes, "identity": self.identity, "groups": list(state.arrays)}
        with atomic_write(whole := self._folder / "checkpoint.npz") as path:
            np.savez(path, notes=np.array(json.dumps(notes)), **arrays)  # type: ignore[arg-type]
            digest = sha256(path)
        whole.rename(self._folder / f"{epoch:06d}-{digest}.npz")
        for old in self._files()[:-KEEP_LAST]:
            old.unlink()

    def latest(self) -> State | None:
        """Read the newest valid checkpoint; damaged ones are reported on stderr and removed."""
        for path in reversed(self._files()):
            try:
                return self._read(path)
            except (OSError, ValueError) as error:
                print(f"checkpoint {path} is not used: {error}", file=sys.stderr)
                path.unlink(missing_ok=True)
        return None

    def scratch_array(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a memory-mapped array in a temporary file, removed with its last reference.

        Raises ``UserError`` if the disk is too small.
        """
        with tempfile.TemporaryFile(dir=self._folder) as file:
            try:
                # Reserved now: a full disk would later kill the process with SIGBUS.
                os.posix_fallocate(file.fileno(), 0, 4 * math.prod(shape))
            except OSError as error:
                message = f"{self._folder} has no room for {4 * math.prod(shape)} bytes of features"
                raise UserError(f"{message}: {str(error.strerror).lower()}") from error
            return np.asarray(np.memmap(file, np.float32, mode="r+", shape=shape))

    @property
    def views(self) -> Path:
        """The folder for the views of a distillation."""
        return self._folder / "views"

    def remove(self) -> None:
        """Remove the checkpoints of this run."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def supersede(self, forget: Callable[[str], bool]) -> None:
        """Remove the checkpoints of all other runs of the architecture.

        ``forget`` is called with the origin of each; where it returns false, the file
        ``origin`` is kept for a later attempt.
        """
        for folder in self._folder.parent.iterdir():
            if folder.is_dir() and folder != self._folder:
                remove_stale(folder)
                for path in folder.glob("*.npz"):
                    path.unlink()
                shutil.rmtree(folder / "views", ignore_errors=True)
                if forget((other := Checkpoints(folder)).origin):
                    other.remove()

    def _origin(self) -> str:
        path = self._folder / "origin"
        if path.is_file() and re.fullmatch("[0-9a-f]{32}", kept := path.read_text("latin-1")):
            return kept
        with atomic_write(path) as temporary:
            temporary.write_text(made := uuid.uuid4().hex)
        return made

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*-*.npz"))

    def _read(self, path: Path) -> State:
        if sha256(path) != path.stem.split("-")[1]:
            raise ValueError("its sha256 differs from its name")
        with np.load(path, allow_pickle=False) as stored:
            notes = json.loads(str(stored["notes"]))
            if notes["identity"] != self.identity:
                raise ValueError("it belongs to another run")
            groups: dict[str, list[NDArray[Any]]] = {group: [] for group in notes["groups"]}
            for name in stored.files[1:]:
                groups[name.split(".")[0]].append(stored[name])
        return State(arrays=groups, notes=notes)


@contextmanager
def opened(key: str, params: Params, folder: Path | None = None) -> Iterator[Checkpoints]:
    """Open and lock the checkpoints of a run, in the pipeline's folder or another one.

    They are removed if the block raises ``Diverged``. A second process that trains the same
    architecture in this folder gets a ``UserError`` immediately.
    """
    folder = folder or pipeline_paths(params.require_architecture(key)).checkpoints
    with exclusive_lock(folder, f"{key} is already being trained in this checkout"):
        kept = Checkpoints(folder / identity(key, params))
        remove_stale(folder / kept.identity)
        try:
            yield kept
        except Diverged:
            kept.remove()
            raise


def discard(folder: Path, origin: str) -> None:
    """Remove only the checkpoints of the run with this origin."""
    for path in folder.glob("*/origin"):
        if path.read_text("latin-1") == origin:
            shutil.rmtree(path.parent, ignore_errors=True)


def identity(key: str, params: Params) -> str:
    """Hash everything that determines the result of a run: 64 hexadecimal digits."""
    backend = keras.backend.backend()
    entry = plain(params.architectures[key])
    weights = Path(str(entry.get("weights")))
    decided = {
        "data": [
            sha256(require_path(PACKED / f"{name}.npz", made_by="unveil pack")) for name in _SPLITS
        ],
        "network": entry,
        "weights": sha256(weights) if weights.is_file() else None,
        "schedule": plain(params.schedules[key]),
        "training": plain(params.training),
        "precision": precision(key, params),
        "classes": params.classes,
        "image_size": params.data.image_size,
        "code": source_digests(),
        "keras": keras.__version__,
        "backend": [backend, importlib.import_module(backend).__version__],
        "views": _views(params) if params.schedules[key].distillation else None,
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


_SPLITS = ("train", "validation")


def _views(params: Params) -> dict[str, Any]:
    """Return what determines the views of a distillation, besides the parameters."""
    return {
        "data": plain(params.data),
        "test": sha256(require_path(PACKED / "test.npz", made_by="unveil pack")),
        "near_twins": params.near_twins,
        "code": source_digests(VIEW_CODE),
        "onnxruntime": importlib.metadata.version("onnxruntime"),
    }
