"""Names of annotated copies: each is unique, and none overwrites an input."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path

from unveil.common.errors import UserError
from unveil.inference.sources import STDIN

Named = tuple[Path, str]
"""An input and the name of its annotated copy."""


def image_names(paths: Iterable[Path]) -> Iterator[Named]:
    """Yield each image file with the name of its copy, a PNG."""
    return _unique(((path, _joined(path).removesuffix(".png")) for path in paths), ".png")


def video_names(paths: Iterable[Path]) -> Iterator[Named]:
    """Yield each video with the name of its copy, an mp4."""
    return _unique(((path, _joined(path.with_suffix(""))) for path in paths), ".mp4")


def refuse_overwriting(named: Sequence[Named], folder: Path) -> Sequence[Named]:
    """Return the named inputs; ``UserError`` if a copy in ``folder`` would overwrite one."""
    sources = {found: path for path, _ in named if (found := _file_identity(path))}
    for _, name in named:
        if source := sources.get(_file_identity(folder / name) or (0, 0)):
            raise UserError(
                f"the annotated copy would overwrite {source}; name another folder than {folder} "
                "with --annotated"
            )
    return named


def _joined(path: Path) -> str:
    # Made of the whole path: two folders may contain files of the same name.
    known = Path("stdin") if path == STDIN else path
    return "_".join(part for part in known.parts if part not in ("/", ".."))


def _unique(stems: Iterable[Named], suffix: str) -> Iterator[Named]:
    taken: set[str] = set()
    for path, stem in stems:
        # a/b.png and a_b.png would still collide.
        others = (f"{stem}-{number}{suffix}" for number in count(2))
        name = next(one for one in chain([f"{stem}{suffix}"], others) if one not in taken)
        taken.add(name)
        yield path, name


def _file_identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
