"""Weights from packages of the Python registry: ``weights: package:NAME``.

The converted weights are cached in Keras's folder of models, so that a machine with this file needs
neither the package nor a network connection. A cached file that is not the pinned one is made
again.
"""

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unveil.common.errors import UserError, reason, unknown_choice
from unveil.common.files import atomic_write
from unveil.networks.package_conversion import PACKAGES, Arrays, WeightsPackage

if TYPE_CHECKING:
    import keras

PREFIX = "package:"


def load(backbone: "keras.Model", source: str, digest: str | None, *, owner: str) -> None:
    """Set the weights of a backbone without classifier to those of a package.

    ``source`` is ``package:NAME``, ``owner`` the name of the backbone. ``digest`` may repeat the
    sha256 of the package's weights file.

    Raises:
        UserError: the package is unknown, not installed, not the pinned one, or for another
            backbone.
    """
    name = source.removeprefix(PREFIX)
    if name not in PACKAGES:
        raise unknown_choice(f"package of weights of {owner}", name, PACKAGES)
    package = PACKAGES[name]
    if owner != package.backbone:
        raise UserError(
            f"weights {source!r} are for the backbone {package.backbone}, not for {owner}"
        )
    if digest not in (None, package.sha256):
        raise UserError(
            f"weights {source!r} of {owner} are pinned to the sha256 {package.sha256}, its entry "
            f"has {digest}; remove it"
        )
    _assign(backbone, _cached(name, package), source)


def digest_of(arrays: Arrays) -> str:
    """Return the sha256 of the names, shapes and values of arrays, whatever file holds them."""
    summed = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        summed.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        summed.update(np.ascontiguousarray(array).tobytes())
    return summed.hexdigest()


def cache_path(name: str, package: WeightsPackage) -> Path:
    """Return the file of the converted weights, beside those that Keras downloads."""
    from keras.src.backend import config

    return Path(config.keras_home()) / "models" / f"{name}-{package.version}.npz"


def _cached(name: str, package: WeightsPackage) -> Arrays:
    path = cache_path(name, package)
    if path.exists():
        if digest_of(kept := _read(path)) == package.converted:
            return kept
        print(f"weights {path} are damaged or outdated; they are made again", file=sys.stderr)
    arrays = package.read(name)
    if (found := digest_of(arrays)) != package.converted:
        raise UserError(
            f"the converted weights of {name} are not the pinned ones: their digest is {found}, "
            f"pinned is {package.converted}"
        )
    _write(path, arrays)
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    """Write the arrays, for the next time; a file that cannot be written is only reported."""
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except (UserError, OSError) as error:
        print(f"weights {path} are not cached: {reason(error)}", file=sys.stderr)


def _read(path: Path) -> Arrays:
    """Return the arrays of a file; none if it is damaged."""
    try:
        # Opened here: NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    # zipfile, zlib and NumPy raise their own exceptions for a damaged file.
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        return {}


def _assign(backbone: "keras.Model", arrays: Arrays, source: str) -> None:
    variables = {
        f"{layer.name}/{variable.name}": variable
        for layer in backbone.layers
        for variable in layer.weights
    }
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    stored = {name: array.shape for name, array in arrays.items()}
    if shapes != stored:
        first = min({name for name, _ in shapes.items() ^ stored.items()})
        raise UserError(
            f"weights {source!r} do not fit {backbone.name}: {first} is {stored.get(first)} in the "
            f"weights, {shapes.get(first)} in the backbone"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
