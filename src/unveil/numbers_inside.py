"""What files of numpy, HDF5 and ONNX hold, piece by piece, as `contents` looks at it."""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from google.protobuf import empty_pb2, unknown_fields
from google.protobuf.message import DecodeError
from numpy.lib import format as npy
from numpy.typing import NDArray

from unveil.bytes_inside import HEADS, LEAST, narrow
from unveil.parts import Unread

AT_ONCE = 1 << 26  # bytes
OVERLAP = 1 << 20
"""So many bytes of a line or a table are looked at again, with those behind them."""
LUMP = 1 << 20  # numbers
ONNX = {7, 8}
"""Fields that each model has: its graph, and the operators it is written in."""
Cell = NDArray[Any] | str | bytes | Unread


def arrays(file: IO[bytes]) -> Iterator[Cell]:
    """Give an array of numpy in pieces along its first side; texts as one."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_column, kind = read(file)
    if kind.hasobject:
        raise ValueError("it holds Python objects, which are not loaded")
    if by_column or not shape:
        whole = np.frombuffer(file.read(), kind).reshape(shape, order="F" if by_column else "C")
        yield from told(whole)
        return
    size, most, again = _steps(shape, kind)
    tail = b""
    for start in range(0, shape[0], most):
        count = min(most, shape[0] - start)
        data = file.read(count * size)
        if len(data) < count * size:
            raise ValueError("it is cut short")
        rows = (tail + data) if tail else data
        yield from told(np.frombuffer(rows, kind).reshape(-1, *shape[1:]))
        tail = rows[-again * size :] if again * size else b""
    while file.read(AT_ONCE):  # whose end is where a checksum is judged
        pass


def _steps(shape: tuple[int, ...], kind: Any) -> tuple[int, int, int]:
    """Say how large a row is, how many are read at once, and how many of them twice."""
    size = kind.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    again = OVERLAP // max(size, 1) if len(shape) <= 2 else 0
    return size, max(1, AT_ONCE // max(size, 1)), again


def datasets(file: IO[bytes]) -> Iterator[Cell]:
    """Give the datasets and attributes of HDF5, and name what it takes from other files."""
    import h5py

    with h5py.File(file, "r") as stored:
        found: list[Any] = [stored]
        stored.visititems(lambda _, one: found.append(one))
        for one in found:
            for value in one.attrs.values():
                yield from _value(value)
            if isinstance(one, h5py.Dataset) and one.shape is not None:
                if one.is_virtual or one.external:
                    yield Unread(one.name, "lies in another file")
                yield from _dataset(one)
            elif isinstance(one, h5py.Group):
                for name in one:
                    if isinstance(one.get(name, getlink=True), h5py.ExternalLink):
                        yield Unread(f"{one.name}/{name}", "lies in another file")


def _dataset(one: Any) -> Iterator[Cell]:
    if not one.shape:
        yield from _value(one[()])
        return
    _, most, again = _steps(one.shape, one.dtype)
    for start in range(0, one.shape[0], most):
        yield from _value(one[max(0, start - again) : start + most])


def _value(value: Any) -> Iterator[Cell]:
    # An attribute that is `Empty` has a kind and no shape.
    if getattr(value, "shape", ()) is not None:
        yield from told(np.asarray(value))


def told(numbers: NDArray[Any]) -> Iterator[Cell]:
    """Give what an array holds: numbers, texts, and bytes where its cells may be a file's."""
    kind = numbers.dtype.kind
    if numbers.dtype.names:
        for name in numbers.dtype.names:
            yield from told(numbers[name])
    elif kind == "c":
        yield from (numbers.real, numbers.imag)
    elif kind in "biuf":
        yield from _counted(numbers)
    elif kind == "V":
        large = numbers.dtype.itemsize >= LEAST
        yield from (one.tobytes() for one in (numbers.ravel() if large else [numbers]))
    elif kind in "OSUT":
        yield from _listed(numbers.ravel().tolist())


def _counted(numbers: NDArray[Any]) -> Iterator[Cell]:
    yield numbers
    if numbers.ndim == 1 and (data := narrow(numbers)) is not None:
        yield data
    elif numbers.ndim == 1 and numbers.dtype.kind in "iu":
        yield numbers.tobytes()
    elif numbers.ndim == 2 and numbers.dtype.kind in "iu":
        for row in numbers:
            head = narrow(row[:8])
            if head and head.startswith(HEADS):
                yield narrow(row) or b""


def _listed(cells: list[Any]) -> Iterator[Cell]:
    words = []
    for cell in cells:
        if isinstance(cell, bytes):
            try:
                words.append(cell.decode())
            except UnicodeDecodeError:
                yield cell
                words.append(cell.decode("utf-8", "replace"))
        elif isinstance(cell, np.ndarray | np.generic):
            yield from told(np.asarray(cell))
        else:
            words.append(str(cell))
    # An empty line, over which nothing that is written in letters goes on.
    yield "\n\n".join(words)


class Lumps:
    """Rows of a table, taken together until they are many; then the last ones are kept."""

    def __init__(self) -> None:
        """Begin without any."""
        self._rows: list[NDArray[Any]] = []

    def add(self, rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Take more ``(n, columns)``; give what there is where it is much, or of another width."""
        if self._rows and self._rows[0].shape[1] != rows.shape[1]:
            yield from self.rest()
        if rows.size:
            self._rows.append(rows)
        if sum(one.size for one in self._rows) >= LUMP:
            lump = np.concatenate(self._rows)
            self._rows = [lump[-(LUMP // 4 // lump.shape[1] + 1) :]]
            yield lump

    def rest(self) -> Iterator[NDArray[Any]]:
        """Give what was not given yet, and forget all."""
        if self._rows:
            yield np.concatenate(self._rows)
        self._rows = []


def is_onnx(content: Any) -> bool:
    """Say whether a file is a model of ONNX, which holds weights."""
    try:
        message = empty_pb2.Empty.FromString(bytes(content))
        fields = {one.field_number for one in unknown_fields.UnknownFieldSet(message)}
    except (DecodeError, ValueError):
        return False
    return fields >= ONNX
