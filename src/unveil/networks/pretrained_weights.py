"""Pretrained weights of backbones, from ImageNet or a file, verified against a pinned sha256."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import sha256

RANDOM, IMAGENET = "none", "imagenet"


@contextmanager
def pinned_weights(source: str, digest: str | None, *, owner: str) -> Iterator[None]:
    """Verify the weights that a keras.applications network, built in the block, loads.

    ``source`` is ``imagenet``, a file or ``none``, ``digest`` the expected sha256 of the weights
    file. Without a digest a file is refused, and for ImageNet weights the digest to pin is printed
    to stderr. Files are verified before Keras reads them.

    Raises:
        UserError: the weights are not available, or differ from the pinned ones.
    """
    if source == RANDOM:
        yield
        return
    try:
        if source == IMAGENET:
            with _verify_downloads(digest, owner):
                yield
        else:
            _require_file(Path(source), digest, owner)
            yield
    except UserError:
        raise
    except Exception as error:  # keras.utils.get_file raises a bare Exception when offline
        reason = (str(error).splitlines() or ["no reason"])[0][:160]
        raise _unavailable(source, owner, reason) from None


@contextmanager
def _verify_downloads(digest: str | None, owner: str) -> Iterator[None]:
    """Verify files that Keras takes from its cache or downloads, before it reads them."""
    from keras.src.utils import file_utils

    get = file_utils.get_file

    def get_and_verify(*arguments: Any, **settings: Any) -> str:
        path = str(get(*arguments, **settings))
        _verify_digest(Path(path), digest, owner)
        return path

    # The only way to learn which file Keras uses; its applications look the function up there.
    file_utils.get_file = get_and_verify
    try:
        yield
    finally:
        file_utils.get_file = get


def _require_file(path: Path, digest: str | None, owner: str) -> None:
    if not path.is_file():
        pointer = path.with_name(f"{path.name}.dvc")
        remedy = f"; `dvc pull {path}` fetches it" if pointer.is_file() else ""
        raise _unavailable(str(path), owner, f"there is no such file{remedy}")
    if digest is None:
        raise UserError(
            f"weights {str(path)!r} of {owner} are not pinned; if you trust the file, add "
            f"`sha256: {sha256(path)}` to its entry"
        )
    _verify_digest(path, digest, owner)


def _verify_digest(path: Path, digest: str | None, owner: str) -> None:
    found = sha256(path)
    if digest is None:
        print(
            f"weights {path.name} of {owner} are not pinned; to pin them, add "
            f"`sha256: {found}` to its entry",
            file=sys.stderr,
        )
    elif found != digest:
        raise UserError(
            f"weights {path.name} of {owner} are not the pinned ones: their sha256 is {found}, "
            f"pinned is {digest}; remove the file, or pin it if you trust it"
        )


def _unavailable(source: str, owner: str, reason: str) -> UserError:
    return UserError(
        f"weights {source!r} of {owner} are not available ({reason}); choose imagenet (needs a "
        "network or a cache), package:NAME, a .weights.h5 file, or none"
    )
