"""Writes weights files as PyTorch before 1.6 did, and others that it would not write."""

import pickle
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
MACHINE = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"long": 4}}
KINDS = {"float32": "FloatStorage", "int64": "LongStorage"}


@dataclass(frozen=True)
class Named:
    """A global of a pickle, which need not exist here."""

    module: str
    name: str

    def __call__(self) -> None:
        raise NotImplementedError  # pickle demands something callable


@dataclass(frozen=True)
class Call:
    """An object that calls a global with arguments when it is unpickled."""

    named: Named
    arguments: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return self.named, self.arguments


@dataclass(eq=False)
class Storage:
    """The elements ``(n,)`` that tensors share."""

    elements: np.ndarray


def tensor(array: np.ndarray) -> Call:
    """A tensor of a storage of its own."""
    strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
    return view(Storage(array.ravel()), 0, array.shape, strides if array.ndim else ())


def view(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Call:
    """A tensor at an offset of a storage; offset and strides in elements."""
    arguments = (storage, offset, shape, strides, False, OrderedDict())
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)


@dataclass
class _Storages:
    keys: dict[int, str] = field(default_factory=dict)
    stored: list[Storage] = field(default_factory=list)

    def key(self, storage: Storage) -> str:
        if id(storage) not in self.keys:
            self.keys[id(storage)] = str(94_000 + len(self.keys))
            self.stored.append(storage)
        return self.keys[id(storage)]


class _Pickler(pickle._Pickler):  # that of C has no table of types
    def __init__(self, file: Any, storages: _Storages) -> None:
        super().__init__(file, protocol=2)
        self._storages = storages

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Storage):
            return None
        kind = Named("torch", KINDS[obj.elements.dtype.name])
        return ("storage", kind, self._storages.key(obj), "cpu", len(obj.elements), None)

    def _save_named(self, obj: Named) -> None:
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    dispatch = {**pickle._Pickler.dispatch, Named: _save_named}  # noqa: RUF012


def write(path: Path, tensors: Any, *, magic: int = MAGIC, machine: Any = MACHINE) -> Path:
    """Write objects, ordinarily tensors by name, and their storages."""
    storages = _Storages()
    with path.open("wb") as file:
        for part in (magic, PROTOCOL, machine, tensors):
            _Pickler(file, storages).dump(part)
        pickle.dump(list(storages.keys.values()), file, protocol=2)
        for storage in storages.stored:
            file.write(len(storage.elements).to_bytes(8, "little") + storage.elements.tobytes())
    return path
