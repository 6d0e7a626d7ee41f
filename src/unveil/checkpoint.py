"""What a training needs to go on after a kill: a file for each epoch, used whole or not at all.

Below ``.checkpoints/ARCH`` lie a ``lock`` and a folder named by the training's identity, with its
``origin`` and the last two ``EPOCH-SHA256.npz``. A training with other data, parameters, code or
libraries has another identity and never looks there.
"""

import hashlib
import importlib
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

from unveil.devices import precision
from unveil.errors import UserError
from unveil.files import existing, replacing, sha256, sweep
from unveil.locks import alone
from unveil.params import Params
from unveil.paths import PACKED, pipeline

CODE = (
    *("adamw", "architectures", "augmentation", "batches", "callbacks", "checkpoint", "course"),
    *("devices", "errors", "files", "fused_norm", "git", "locks", "names", "packed", "params"),
    *("paths", "schema", "strict_yaml", "swap", "tables", "tracked", "train"),
)
"""The modules that decide what a training gives."""

KEPT = 2
"""How many checkpoints are kept: the newest, and one to fall back on."""


class Diverged(UserError):
    """A training whose loss or weights are no longer finite; another try would end the same."""


@dataclass(frozen=True)
class State:
    """A training after an epoch: groups of arrays, and notes that JSON can hold."""

    arrays: dict[str, list[NDArray[Any]]]
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training, in a folder named by its identity."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.identity = folder.name
        self.origin = self._origin()

    def save(self, epoch: int, state: State) -> None:
        """Keep the state after an epoch (from 0), whole or not at all; older ones go.

        A full disk is a ``UserError``, and the checkpoints before stay.
        """
        arrays = {
            f"{group}.{place}": array
            for group, members in state.arrays.items()
            for place, array in enumerate(members)
        }
        notes = {**state.notes, "identity": self.identity, "groups": list(state.arrays)}
        with replacing(whole := self._folder / "checkpoint.npz") as path:
            np.savez(path, notes=np.array(json.dumps(notes)), **arrays)  # type: ignore[arg-type]
            digest = sha256(path)
        whole.rename(self._folder / f"{epoch:06d}-{digest}.npz")
        for old in self._files()[:-KEPT]:
            old.unlink()

    def latest(self) -> State | None:
        """Read the newest whole checkpoint; each damaged one is named on stderr and removed."""
        for path in reversed(self._files()):
            try:
                return self._read(path)
            except (OSError, ValueError) as error:
                print(f"checkpoint {path} is not used: {error}", file=sys.stderr)
                path.unlink(missing_ok=True)
        return None

    def scratch(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Give an array that lies in a file instead of memory, and goes with its last user.

        A disk that cannot hold it is a ``UserError``.
        """
        with tempfile.TemporaryFile(dir=self._folder) as file:
            try:
                # Without it a disk that is full later would end the process by a signal.
                os.posix_fallocate(file.fileno(), 0, 4 * math.prod(shape))
            except OSError as error:
                said = f"{self._folder} has no room for {4 * math.prod(shape)} bytes of features"
                raise UserError(f"{said}: {str(error.strerror).lower()}") from error
            return np.asarray(np.memmap(file, np.float32, mode="r+", shape=shape))

    def remove(self) -> None:
        """Remove the checkpoints of this training."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def supersede(self, told: Callable[[str], bool]) -> None:
        """Remove the checkpoints of all other trainings of the architecture.

        ``told`` is given the origin of each; where it says no, the origin stays to be told later.
        """
        for folder in self._folder.parent.iterdir():
            if folder.is_dir() and folder != self._folder:
                sweep(folder)
                for path in folder.glob("*.npz"):
                    path.unlink()
                if told((other := Checkpoints(folder)).origin):
                    other.remove()

    def _origin(self) -> str:
        path = self._folder / "origin"
        if path.is_file() and re.fullmatch("[0-9a-f]{32}", kept := path.read_text("latin-1")):
            return kept
        with replacing(path) as temporary:
            temporary.write_text(made := uuid.uuid4().hex)
        return made

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*-*.npz"))

    def _read(self, path: Path) -> State:
        if sha256(path) != path.stem.split("-")[1]:
            raise ValueError("its content is not what was written")
        with np.load(path, allow_pickle=False) as stored:
            notes = json.loads(str(stored["notes"]))
            if notes["identity"] != self.identity:
                raise ValueError("it is of another training")
            groups: dict[str, list[NDArray[Any]]] = {group: [] for group in notes["groups"]}
            for name in stored.files[1:]:
                groups[name.split(".")[0]].append(stored[name])
        return State(arrays=groups, notes=notes)


@contextmanager
def opened(key: str, params: Params, folder: Path | None = None) -> Iterator[Checkpoints]:
    """Open the checkpoints of a training, in the pipeline's folder or another, for one process.

    Where the block raises ``Diverged`` they are removed. A second training of the same
    architecture there is a ``UserError`` at once.
    """
    folder = folder or pipeline(params.named(key)).checkpoints
    with alone(folder, f"{key} is being trained in this checkout already"):
        kept = Checkpoints(folder / identity(key, params))
        sweep(folder / kept.identity)
        try:
            yield kept
        except Diverged:
            kept.remove()
            raise


def discard(folder: Path, origin: str) -> None:
    """Remove the checkpoints of the training with this origin, and of no other."""
    for path in folder.glob("*/origin"):
        if path.read_text("latin-1") == origin:
            shutil.rmtree(path.parent, ignore_errors=True)


def identity(key: str, params: Params) -> str:
    """Name a training, as 64 hexadecimal digits, by all that decides what it gives."""
    backend = keras.backend.backend()
    entry = plain(params.architectures[key])
    weights = Path(str(entry.get("weights")))
    decided = {
        "data": [sha256(existing(PACKED / f"{name}.npz", made_by="unveil pack")) for name in _READ],
        "network": entry,
        "weights": sha256(weights) if weights.is_file() else None,
        "schedule": plain(params.schedules[key]),
        "training": plain(params.training),
        "precision": precision(key, params),
        "classes": params.classes,
        "image_size": params.data.image_size,
        "code": [sha256(path) for path in _sources()],
        "keras": keras.__version__,
        "backend": [backend, importlib.import_module(backend).__version__],
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


_READ = ("train", "validation")


def _sources() -> list[Path]:
    here = Path(__file__).parent
    modules = (here / name for name in CODE)
    return [
        path
        for module in modules
        for path in (
            sorted(module.glob("*.py")) if module.is_dir() else [module.with_suffix(".py")]
        )
    ]
