"""Read the contents of NumPy and HDF5 files in chunks, and recognise ONNX files."""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from google.protobuf import empty_pb2, unknown_fields
from google.protobuf.message import DecodeError
from numpy.lib import format as npy
from numpy.typing import NDArray

from unveil.privacy.byte_search import FILE_SIGNATURES, MIN_BYTES, to_bytes
from unveil.privacy.file_parts import Unsearched

CHUNK_BYTES = 1 << 26  # bytes
OVERLAP_BYTES = 1 << 20
"""How much of a 1-D or 2-D chunk is repeated in the next one: a face may cross the boundary."""
BUFFER_SIZE = 1 << 20
"""How many numbers of a table are searched together."""
ONNX_FIELDS = {7, 8}
"""Protobuf fields that every ONNX model has: its graph and its operator sets."""
EXTERNAL = "is stored in another file"
Cell = NDArray[Any] | str | bytes | Unsearched
"""What a reader yields: numbers, a text, the bytes of a possible file, or why it read nothing."""


def npy_chunks(file: IO[bytes]) -> Iterator[Cell]:
    """Yield a NumPy array in chunks along its first axis; texts are joined to one string.

    Raises ``ValueError`` if the file has Python objects or is truncated.
    """
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_column, kind = read(file)
    if kind.hasobject:
        raise ValueError("it contains Python objects, which are not loaded")
    if by_column or not shape:
        whole = np.frombuffer(file.read(), kind).reshape(shape, order="F" if by_column else "C")
        yield from array_cells(whole)
        return
    size, most, repeated = _chunk_rows(shape, kind)
    tail = b""
    for start in range(0, shape[0], most):
        count = min(most, shape[0] - start)
        data = file.read(count * size)
        if len(data) < count * size:
            raise ValueError("it is truncated")
        rows = (tail + data) if tail else data
        yield from array_cells(np.frombuffer(rows, kind).reshape(-1, *shape[1:]))
        tail = rows[-repeated * size :] if repeated * size else b""
    while file.read(CHUNK_BYTES):  # a zip member's checksum is verified at its end
        pass


def _chunk_rows(shape: tuple[int, ...], kind: Any) -> tuple[int, int, int]:
    """Return the bytes of a row, the rows per chunk, and the rows repeated in the next chunk."""
    size = kind.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    repeated = OVERLAP_BYTES // max(size, 1) if len(shape) <= 2 else 0
    return size, max(1, CHUNK_BYTES // max(size, 1)), repeated


def hdf5_chunks(file: IO[bytes]) -> Iterator[Cell]:
    """Yield the datasets and attributes of an HDF5 file, and report data in other files."""
    import h5py

    with h5py.File(file, "r") as stored:
        found: list[Any] = [stored]
        stored.visititems(lambda _, one: found.append(one))
        for one in found:
            for value in one.attrs.values():
                yield from _hdf5_value(value)
            if isinstance(one, h5py.Dataset) and one.shape is not None:
                if one.is_virtual or one.external:
                    yield Unsearched(one.name, EXTERNAL)
                yield from _hdf5_dataset(one)
            elif isinstance(one, h5py.Group):
                for name in one:
                    if isinstance(one.get(name, getlink=True), h5py.ExternalLink):
                        yield Unsearched(f"{one.name}/{name}", EXTERNAL)


def _hdf5_dataset(dataset: Any) -> Iterator[Cell]:
    if not dataset.shape:
        yield from _hdf5_value(dataset[()])
        return
    _, most, repeated = _chunk_rows(dataset.shape, dataset.dtype)
    for start in range(0, dataset.shape[0], most):
        yield from _hdf5_value(dataset[max(0, start - repeated) : start + most])


def _hdf5_value(value: Any) -> Iterator[Cell]:
    # An attribute of type `h5py.Empty` has a dtype, but its shape is `None`.
    if getattr(value, "shape", ()) is not None:
        yield from array_cells(np.asarray(value))


def array_cells(values: NDArray[Any]) -> Iterator[Cell]:
    """Yield an array's numbers and texts, and the bytes of cells that may be files."""
    kind = values.dtype.kind
    if values.dtype.names:
        for name in values.dtype.names:
            yield from array_cells(values[name])
    elif kind == "c":
        yield from (values.real, values.imag)
    elif kind in "biuf":
        yield from _numeric_cells(values)
    elif kind == "V":
        large = values.dtype.itemsize >= MIN_BYTES
        yield from (one.tobytes() for one in (values.ravel() if large else [values]))
    elif kind in "OSUT":
        yield from _object_cells(values.ravel().tolist())


def _numeric_cells(numbers: NDArray[Any]) -> Iterator[Cell]:
    """Yield numbers, and as bytes what may be a file: a 1-D array, or the rows of a 2-D one."""
    yield numbers
    if numbers.ndim == 1 and (data := to_bytes(numbers)) is not None:
        yield data
    elif numbers.ndim == 1 and numbers.dtype.kind in "iu":
        yield numbers.tobytes()
    elif numbers.ndim == 2 and numbers.dtype.kind in "iu":
        for row in numbers:
            head = to_bytes(row[:8])
            if head and head.startswith(FILE_SIGNATURES):
                yield to_bytes(row) or b""


def _object_cells(cells: list[Any]) -> Iterator[Cell]:
    words = []
    for cell in cells:
        if isinstance(cell, bytes):
            try:
                words.append(cell.decode())
            except UnicodeDecodeError:
                yield cell
                words.append(cell.decode("utf-8", "replace"))
        elif isinstance(cell, np.ndarray | np.generic):
            yield from array_cells(np.asarray(cell))
        else:
            words.append(str(cell))
    # The empty line separates the cells: encoded bytes may continue on the next line.
    yield "\n\n".join(words)


class RowBuffer:
    """Collects the rows of a table to large arrays that overlap.

    A table may have one pixel per row, so a face may be in several batches.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._rows: list[NDArray[Any]] = []

    def add(self, rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Add rows ``(n, columns)``; yield those collected if they are many or differ in width."""
        if self._rows and self._rows[0].shape[1] != rows.shape[1]:
            yield from self.flush()
        if rows.size:
            self._rows.append(rows)
        if sum(one.size for one in self._rows) >= BUFFER_SIZE:
            collected = np.concatenate(self._rows)
            self._rows = [collected[-(BUFFER_SIZE // 4 // collected.shape[1] + 1) :]]
            yield collected

    def flush(self) -> Iterator[NDArray[Any]]:
        """Yield the remaining rows and clear the buffer."""
        if self._rows:
            yield np.concatenate(self._rows)
        self._rows = []


def is_onnx(content: Any) -> bool:
    """Return whether a file is an ONNX model, which contains weights and no images."""
    try:
        message = empty_pb2.Empty.FromString(bytes(content))
        fields = {one.field_number for one in unknown_fields.UnknownFieldSet(message)}
    except (DecodeError, ValueError):
        return False
    return fields >= ONNX_FIELDS
