"""Read arrays from NumPy and HDF5 files in chunks, and recognise ONNX files."""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from google.protobuf import empty_pb2, unknown_fields
from google.protobuf.message import DecodeError
from numpy.lib import format as npy
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 26  # bytes
ONNX_FIELDS = {7, 8}
"""Protobuf fields that every ONNX model has: its graph and its operator sets."""


def npy_chunks(file: IO[bytes]) -> Iterator[NDArray[Any] | str]:
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
        yield from _numbers_and_texts(whole)
        return
    size = kind.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    for start in range(0, shape[0], most := max(1, CHUNK_BYTES // max(size, 1))):
        count = min(most, shape[0] - start)
        data = file.read(count * size)
        if len(data) < count * size:
            raise ValueError("it is truncated")
        yield from _numbers_and_texts(np.frombuffer(data, kind).reshape(count, *shape[1:]))
    while file.read(CHUNK_BYTES):  # a zip member's checksum is verified at its end
        pass


def hdf5_chunks(file: IO[bytes]) -> Iterator[NDArray[Any] | str]:
    """Yield the datasets of an HDF5 file in chunks along their first axis."""
    import h5py

    with h5py.File(file, "r") as stored:
        found: list[Any] = []
        stored.visititems(lambda _, one: found.append(one) if hasattr(one, "dtype") else None)
        for one in found:
            size = one.dtype.itemsize * int(np.prod(one.shape[1:], dtype=np.int64))
            most = max(1, CHUNK_BYTES // max(size, 1))
            starts = range(0, one.shape[0], most) if one.shape else [None]
            for start in starts:
                piece = one[()] if start is None else one[start : start + most]
                yield from _numbers_and_texts(np.asarray(piece))


def _numbers_and_texts(numbers: NDArray[Any]) -> Iterator[NDArray[Any] | str]:
    if numbers.dtype.kind in "biuf":
        yield numbers
    elif numbers.dtype.kind in "OSUT":
        cells = numbers.ravel().tolist()
        yield "\n".join(
            c.decode("utf-8", "replace") if isinstance(c, bytes) else str(c) for c in cells
        )
    elif numbers.dtype.names:
        for name in numbers.dtype.names:
            yield from _numbers_and_texts(numbers[name])


def is_onnx(content: Any) -> bool:
    """Return whether a file is an ONNX model, which contains weights and no images."""
    try:
        message = empty_pb2.Empty.FromString(bytes(content))
        fields = {one.field_number for one in unknown_fields.UnknownFieldSet(message)}
    except (DecodeError, ValueError):
        return False
    return fields >= ONNX_FIELDS
