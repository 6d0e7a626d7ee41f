"""The check of a candidate's exported network: the same predictions, latency and size."""

import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError
from unveil.export import export
from unveil.inference import bundle
from unveil.inference.bundle import Bundle
from unveil.inference.bundle_files import FILES
from unveil.promotion.challenger import Challenge, Check

WARMUP, TIMED = 5, 50
"""Number of faces that are predicted before and during the latency measurement."""


def deployable(challenge: Challenge) -> Check:
    """The exported network predicts the same, and is within the latency and size budgets."""
    limit = challenge.params.promotion
    with tempfile.TemporaryDirectory(prefix="unveil-gate-") as folder:
        try:
            source = export.trained(challenge.key, challenge.params)
            exported = export.export(source, Path(folder) / "bundle")
        except UserError as error:
            return Check("deployable", passed=False, said=str(error))
        size = (exported.folder / FILES["float32"]).stat().st_size / 1e6
        latency = _median_latency(bundle.load(exported.folder, threads=1), challenge.test.images)
    parity = exported.card.parity["float32"]
    numbers = {"size": size, "latency": latency, "parity": float(parity["max_difference"])}
    over = [
        f"{name} is {value:.3g} {unit}, over the budget of {most:g}"
        for name, value, unit, most in (
            ("the exported network", size, "MB", limit.size),
            ("latency per face on one core", latency, "ms", limit.latency),
        )
        if value > most
    ]
    message = f"the exported network predicts the same: {size:.1f} MB, {latency:.1f} ms per face"
    return Check("deployable", not over, "; ".join(over) or message, numbers)


def _median_latency(loaded: Bundle, faces: NDArray[np.uint8]) -> float:
    """Return the median CPU time per face in milliseconds, on one core."""
    seconds = []
    for place in range(WARMUP + TIMED):
        face = faces[place % len(faces)][np.newaxis]
        began = time.thread_time()
        loaded.probabilities(face)
        seconds.append(time.thread_time() - began)
    return float(1000 * np.median(seconds[WARMUP:]))
