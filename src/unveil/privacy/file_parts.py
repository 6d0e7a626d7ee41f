"""What `contents` finds in a file, and a buffer read as a file."""

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
    """Words, in UTF-8."""

    words: bytes


@dataclass(frozen=True)
class Picture:
    """A gray picture ``(h, w)`` and its name; ``member`` of an archive of pictures."""

    name: str
    pixels: Pixels | None
    member: bool = False


@dataclass(frozen=True)
class Stack:
    """Numbers ``(n, ...)`` in which pictures may lie."""

    numbers: NDArray[Any]


@dataclass(frozen=True)
class Table:
    """A table of anything."""

    rows: pd.DataFrame


@dataclass(frozen=True)
class Unread:
    """What was not looked into, and why."""

    where: str
    why: str


Part = Text | Picture | Stack | Table | Unread
Look = Callable[[Buffer, str, int], Iterator[Part]]


class Reader(io.RawIOBase):
    """A buffer as a file, without a copy of it."""

    def __init__(self, content: Buffer) -> None:
        """Read from its beginning."""
        self._content, self._place = content, 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that any place of it can be gone to."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = (0, self._place, len(self._content))[whence]
        if base + offset < 0:
            raise OSError(22, "negative place")
        self._place = base + offset
        return self._place

    def readinto(self, target: Any) -> int:
        """Fill a buffer as far as there is something."""
        found = self._content[self._place : self._place + len(target)]
        target[: len(found)] = found
        self._place += len(found)
        return len(found)


def opened(content: Buffer) -> IO[bytes]:
    """Open a buffer as a file."""
    return io.BufferedReader(Reader(content))
