"""pictures, folders, a video -> what every face in them looks like, by a bundle.

Takes files that `images` can decode, or frames of `video`. Command: ``unveil predict PATHS...``,
``--video FILE`` or ``--camera N``. A picture without a face is answered with ``no_face``; one of 64
pixels or less is a face itself.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, count, islice
from pathlib import Path

import numpy as np

from unveil import detect, tracks
from unveil.annotate import annotate
from unveil.answer import NO_FACE, Answer, answer
from unveil.bundle import Bundle
from unveil.detect import Detect, Found
from unveil.errors import UserError
from unveil.images import SUFFIXES, Limits, Pixels, UnreadableImage, decode
from unveil.tracks import Box, Track
from unveil.video import Frame

TOGETHER = 16
"""Pictures that one core takes at a time."""


@dataclass(frozen=True)
class Asked:
    """Who is asked and how: ``faces`` takes every picture for a face, ``annotated`` is a folder."""

    bundle: Bundle
    detect: Detect
    faces: bool = False
    limits: Limits = field(default_factory=Limits)
    annotated: Path | None = None


@dataclass(frozen=True)
class Seen:
    """What is said of one face; ``face`` is its number in the picture, or over a video.

    ``time`` in seconds is a video's. Without a box the picture is the face, without either there
    was none.
    """

    source: str
    answer: Answer
    face: int | None = None
    box: Box | None = None
    time: float | None = None


def pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """Give files as they are, and of folders all pictures below, by name.

    ``UserError`` where a folder has none.
    """
    for path in paths:
        if path.is_dir():
            found = (one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
            below = sorted(one for one in found if one.is_file())
            if not below:
                raise UserError(f"{path} has no picture; they end in {', '.join(sorted(SUFFIXES))}")
            yield from below
        else:
            yield path


def predict(paths: Iterable[Path], asked: Asked) -> Iterator[Seen | UserError]:
    """Say of every face what it looks like, in order, on all cores.

    A picture that cannot be read becomes its ``UserError``. The bundle should use one thread.
    """
    cores = len(os.sched_getaffinity(0))
    waiting: deque[Future[list[Seen | UserError]]] = deque()
    names = _named(paths)
    if asked.annotated:
        names = iter(_beside(list(names), asked.annotated))
    with ThreadPoolExecutor(cores) as pool:
        while some := list(islice(names, TOGETHER)):
            waiting.append(pool.submit(_together, some, asked))
            # Not all at once: a folder may hold more than memory does.
            if len(waiting) > 2 * cores:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def watch(frames: Iterable[Frame], source: str, asked: Asked) -> Iterator[list[Seen]]:
    """Say of every frame what its faces look like, each label steadied over its track."""
    known: list[Track] = []
    following = 0
    for frame in frames:
        found = _found(frame.pixels, asked)
        shares = asked.bundle.probabilities(_faces(frame.pixels, found, asked))
        boxes = [one.box for one in found]
        known = tracks.followed(known, boxes, shares, now=frame.time, following=following)
        following = max([following, *(track.number + 1 for track in known)])
        seen = [
            Seen(source, _said(track.shares, asked), track.number, track.box, frame.time)
            for track in known[: len(found)]
        ] or [Seen(source, NO_FACE, time=frame.time)]
        _annotate(frame.pixels, seen, f"{Path(source).stem}_{frame.number:06d}.png", asked)
        yield seen


def _together(named: Sequence[tuple[Path, str]], asked: Asked) -> list[Seen | UserError]:
    read = [(path, _read(path, asked.limits)) for path, _ in named]
    found = [[] if isinstance(one, UserError) else _found(one, asked) for _, one in read]
    cuts = [
        _faces(one, faces, asked)
        for (_, one), faces in zip(read, found, strict=True)
        if not isinstance(one, UserError)
    ]
    shares = iter(asked.bundle.probabilities(np.concatenate(cuts)) if cuts else ())
    told: list[Seen | UserError] = []
    for (path, name), (_, picture), faces in zip(named, read, found, strict=True):
        if isinstance(picture, UserError):
            told.append(picture)
            continue
        seen = [
            Seen(str(path), _said(next(shares), asked), place, _box(one, picture))
            for place, one in enumerate(faces)
        ] or [Seen(str(path), NO_FACE)]
        _annotate(picture, seen, name, asked)
        told += seen
    return told


def _read(path: Path, limits: Limits) -> Pixels | UserError:
    try:
        with path.open("rb") as file:
            content = file.read(limits.max_bytes + 1)
        return decode(content, limits).pixels
    except OSError as error:
        return UserError(f"{path}: {str(error.strerror).lower()}")
    except UnreadableImage as error:
        return UserError(f"{path}: {error}")


def _found(picture: Pixels, asked: Asked) -> list[Found]:
    if asked.faces or detect.is_face(picture):
        return [detect.whole(picture)]
    return asked.detect(picture)


def _faces(picture: Pixels, found: Sequence[Found], asked: Asked) -> Pixels:
    size = asked.bundle.image_size
    faces = np.empty((len(found), size, size, 1), np.uint8)
    for place, one in enumerate(found):
        faces[place, :, :, 0] = detect.cut(picture, one, size)
    return faces


def _said(shares: tracks.Shares, asked: Asked) -> Answer:
    return answer(shares, asked.bundle.classes, asked.bundle.abstain_below)


def _box(found: Found, picture: Pixels) -> Box | None:
    return None if found == detect.whole(picture) else found.box


def _named(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Give each picture with a name of its own for what is written about it."""
    taken: set[str] = set()
    for path in pictures(paths):
        # Of the whole path: two folders may hold files of one name.
        stem = "_".join(part for part in path.parts if part not in ("/", "..")).removesuffix(".png")
        # And still a/b.png and a_b.png would have one.
        others = (f"{stem}-{number}.png" for number in count(2))
        name = next(one for one in chain([f"{stem}.png"], others) if one not in taken)
        taken.add(name)
        yield path, name


def _beside(named: list[tuple[Path, str]], folder: Path) -> list[tuple[Path, str]]:
    """Give the pictures back; ``UserError`` where an annotated one would replace one of them."""
    sources = {found: path for path, _ in named if (found := _identity(path))}
    for _, name in named:
        if source := sources.get(_identity(folder / name) or (0, 0)):
            raise UserError(
                f"{source} would be replaced by its annotated copy; name another folder than "
                f"{folder} with --annotated"
            )
    return named


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _annotate(picture: Pixels, seen: Sequence[Seen], name: str, asked: Asked) -> None:
    if asked.annotated:
        height, width = picture.shape
        labels = [
            (one.box or (0, 0, width, height), str(one.answer).split("  ")[0])
            for one in seen
            if one.face is not None
        ]
        annotate(picture, labels, asked.annotated / name)
