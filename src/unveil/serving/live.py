"""The bundle of now: tested before it answers, replaced while it answers, kept when it worked.

Takes the folder of a bundle and looks at it twice a second. A new bundle that passes its self-test
answers from the next batch on; one that does not leaves the old one where it is. A copy of the last
that worked is kept, and started from when the folder is away or damaged.
"""

import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unveil import lineage
from unveil.bundle import Bundle, load
from unveil.bundle_folder import Precision, refuse_other_content
from unveil.errors import UserError
from unveil.files import replacing
from unveil.images import resize
from unveil.sample import CLASSES, face

EVERY = 0.5
"""Seconds between two looks at the folder."""

Told = Callable[[str, str], None]
"""Is told of an outcome (``taken``, ``refused``, ``last_good``) and which bundle, or the reason."""

Signature = tuple[tuple[str, int, int, int], ...]


class Live:
    """What is asked now; ``bundle`` may be another one at any time."""

    def __init__(
        self, folder: Path, keep: Path, told: Told, precision: Precision = "float32"
    ) -> None:
        """Load the bundle, or the kept one; ``UserError`` where neither works."""
        self._folder, self._keep, self._told = folder, keep, told
        self._precision = precision
        self._seen = _signature(folder)
        self._end = threading.Event()
        try:
            self.bundle = proven(folder, precision)
        except UserError as error:
            if not lineage.is_kept(keep):
                raise
            self.bundle = proven(keep, precision)
            told("last_good", f"{self.bundle}: {error}")
        else:
            self._took()

    def watch(self) -> None:
        """Look for a new bundle until ``close``, in a thread of its own."""
        threading.Thread(target=self._watch, name="bundle", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._end.set()

    def look(self) -> None:
        """Take the bundle in the folder if it changed and passes; a refused one is not retried."""
        signature = _signature(self._folder)
        if not signature or signature == self._seen:
            return
        self._seen = signature
        try:
            bundle = proven(self._folder, self._precision)
            if bundle.classes != self.bundle.classes:
                raise UserError(f"classes {', '.join(bundle.classes)}: start the server anew")
            lineage.require_no_worse(self.bundle, bundle)
        except UserError as error:
            self._told("refused", str(error))
            return
        self.bundle = bundle
        self._took()

    def _watch(self) -> None:
        while not self._end.wait(EVERY):
            try:
                self.look()
            except Exception as error:
                self._told("refused", f"{type(error).__name__}: {error}")

    def _took(self) -> None:
        self._told("taken", str(self.bundle))
        try:
            refuse_other_content(self._keep)
            with replacing(self._keep) as made:
                shutil.copytree(self._folder, made)
                if load(made).digest != self.bundle.digest:
                    raise UserError(f"{self._folder} changed meanwhile")
        except (UserError, OSError, shutil.Error) as error:
            print(f"unveil: no last good copy: {error}", file=sys.stderr, flush=True)


def digest(bundle: Bundle) -> str:
    """Name a bundle by the start of the SHA-256 of its card."""
    return bundle.digest[:12]


def proven(folder: Path, precision: Precision = "float32") -> Bundle:
    """Load a bundle whose answers are probabilities; ``UserError`` says what is wrong with it.

    Asked about drawn faces: finite, of sum 1, the same for a face alone and among others, and not
    the same for all faces.
    """
    bundle = load(folder, precision=precision)
    faces = _drawn(bundle.image_size)
    try:
        together, alone = bundle.probabilities(faces), bundle.probabilities(faces[:1])
    except Exception as error:
        said = (str(error).splitlines() or [""])[0][:120]
        raise UserError(f"{folder}: the model fails: {type(error).__name__}: {said}") from None
    if fault := _fault(bundle, together, alone):
        raise UserError(f"{folder}: the model's answers are {fault}")
    return bundle


def _fault(bundle: Bundle, together: np.ndarray, alone: np.ndarray) -> str | None:
    checks = {
        "of another shape": together.shape == (len(together), len(bundle.classes)),
        "not finite": bool(np.isfinite(together).all()),
        "below 0": bool((together >= 0).all()),
        "of another sum than 1": bool(np.allclose(together.sum(axis=-1), 1, atol=1e-3)),
        "others in company": bool(np.allclose(together[:1], alone, atol=1e-3)),
        "the same for all faces": bool(np.ptp(together, axis=0).max() > 1e-6),
    }
    return next((fault for fault, passed in checks.items() if not passed), None)


def _drawn(size: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack([resize(face(name, generator), size) for name in CLASSES])[..., np.newaxis]


def _signature(folder: Path) -> Signature:
    try:
        found = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError:
        # Away, or just being replaced.
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found)
