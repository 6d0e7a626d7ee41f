"""The folders above the classes of an archive -> the splits they stand for.

A folder named train, validation or test, as `NAMES` or `Layout.split_folders` have it, is that
split. Of several folders side by side, those with such a word in their name are too, as
``FER2013Train`` and ``FER2013Test``, where all of them are and one is train. What only looks like a
split is refused, since a held-out set that is pooled with the rest is lost.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import takewhile

from unveil.common.errors import UserError

NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folders that are a split wherever they stand above a class."""

NO_SPLIT = "none"
"""In params.yaml: a folder that is no split, whatever its name looks like."""

WORDS = {
    **NAMES,
    **dict.fromkeys(("trn", "trainset", "trainingset", "traindata"), "train"),
    **dict.fromkeys(("dev", "validate", "valset", "devset", "validationset"), "validation"),
    **dict.fromkeys(("tst", "testset", "testdata"), "test"),
    **dict.fromkeys(("eval", "evaluation", "evalset", "holdout", "heldout", "unseen"), "held out"),
    **dict.fromkeys(("fold", "split", "partition", "subset"), "unknown"),
}
WHOLE = {"publictest": "validation", "privatetest": "test"}
WHOLE |= dict.fromkeys(("holdout", "heldout"), "held out")
SUFFIX = re.compile("(training|train|validation|valid|testing|test)$")

Parents = Mapping[tuple[str, ...], int]
"""The folders above the class folders, from the outermost, and how many images each path has."""


def folders(name: str) -> tuple[str, ...]:
    """Give the folders of an image, the last of which is its class's."""
    folders = tuple(part for part in name.split("/")[:-1] if part not in ("", "."))
    lower = [part.lower() for part in folders]
    if not folders or lower[-1] in NAMES:
        raise UserError(f"image {name!r} has no class folder; expected [split/]class/image")
    if set(lower[:-2]) & NAMES.keys() and lower[-2] not in NAMES:
        raise UserError(f"image {name!r} has folders between split and class; expected split/class")
    return folders


def recognised(parents: Parents, given: Mapping[str, str]) -> dict[tuple[str, ...], str | None]:
    """Give each path of folders its split, ``None`` where it has none.

    ``given`` are names of folders, in any case, that a person said the split of. ``UserError``
    names folders that look like splits and are none that is known.
    """
    known = {**NAMES, **{name.lower(): split for name, split in given.items()}}
    found = {path: known.get(_last(path).lower()) for path in parents}
    rest = [path for path, split in found.items() if split is None]
    if rest and len(parents) > 1:
        found |= _guessed(parents, found, rest)
    return {path: None if split == NO_SPLIT else split for path, split in found.items()}


def renamed(parents: Parents, splits: Mapping[tuple[str, ...], str | None]) -> dict[str, str]:
    """Name the folders whose split is not their own name, and that split."""
    pairs = {_last(path): splits[path] for path in parents if _last(path)}
    return {
        name: split for name, split in pairs.items() if split and NAMES.get(name.lower()) is None
    }


def pooled(parents: Parents) -> dict[str, int]:
    """Count the images of each path where several make one set."""
    named = {"/".join(path) or ".": count for path, count in sorted(parents.items())}
    return named if len(named) > 1 else {}


def _guessed(
    parents: Parents, found: Mapping[tuple[str, ...], str | None], rest: list[tuple[str, ...]]
) -> dict[tuple[str, ...], str | None]:
    guesses = {path: _guess(_last(path)) for path in rest}
    if "train" not in {*found.values(), *guesses.values(), *map(_suffix, map(_last, rest))}:
        if not any(guesses.values()) and not _between(rest, parents):
            return {}
        raise _unknown(parents, [path for path in rest if guesses[path]] or rest)
    guesses = {path: guess or _suffix(_last(path)) for path, guess in guesses.items()}
    guesses = _placed(guesses, {*found.values(), *guesses.values()})
    splits = set(NAMES.values())
    if all(guess in splits for guess in guesses.values()):
        return guesses
    if any(guesses.values()) or _between(rest, parents):
        raise _unknown(parents, list(parents))
    return {}


def _placed(
    guesses: dict[tuple[str, ...], str | None], there: set[str | None]
) -> dict[tuple[str, ...], str | None]:
    """Make what is held out the test set or, where there is one, validation."""
    free = [name for name in ("test", "validation") if name not in there]
    if not free:
        return guesses
    return {path: free[0] if guess == "held out" else guess for path, guess in guesses.items()}


def _last(path: tuple[str, ...]) -> str:
    return path[-1] if path else ""


def _guess(name: str) -> str | None:
    """Find the one split that the words of a name speak of; several are ``unknown``."""
    if whole := WHOLE.get(re.sub("[^a-z]", "", name.lower())):
        return whole
    camel = re.findall("[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)
    words = {*map(str.lower, camel), *re.findall("[a-z]+", name.lower())}
    spoken = {WORDS[word] for word in words & WORDS.keys()}
    return None if not spoken else spoken.pop() if len(spoken) == 1 else "unknown"


def _suffix(name: str) -> str | None:
    ending = SUFFIX.search(name.lower())
    return NAMES[ending[1]] if ending else None


def _between(rest: Iterable[tuple[str, ...]], parents: Parents) -> bool:
    """Whether a folder further up, that not all images lie in, looks like a split."""
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*parents, strict=False))
    shared = len(list(levels))
    return any(_guess(name) for path in rest for name in path[shared:-1])


def _unknown(parents: Parents, paths: list[tuple[str, ...]]) -> UserError:
    named = [f"{'/'.join(path) or '.'!r} ({parents[path]} images)" for path in sorted(paths)]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    example = ", ".join(f"{_last(path) or '...'}: train" for path in sorted(paths)[:1])
    return UserError(
        f"folders above the classes that look like splits: {', '.join(named[:5])}{more}; say of "
        f"each whether it is train, validation, test or none, data.split_folders in params.yaml, "
        f"such as {{{example}}}; split folders stand directly above the classes"
    )
