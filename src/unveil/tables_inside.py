"""The cells of a table of Arrow or parquet, as `contents` looks through them."""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import types

from unveil.numbers_inside import Cell, Lumps, told
from unveil.parts import Unread
from unveil.texts_inside import encoded, numbers

AT_ONCE = 1 << 20  # cells
ROWS = 1000


def parquet(file: IO[bytes]) -> Iterator[Cell | pd.DataFrame]:
    """Give a table piece by piece, and besides what its cells hold of numbers and bytes."""
    table = pq.ParquetFile(file)
    most = max(1, min(ROWS, AT_ONCE // max(1, table.metadata.num_columns)))
    yield from _table(table.iter_batches(batch_size=most))


def arrow(file: IO[bytes]) -> Iterator[Cell | pd.DataFrame]:
    """Give the same of a file of Arrow, or of Feather."""
    table = pa.ipc.open_file(file)
    yield from _table(map(table.get_batch, range(table.num_record_batches)))


def stream(file: IO[bytes]) -> Iterator[Cell | pd.DataFrame]:
    """Give the same of a stream of Arrow."""
    yield from _table(pa.ipc.open_stream(file))


def _table(batches: Iterable[Any]) -> Iterator[Cell | pd.DataFrame]:
    lumps = Lumps()
    for batch in batches:
        plain = [place for place, one in enumerate(batch.schema) if not _is_deep(one.type)]
        rows = batch.select(plain).to_pandas()
        yield rows
        for column in batch.columns:
            if _is_text(column.type):
                # Its words are the table's: what they name is judged by the columns it has.
                yield from _written("\n\n".join(map(str, column.drop_null().to_pylist())))
            elif not _is_number(column.type):
                yield from cells(column)
        counted = rows.select_dtypes("number").to_numpy(dtype=np.float64, na_value=np.nan)
        yield from lumps.add(counted)
    yield from lumps.rest()


def _written(words: str) -> Iterator[Cell]:
    text = words.encode("utf-8", "replace")
    for line in numbers(text):
        yield from told(line)
    yield from encoded(text)


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_number(kind: Any) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _is_bytes(kind: Any) -> bool:
    known = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return any(one(kind) for one in (*known, types.is_binary_view))


def _is_list(kind: Any) -> bool:
    known = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return any(one(kind) for one in (*known, types.is_list_view, types.is_large_list_view))


def _is_deep(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType) or types.is_nested(kind) or _is_bytes(kind):
        return True
    return bool(types.is_dictionary(kind) and _is_deep(kind.value_type))


def cells(column: Any) -> Iterator[Cell]:
    """Give what a column holds, however deep it lies in structures and lists."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        yield from cells(column.storage)
    elif types.is_dictionary(kind):
        yield from cells(column.dictionary_decode())
    elif types.is_struct(kind):
        for one in column.flatten():
            yield from cells(one)
    elif types.is_map(kind):
        yield from cells(column.keys)
        yield from cells(column.items)
    elif _is_list(kind):
        yield from _lists(column.drop_null())
    elif _is_bytes(kind):
        yield from (one.as_py() for one in column if one.is_valid)
    elif _is_text(kind):
        yield "\n\n".join(column.drop_null().to_pylist())
    elif _is_number(kind) or types.is_decimal(kind):
        yield from told(_counted(column))
    elif not (types.is_null(kind) or types.is_temporal(kind)):
        yield Unread("", f"has a column of a kind that is not looked into, {kind}")


def _counted(column: Any) -> NDArray[Any]:
    kind = pa.float64() if types.is_decimal(column.type) else column.type
    return np.asarray(column.drop_null().cast(kind).to_numpy(zero_copy_only=False))


def _lists(column: Any) -> Iterator[Cell]:
    """Give lists of one length as an array, others each by itself, and what is no number flat."""
    shape, inner = [len(column)], column
    while _is_list(inner.type):
        sizes = pc.list_value_length(inner).unique()
        shape.append(sizes[0].as_py() if len(sizes) == 1 else 0)
        inner = inner.flatten()
    if not _is_number(inner.type):
        yield from cells(inner)
    elif inner.null_count == 0 and len(inner) == np.prod(shape, dtype=np.int64):
        yield from told(_counted(inner).reshape(shape))
    else:
        for one in column:
            yield from cells(one.values)
