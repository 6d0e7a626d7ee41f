"""Arguments of `unveil predict` -> image files, videos or standard input.

Takes paths, folders, glob patterns and ``-``; a video is recognised by its suffix.
"""

import glob
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from unveil.common.errors import UserError
from unveil.data.decoding import SUFFIXES

STDIN = Path("-")
"""The path that stands for an image on standard input."""
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mpeg", ".webm", ".wmv"})
"""Suffixes of video files."""


def expand(arguments: Sequence[str]) -> list[Path]:
    """Return the paths that arguments name; a pattern that is no file is expanded, sorted.

    Raises ``UserError`` for a URL, for a pattern without a match, and if images and videos are
    mixed.
    """
    paths = [path for one in arguments for path in _matches(one)]
    videos = [path for path in paths if is_video(path)]
    if videos and len(videos) < len(paths):
        image = next(path for path in paths if not is_video(path))
        raise UserError(f"{videos[0]} is a video and {image} is not; predict them one by one")
    if paths.count(STDIN) > 1:
        raise UserError("'-' is given twice; standard input is one image")
    return paths


def is_video(path: Path) -> bool:
    """Whether a path has the suffix of a video."""
    return path.suffix.lower() in VIDEOS and not path.is_dir()


def image_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are, and all image files below folders, sorted by path.

    Raises ``UserError`` if a folder contains no image file.
    """
    for path in paths:
        if path.is_dir():
            found = (one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
            files = sorted(one for one in found if one.is_file())
            if not files:
                suffixes = ", ".join(sorted(SUFFIXES))
                raise UserError(f"{path} contains no image file; supported suffixes: {suffixes}")
            yield from files
        else:
            yield path


def read_stdin(most: int) -> bytes:
    """Read at most ``most`` bytes of standard input; ``UserError`` if nothing can come from it."""
    if sys.stdin is None or sys.stdin.closed:
        raise UserError("-: standard input is closed; pipe an image into the command")
    if sys.stdin.isatty():
        raise UserError("-: standard input is a terminal; pipe an image into the command")
    content = sys.stdin.buffer.read(most)
    if not content:
        raise UserError("-: standard input is empty; pipe an image into the command")
    return content


def _matches(argument: str) -> list[Path]:
    if re.match(r"[a-z][a-z0-9+.-]+://", argument, re.IGNORECASE):
        raise UserError(f"{argument} is a URL; download the file and give its path")
    # A file may itself have brackets in its name.
    if not glob.has_magic(argument) or Path(argument).exists():
        return [Path(argument)]
    # Path.glob takes no absolute pattern.
    found = sorted(Path(one) for one in glob.glob(argument, recursive=True))  # noqa: PTH207
    if not found:
        raise UserError(f"no file matches {argument!r}")
    return found
