"""An installed package of weights at toy size, and its entry in the table of packages."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unveil.common.files import sha256
from unveil.networks import package_conversion, package_weights
from unveil.networks.package_conversion import Arrays, WeightsPackage

NAME, VERSION, FILE = "toy-weights", "1.2.0", "toy_weights/weights.npz"


def _read(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


class ToyPackage:
    """The package in a folder of ``sys.path``; Keras's home is in the same place."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._site = place / "site"
        self._site.mkdir()
        self._monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(str(self._site))
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(place / "keras"))

    @property
    def file(self) -> Path:
        """The weights file of the installed package."""
        return self._site / FILE

    def install(self, arrays: Arrays, backbone: str) -> WeightsPackage:
        """Install it with the weights of a backbone, and pin it."""
        self.file.parent.mkdir()
        np.savez(self.file, **arrays)
        self.set_version(VERSION)
        entry = WeightsPackage(
            version=VERSION,
            path=FILE,
            sha256=sha256(self.file),
            backbone=backbone,
            convert=_read,
            converted=package_weights.digest_of(arrays),
        )
        self.pin(entry)
        return entry

    def pin(self, entry: WeightsPackage, **changed: str) -> None:
        """Put an entry into the table of packages."""
        self._monkeypatch.setitem(package_conversion.PACKAGES, NAME, replace(entry, **changed))

    def set_version(self, version: str) -> None:
        """Say that another version is installed."""
        self.uninstall()
        info = self._site / f"toy_weights-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n"
        (info / "METADATA").write_text(text)
        importlib.invalidate_caches()

    def uninstall(self) -> None:
        """Remove what makes it an installed package; its file stays."""
        for info in self._site.glob("*.dist-info"):
            (info / "METADATA").unlink()
            info.rmdir()
        importlib.invalidate_caches()
