"""Arguments of `unveil predict` -> image files, videos or standard input.

Takes paths, folders, glob patterns and ``-``; a video is recognised by its suffix.
"""

import glob
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from unveil.common.errors import UserError
from unveil.data.decoding import SUFFIXES
from unveil.inference.video_source import SCHEME, Address

STDIN = Path("-")
"""The path that stands for an image on standard input."""
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mpeg", ".webm", ".wmv"})
"""Suffixes of video files."""
SHOWN = 3
"""The most videos that are named in one line."""


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


def refuse_url(argument: str) -> None:
    """Raise ``UserError`` if an argument is a URL, which only `unveil video` takes."""
    if SCHEME.match(argument):
        raise UserError(
            f"{Address(argument)} is a URL; download the file and give its path, "
            "or use `unveil video URL` for a video"
        )


def is_video(path: Path) -> bool:
    """Whether a path has the suffix of a video."""
    return path.suffix.lower() in VIDEOS and not path.is_dir()


def image_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are, and all image files below folders, sorted by path.

    Raises ``UserError`` if a folder contains no image file.
    """
    for path in paths:
        yield from search([path])[0]


def search(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files of ``image_files``, and the files in folders that are left out, sorted.

    Hidden files and folders are not counted as left out.
    """
    images, left_out = list[Path](), list[Path]()
    for path in paths:
        if not path.is_dir():
            images.append(path)
            continue
        files = sorted(one for one in path.rglob("*") if one.is_file())
        found = [one for one in files if one.suffix.lower() in SUFFIXES]
        if not found:
            raise _no_image(path, files)
        images += found
        others = (one for one in files if one.suffix.lower() not in SUFFIXES)
        left_out += [one for one in others if not _is_hidden(one.relative_to(path))]
    return images, left_out


def describe(left_out: Sequence[Path]) -> str:
    """Describe the files that were left out in one line, by suffix, and how to predict videos."""
    suffixes = Counter(one.suffix.lower() or "without suffix" for one in left_out)
    counts = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common())
    line = f"left out {len(left_out)} file{'s' * (len(left_out) != 1)}: {counts}"
    return f"{line}{_how_to_predict(left_out)}"


def _how_to_predict(files: Sequence[Path]) -> str:
    videos = [shlex.quote(str(one)) for one in files if is_video(one)]
    if not videos:
        return ""
    more = f" (and {len(videos) - SHOWN} more)" if len(videos) > SHOWN else ""
    return f"; predict videos with `unveil predict {' '.join(videos[:SHOWN])}`{more}"


def _no_image(folder: Path, files: Sequence[Path]) -> UserError:
    suffixes = ", ".join(sorted(SUFFIXES))
    return UserError(
        f"{folder} contains no image file; supported suffixes: {suffixes}{_how_to_predict(files)}"
    )


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


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
    refuse_url(argument)
    # A file may itself have brackets in its name.
    if not glob.has_magic(argument) or Path(argument).exists():
        return [Path(argument)]
    # Path.glob takes no absolute pattern.
    found = sorted(Path(one) for one in glob.glob(argument, recursive=True))  # noqa: PTH207
    if not found:
        raise UserError(f"no file matches {argument!r}")
    return found
