"""The parts of a file that `file_contents` yields, and a buffer that reads like a file."""

import io
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pandas as pd
from numpy.typing import NDArray

from unveil.data.decoding import Pixels

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Text:
    """A text in UTF-8."""

    content: bytes


@dataclass(frozen=True)
class Picture:
    """A gray image ``(h, w)`` and its name; ``member`` if it is in an archive of images."""

    name: str
    pixels: Pixels | None
    member: bool = False


@dataclass(frozen=True)
class Array:
    """A numeric array ``(n, ...)`` that may contain images."""

    values: NDArray[Any]


@dataclass(frozen=True)
class Table:
    """A table with any columns."""

    rows: pd.DataFrame


@dataclass(frozen=True)
class Unsearched:
    """A part that could not be searched, and the reason."""

    location: str
    reason: str


Part = Text | Picture | Array | Table | Unsearched
PartReader = Callable[[Buffer, str, int], Iterator[Part]]


class BufferReader(io.RawIOBase):
    """A buffer that reads like a file, without copying it."""

    def __init__(self, content: Buffer) -> None:
        """Start at the beginning."""
        self._content, self._place = content, 0

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position and return it."""
        base = (0, self._place, len(self._content))[whence]
        if base + offset < 0:
            raise OSError(22, "negative place")
        self._place = base + offset
        return self._place

    def readinto(self, target: Any) -> int:
        """Read bytes into a buffer; return how many."""
        found = self._content[self._place : self._place + len(target)]
        target[: len(found)] = found
        self._place += len(found)
        return len(found)


def open_buffer(content: Buffer) -> IO[bytes]:
    """Open a buffer as a file."""
    return io.BufferedReader(BufferReader(content))
