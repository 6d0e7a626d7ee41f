"""The numbers in files of numpy, HDF5 and ONNX, piece by piece, as `contents` looks at them."""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from google.protobuf import empty_pb2, unknown_fields
from google.protobuf.message import DecodeError
from numpy.lib import format as npy
from numpy.typing import NDArray

AT_ONCE = 1 << 26  # bytes
ONNX = {7, 8}
"""Fields that each model has: its graph, and the operators it is written in."""


def arrays(file: IO[bytes]) -> Iterator[NDArray[Any] | str]:
    """Give an array of numpy in pieces along its first side; texts as one."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_column, kind = read(file)
    if kind.hasobject:
        raise ValueError("it holds Python objects, which are not loaded")
    if by_column or not shape:
        whole = np.frombuffer(file.read(), kind).reshape(shape, order="F" if by_column else "C")
        yield from _told(whole)
        return
    size = kind.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    for start in range(0, shape[0], most := max(1, AT_ONCE // max(size, 1))):
        count = min(most, shape[0] - start)
        data = file.read(count * size)
        if len(data) < count * size:
            raise ValueError("it is cut short")
        yield from _told(np.frombuffer(data, kind).reshape(count, *shape[1:]))
    while file.read(AT_ONCE):  # whose end is where a checksum is judged
        pass


def datasets(file: IO[bytes]) -> Iterator[NDArray[Any] | str]:
    """Give the datasets of HDF5 in pieces along their first side."""
    import h5py

    with h5py.File(file, "r") as stored:
        found: list[Any] = []
        stored.visititems(lambda _, one: found.append(one) if hasattr(one, "dtype") else None)
        for one in found:
            size = one.dtype.itemsize * int(np.prod(one.shape[1:], dtype=np.int64))
            most = max(1, AT_ONCE // max(size, 1))
            starts = range(0, one.shape[0], most) if one.shape else [None]
            for start in starts:
                piece = one[()] if start is None else one[start : start + most]
                yield from _told(np.asarray(piece))


def _told(numbers: NDArray[Any]) -> Iterator[NDArray[Any] | str]:
    if numbers.dtype.kind in "biuf":
        yield numbers
    elif numbers.dtype.kind in "OSUT":
        cells = numbers.ravel().tolist()
        yield "\n".join(
            c.decode("utf-8", "replace") if isinstance(c, bytes) else str(c) for c in cells
        )
    elif numbers.dtype.names:
        for name in numbers.dtype.names:
            yield from _told(numbers[name])


def is_onnx(content: Any) -> bool:
    """Say whether a file is a model of ONNX, which holds weights."""
    try:
        message = empty_pb2.Empty.FromString(bytes(content))
        fields = {one.field_number for one in unknown_fields.UnknownFieldSet(message)}
    except (DecodeError, ValueError):
        return False
    return fields >= ONNX
