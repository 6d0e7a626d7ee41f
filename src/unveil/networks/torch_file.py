"""Tensors from a weights file of PyTorch before 1.6, read without PyTorch.

Such a file is a sequence of pickles (a magic number, the protocol, facts about the machine, the
objects, the keys of the storages) followed by the raw storages, each after its length. The format
is that of ``torch.serialization._legacy_save``.

Unpickling calls whatever a file names. Here only the three names of a plain tensor are resolved,
none of which runs code of the file (Python's manual, *Restricting Globals*).
"""

import os
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError, reason

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
"""The classes of storages that are read, with the dtype of their little-endian elements."""


@dataclass
class _Storage:
    """A storage: its dtype and, once they are read, its elements ``(n,)``."""

    dtype: str
    elements: NDArray[Any] | None = None


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> NDArray[Any]:
        elements = self.storage.elements
        if elements is None:
            raise ValueError("a tensor has no storage")
        # The reach is checked, because as_strided reads outside of the elements.
        reach = self.offset + sum(
            (size - 1) * step for size, step in zip(self.shape, self.strides, strict=True)
        )
        if min((self.offset, *self.shape, *self.strides)) < 0 or reach >= len(elements):
            raise ValueError("a tensor is larger than its storage")
        steps = [step * elements.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided(elements[self.offset :], self.shape, steps)
        return np.ascontiguousarray(view).reshape(self.shape)


class _NotATensor(pickle.UnpicklingError):
    """The file names a class or function that plain tensors do not need."""


class _Tensors(pickle.Unpickler):
    """Unpickles tensors of the storages in ``storages``, by key, and refuses everything else."""

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        try:
            return _NAMES[module, name]
        except KeyError:
            raise _NotATensor(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage" or dtype not in STORAGES.values():
            raise ValueError("an object is stored outside of the storages")
        return self._storages.setdefault(key, _Storage(dtype))


def _rebuild(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_NAMES = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
}


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict by name, in the order of the file.

    Raises:
        UserError: the file names a class that is not a tensor, is damaged, or is of another format.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except _NotATensor as error:
        raise UserError(f"{path} has an object of {error}, which is no tensor; not read") from None
    # A damaged pickle raises whatever its opcodes lead to.
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise UserError(f"{path} is no PyTorch file of tensors: {reason(error)}") from None


def _read(file: BinaryIO) -> dict[str, NDArray[Any]]:
    storages: dict[str, _Storage] = {}
    magic, protocol, machine, tensors, keys = (_Tensors(file, storages).load() for _ in range(5))
    if (magic, protocol, machine["little_endian"]) != (MAGIC, PROTOCOL, True):
        raise ValueError("another format or byte order")
    for key in keys:
        _read_storage(file, storages[key])
    if file.read(1):
        raise ValueError("data after the last storage")
    return {name: tensor.array() for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, storage: _Storage) -> None:
    count = int.from_bytes(file.read(8), "little", signed=True)
    width = np.dtype(storage.dtype).itemsize
    left = os.fstat(file.fileno()).st_size - file.tell()
    if not 0 <= count * width <= left:  # read would reserve as much memory as it is asked for
        raise ValueError("a storage is cut off")
    storage.elements = np.frombuffer(file.read(count * width), storage.dtype)
