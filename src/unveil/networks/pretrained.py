"""The learned weights a backbone starts from: a file's or ImageNet's, and the pinned ones only."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import sha256

RANDOM, IMAGENET = "none", "imagenet"


@contextmanager
def pinned(source: str, digest: str | None, *, owner: str) -> Iterator[None]:
    """Let a network of keras.applications be made in the block, with no weights but these.

    ``source`` is ``imagenet``, a file or ``none``, ``digest`` the sha256 that its file must have;
    a file without one is refused, ImageNet's is named on stderr to be pinned. A file is judged
    before Keras reads it. Raises ``UserError`` where the weights cannot be had or are others.
    """
    if source == RANDOM:
        yield
        return
    try:
        if source == IMAGENET:
            with _watched(digest, owner):
                yield
        else:
            _require_file(Path(source), digest, owner)
            yield
    except UserError:
        raise
    except Exception as error:  # keras.utils.get_file raises a bare one without a network
        reason = (str(error).splitlines() or ["no reason"])[0][:160]
        raise _not_had(source, owner, reason) from None


@contextmanager
def _watched(digest: str | None, owner: str) -> Iterator[None]:
    """Judge the files that Keras takes from its cache, or the network, before it reads them."""
    from keras.src.utils import file_utils

    get = file_utils.get_file

    def get_and_judge(*arguments: Any, **settings: Any) -> str:
        path = str(get(*arguments, **settings))
        _require(Path(path), digest, owner)
        return path

    # Keras says nowhere else which file it took; its applications look the function up there.
    file_utils.get_file = get_and_judge
    try:
        yield
    finally:
        file_utils.get_file = get


def _require_file(path: Path, digest: str | None, owner: str) -> None:
    if not path.is_file():
        pointer = path.with_name(f"{path.name}.dvc")
        way = f"; `dvc pull {path}` brings it" if pointer.is_file() else ""
        raise _not_had(str(path), owner, f"there is no such file{way}")
    if digest is None:
        raise UserError(
            f"weights {str(path)!r} of {owner} are not pinned; if you trust the file, add "
            f"`sha256: {sha256(path)}` to its entry"
        )
    _require(path, digest, owner)


def _require(path: Path, digest: str | None, owner: str) -> None:
    found = sha256(path)
    if digest is None:
        print(
            f"weights {path.name} of {owner} are not pinned; to have no others, add "
            f"`sha256: {found}` to its entry",
            file=sys.stderr,
        )
    elif found != digest:
        raise UserError(
            f"weights {path.name} of {owner} are not the pinned ones: their sha256 is {found}, "
            f"pinned is {digest}; remove the file, or pin it if you trust it"
        )


def _not_had(source: str, owner: str, reason: str) -> UserError:
    return UserError(
        f"weights {source!r} of {owner} cannot be had ({reason}); choose imagenet (needs a network "
        "or a cache), a .weights.h5 file, or none"
    )
