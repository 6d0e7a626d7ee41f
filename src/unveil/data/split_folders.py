"""Recognise the splits of an archive by the folders above its class folders.

A folder named train, validation or test, as in `NAMES` or `Layout.split_folders`, is that split.
So are sibling folders with such a word in their names, such as ``FER2013Train`` and
``FER2013Test``, if all siblings have one and one is train. Ambiguous names are refused, since a
held-out set must not be pooled with the training data.
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
"""Folder names that are a split anywhere above a class folder."""

NO_SPLIT = "none"
"""Value in params.yaml for a folder that is not a split, whatever its name."""

WORDS = {
    **NAMES,
    **dict.fromkeys(("trn", "trainset", "trainingset", "traindata"), "train"),
    **dict.fromkeys(("dev", "validate", "valset", "devset", "validationset"), "validation"),
    **dict.fromkeys(("tst", "testset", "testdata"), "test"),
    **dict.fromkeys(("eval", "evaluation", "evalset", "holdout", "heldout", "unseen"), "held out"),
    **dict.fromkeys(("fold", "split", "partition", "subset"), "unknown"),
}
WHOLE_NAMES = {"publictest": "validation", "privatetest": "test"}
WHOLE_NAMES |= dict.fromkeys(("holdout", "heldout"), "held out")
SUFFIX = re.compile("(training|train|validation|valid|testing|test)$")

Parents = Mapping[tuple[str, ...], int]
"""Number of images by the path of folders above the class folder, outermost first."""


def image_folders(name: str) -> tuple[str, ...]:
    """Return the folders of an image, the last of which is the class folder.

    Raises ``UserError`` if there is no class folder, or a folder between split and class.
    """
    folders = tuple(part for part in name.split("/")[:-1] if part not in ("", "."))
    lower = [part.lower() for part in folders]
    if not folders or lower[-1] in NAMES:
        raise UserError(f"image {name!r} has no class folder; expected [split/]class/image")
    if set(lower[:-2]) & NAMES.keys() and lower[-2] not in NAMES:
        raise UserError(f"image {name!r} has folders between split and class; expected split/class")
    return folders


def recognise_splits(
    parents: Parents, given: Mapping[str, str]
) -> dict[tuple[str, ...], str | None]:
    """Return the split of each path of folders, ``None`` for no split.

    ``given`` are the splits of folder names, in any case, from params.yaml. Raises ``UserError``
    for folders that look like splits but are not recognised.
    """
    known = {**NAMES, **{name.lower(): split for name, split in given.items()}}
    splits = {path: known.get(_last_folder(path).lower()) for path in parents}
    rest = [path for path, split in splits.items() if split is None]
    if rest and len(parents) > 1:
        splits |= _guess_splits(parents, splits, rest)
    return {path: None if split == NO_SPLIT else split for path, split in splits.items()}


def renamed_folders(
    parents: Parents, splits: Mapping[tuple[str, ...], str | None]
) -> dict[str, str]:
    """Return the folders whose split differs from their name, with that split."""
    pairs = {_last_folder(path): splits[path] for path in parents if _last_folder(path)}
    return {
        name: split for name, split in pairs.items() if split and NAMES.get(name.lower()) is None
    }


def pooled_counts(parents: Parents) -> dict[str, int]:
    """Return the images of each path if several paths are pooled into one set, else nothing."""
    named = {"/".join(path) or ".": count for path, count in sorted(parents.items())}
    return named if len(named) > 1 else {}


def _guess_splits(
    parents: Parents, recognised: Mapping[tuple[str, ...], str | None], rest: list[tuple[str, ...]]
) -> dict[tuple[str, ...], str | None]:
    guesses = {path: _guess(_last_folder(path)) for path in rest}
    if "train" not in {
        *recognised.values(),
        *guesses.values(),
        *map(_suffix, map(_last_folder, rest)),
    }:
        if not any(guesses.values()) and not _has_split_above(rest, parents):
            return {}
        raise _ambiguous(parents, [path for path in rest if guesses[path]] or rest)
    guesses = {path: guess or _suffix(_last_folder(path)) for path, guess in guesses.items()}
    guesses = _assign_held_out(guesses, {*recognised.values(), *guesses.values()})
    splits = set(NAMES.values())
    if all(guess in splits for guess in guesses.values()):
        return guesses
    if any(guesses.values()) or _has_split_above(rest, parents):
        raise _ambiguous(parents, list(parents))
    return {}


def _assign_held_out(
    guesses: dict[tuple[str, ...], str | None], present: set[str | None]
) -> dict[tuple[str, ...], str | None]:
    """Make held-out folders the test set or, if there is one, the validation set."""
    free = [name for name in ("test", "validation") if name not in present]
    if not free:
        return guesses
    return {path: free[0] if guess == "held out" else guess for path, guess in guesses.items()}


def _last_folder(path: tuple[str, ...]) -> str:
    return path[-1] if path else ""


def _guess(name: str) -> str | None:
    """Return the split that the words of a name refer to, or ``unknown`` for several."""
    if whole := WHOLE_NAMES.get(re.sub("[^a-z]", "", name.lower())):
        return whole
    camel = re.findall("[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)
    words = {*map(str.lower, camel), *re.findall("[a-z]+", name.lower())}
    splits = {WORDS[word] for word in words & WORDS.keys()}
    return None if not splits else splits.pop() if len(splits) == 1 else "unknown"


def _suffix(name: str) -> str | None:
    ending = SUFFIX.search(name.lower())
    return NAMES[ending[1]] if ending else None


def _has_split_above(rest: Iterable[tuple[str, ...]], parents: Parents) -> bool:
    """Return whether a folder further up, which does not contain all images, looks like a split."""
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*parents, strict=False))
    shared = len(list(levels))
    return any(_guess(name) for path in rest for name in path[shared:-1])


def _ambiguous(parents: Parents, paths: list[tuple[str, ...]]) -> UserError:
    named = [f"{'/'.join(path) or '.'!r} ({parents[path]} images)" for path in sorted(paths)]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    example = ", ".join(f"{_last_folder(path) or '...'}: train" for path in sorted(paths)[:1])
    return UserError(
        f"folders above the classes that look like splits: {', '.join(named[:5])}{more}; map "
        "each to train, validation, test or none: data.split_folders in params.yaml, "
        f"such as {{{example}}}; split folders must be directly above the classes"
    )
