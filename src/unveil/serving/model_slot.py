"""The active bundle: tested before use, replaced without downtime, with a last good copy.

Checks the bundle's folder twice a second. A new bundle that passes its self-test is used from the
next batch on; otherwise the current one stays active. A copy of the last working bundle is kept,
for a start when the folder is missing or damaged.
"""

import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unveil.common.errors import UserError
from unveil.common.files import atomic_write
from unveil.data.decoding import resize
from unveil.data.synthetic import CLASSES, draw_face
from unveil.inference import model_choice
from unveil.inference.bundle import Bundle, load
from unveil.inference.bundle_files import Precision, refuse_other_content

POLL_SECONDS = 0.5
"""Seconds between two checks of the folder."""

Report = Callable[[str, str], None]
"""Called with an outcome (``taken``, ``refused``, ``last_good``) and the bundle or the reason."""

Signature = tuple[tuple[str, int, int, int], ...]


class ModelSlot:
    """Holds the active bundle; ``bundle`` may be replaced at any time."""

    def __init__(
        self, folder: Path, keep: Path, report: Report, precision: Precision = "float32"
    ) -> None:
        """Load the bundle in ``folder``, else the copy in ``keep``.

        Raises:
            UserError: if neither works.
        """
        self._folder, self._keep, self._report = folder, keep, report
        self._precision = precision
        self._seen = _signature(folder)
        self._end = threading.Event()
        try:
            self.bundle = load_tested(folder, precision)
        except UserError as error:
            if not model_choice.can_fall_back_to(keep):
                raise
            self.bundle = load_tested(keep, precision)
            report("last_good", f"{self.bundle}: {error}")
        else:
            self._keep_copy()
        self._described = self.bundle, model_choice.describe(self.bundle)

    def describe(self, bundle: Bundle) -> dict[str, str | None]:
        """Describe a bundle as `model_choice.describe`, which looks at the file system, does."""
        described, description = self._described
        if described is not bundle:
            description = model_choice.describe(bundle)
            self._described = bundle, description
        return description

    def watch(self) -> None:
        """Check for a new bundle until ``close``, in a thread of its own."""
        threading.Thread(target=self._watch, name="bundle", daemon=True).start()

    def close(self) -> None:
        """Stop checking."""
        self._end.set()

    def reload(self) -> None:
        """Load the folder's bundle if it changed and passes; a refused one is not retried."""
        signature = _signature(self._folder)
        if not signature or signature == self._seen:
            return
        self._seen = signature
        try:
            bundle = load_tested(self._folder, self._precision)
            if bundle.classes != self.bundle.classes:
                raise UserError(f"classes {', '.join(bundle.classes)}: restart the server")
            model_choice.refuse_synthetic_replacement(self.bundle, bundle)
        except UserError as error:
            self._report("refused", str(error))
            return
        self.bundle = bundle
        self._keep_copy()

    def _watch(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            try:
                self.reload()
            except Exception as error:
                self._report("refused", f"{type(error).__name__}: {error}")

    def _keep_copy(self) -> None:
        self._report("taken", str(self.bundle))
        try:
            refuse_other_content(self._keep)
            with atomic_write(self._keep) as copy:
                shutil.copytree(self._folder, copy)
                copy.chmod(0o755)  # a folder that is mounted read-only may be closed to its owner
                if load(copy).digest != self.bundle.digest:
                    raise UserError(f"{self._folder} changed meanwhile")
        except (UserError, OSError, shutil.Error) as error:
            print(f"unveil: no last good copy: {error}", file=sys.stderr, flush=True)


def digest(bundle: Bundle) -> str:
    """Return the first 12 digits of the SHA-256 of a bundle's card."""
    return bundle.digest[:12]


def load_tested(folder: Path, precision: Precision = "float32") -> Bundle:
    """Load a bundle and run its self-test on synthetic faces.

    Its answers must be finite, of sum 1, the same for a face alone and in a batch, and not the
    same for all faces.

    Raises:
        UserError: what is wrong with the bundle.
    """
    bundle = load(folder, precision=precision)
    faces = _synthetic_faces(bundle.image_size)
    try:
        together, alone = bundle.probabilities(faces), bundle.probabilities(faces[:1])
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise UserError(f"{folder}: the model fails: {type(error).__name__}: {reason}") from None
    if fault := _fault(bundle, together, alone):
        raise UserError(f"{folder}: the model's answers are {fault}")
    return bundle


def _fault(bundle: Bundle, together: np.ndarray, alone: np.ndarray) -> str | None:
    checks = {
        "of the wrong shape": together.shape == (len(together), len(bundle.classes)),
        "not finite": bool(np.isfinite(together).all()),
        "below 0": bool((together >= 0).all()),
        "not of sum 1": bool(np.allclose(together.sum(axis=-1), 1, atol=1e-3)),
        "different in a batch": bool(np.allclose(together[:1], alone, atol=1e-3)),
        "the same for all faces": bool(np.ptp(together, axis=0).max() > 1e-6),
    }
    return next((fault for fault, passed in checks.items() if not passed), None)


def _synthetic_faces(size: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack([resize(draw_face(name, generator), size) for name in CLASSES])[..., np.newaxis]


def _signature(folder: Path) -> Signature:
    try:
        entries = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError:
        # Missing, or just being replaced.
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in entries)
