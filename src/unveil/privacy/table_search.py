"""Read the cells of parquet and Arrow tables."""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import types

from unveil.privacy.array_search import Cell, RowBuffer, array_cells
from unveil.privacy.file_parts import Unsearched
from unveil.privacy.text_search import encoded_bytes, number_sequences

BATCH_CELLS = 1 << 20
BATCH_ROWS = 1000


def parquet(file: IO[bytes]) -> Iterator[Cell | pd.DataFrame]:
    """Yield a parquet table in batches, and the numbers and bytes of its cells."""
    table = pq.ParquetFile(file)
    most = max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, table.metadata.num_columns)))
    yield from _batch_cells(table.iter_batches(batch_size=most))


def arrow_file(file: IO[bytes]) -> Iterator[Cell | pd.DataFrame]:
    """Yield the same of an Arrow IPC file, such as a Feather file."""
    table = pa.ipc.open_file(file)
    yield from _batch_cells(map(table.get_batch, range(table.num_record_batches)))


def arrow_stream(file: IO[bytes]) -> Iterator[Cell | pd.DataFrame]:
    """Yield the same of an Arrow IPC stream."""
    yield from _batch_cells(pa.ipc.open_stream(file))


def _batch_cells(batches: Iterable[Any]) -> Iterator[Cell | pd.DataFrame]:
    buffer = RowBuffer()
    for batch in batches:
        plain = [place for place, one in enumerate(batch.schema) if not _is_nested(one.type)]
        rows = batch.select(plain).to_pandas()
        yield rows
        for column in batch.columns:
            if _is_text(column.type):
                # Not as a text: which names count depends on the table's other columns.
                yield from _encoded_cells("\n\n".join(map(str, column.drop_null().to_pylist())))
            elif not _is_number(column.type):
                yield from column_cells(column)
        numbers = rows.select_dtypes("number").to_numpy(dtype=np.float64, na_value=np.nan)
        yield from buffer.add(numbers)
    yield from buffer.flush()


def _encoded_cells(words: str) -> Iterator[Cell]:
    text = words.encode("utf-8", "replace")
    for numbers in number_sequences(text):
        yield from array_cells(numbers)
    yield from encoded_bytes(text)


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


def _is_nested(kind: Any) -> bool:
    """Return whether cells are lists, structures or bytes, which are searched one by one."""
    if isinstance(kind, pa.BaseExtensionType) or types.is_nested(kind) or _is_bytes(kind):
        return True
    return bool(types.is_dictionary(kind) and _is_nested(kind.value_type))


def column_cells(column: Any) -> Iterator[Cell]:
    """Yield the contents of an Arrow column at every level of its structures and lists."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        yield from column_cells(column.storage)
    elif types.is_dictionary(kind):
        yield from column_cells(column.dictionary_decode())
    elif types.is_struct(kind):
        for one in column.flatten():
            yield from column_cells(one)
    elif types.is_map(kind):
        yield from column_cells(column.keys)
        yield from column_cells(column.items)
    elif _is_list(kind):
        yield from _list_cells(column.drop_null())
    elif _is_bytes(kind):
        yield from (one.as_py() for one in column if one.is_valid)
    elif _is_text(kind):
        yield "\n\n".join(column.drop_null().to_pylist())
    elif _is_number(kind) or types.is_decimal(kind):
        yield from array_cells(_to_numpy(column))
    elif not (types.is_null(kind) or types.is_temporal(kind)):
        yield Unsearched("", f"has a column of an unsupported type, {kind}")


def _to_numpy(column: Any) -> NDArray[Any]:
    kind = pa.float64() if types.is_decimal(column.type) else column.type
    return np.asarray(column.drop_null().cast(kind).to_numpy(zero_copy_only=False))


def _list_cells(column: Any) -> Iterator[Cell]:
    """Yield lists of equal length as one array, others one by one; flatten lists of no numbers."""
    shape, inner = [len(column)], column
    while _is_list(inner.type):
        sizes = pc.list_value_length(inner).unique()
        shape.append(sizes[0].as_py() if len(sizes) == 1 else 0)
        inner = inner.flatten()
    if not _is_number(inner.type):
        yield from column_cells(inner)
    elif inner.null_count == 0 and len(inner) == np.prod(shape, dtype=np.int64):
        yield from array_cells(_to_numpy(inner).reshape(shape))
    else:
        for one in column:
            yield from column_cells(one.values)
