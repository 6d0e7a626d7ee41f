"""The settings of a server -> its parts: bundle, workers for pictures, gates, metrics, drift."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

from unveil.common.paths import BUNDLE
from unveil.data.decoding import Limits
from unveil.data.feedback import Folder
from unveil.inference import model_choice
from unveil.inference.face_detector import YUNET, detector
from unveil.serving import audit
from unveil.serving.admission import Turnstile
from unveil.serving.batching import Batcher
from unveil.serving.decoder_pool import Pool
from unveil.serving.decoder_worker import Task
from unveil.serving.drift import Watch
from unveil.serving.metrics import Metrics, Named
from unveil.serving.model_slot import Live
from unveil.serving.pipeline import Bounds, Gates, Pipeline
from unveil.serving.purpose import Purpose
from unveil.serving.settings import Settings
from unveil.serving.state import State


def assemble(settings: Settings, purpose: Purpose) -> State:
    """Load the bundle, start what answers, and write into the audit log what for."""
    metrics = Metrics()

    def told(outcome: str, what: str) -> None:
        metrics.found(outcome)
        audit.note(settings.audit, f"bundle_{outcome}", said=what)
        if outcome != "taken":
            print(f"unveil: bundle {outcome}: {what}", file=sys.stderr, flush=True)

    audit.record(settings.audit, "start", **asdict(purpose))
    live = Live(_folder(settings), settings.keep, told, settings.precision)
    print(f"unveil: {model_choice.sentence(live.bundle)}", file=sys.stderr, flush=True)
    watch = Watch(live, settings.watched)
    gates = Gates(*(Turnstile(settings.waiting, settings.patience) for _ in range(2)))
    pipeline = Pipeline(
        pool=_pool(settings),
        batcher=Batcher(live, metrics.batch, watch.looked),
        gates=gates,
        bounds=Bounds(_limits(settings), settings.max_batch_pixels, settings.batch_seconds),
        sized=watch.sized,
    )
    state = State(settings, purpose, metrics, live, pipeline, feedback=_feedback(settings))
    metrics.watch_all(watch)
    metrics.watch_all(Named(lambda: live.bundle))
    inside = "Pictures worked on."
    metrics.watch("unveil_inside", inside, lambda: gates.light.inside + gates.heavy.inside)
    metrics.watch("unveil_allowed", "How many may be.", lambda: gates.light.allowed)
    metrics.watch("unveil_streams", "Streams of video that are open.", lambda: state.streams)
    metrics.watch("unveil_ready", "1 when requests are answered.", lambda: state.is_ready)
    return state


def _pool(settings: Settings) -> Pool:
    file, digest = settings.detector, settings.detector_digest or YUNET
    # Said here, in one line, what is wrong with the file.
    detector(file, digest)
    task = Task(_limits(settings), str(file.absolute()) if file else None, digest)
    return Pool(task, cores=len(os.sched_getaffinity(0)), seconds=settings.picture_seconds)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_bytes=settings.max_bytes,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
        max_scans=settings.max_scans,
    )


def _feedback(settings: Settings) -> Folder | None:
    if settings.feedback is None:
        return None
    what = "labels, and faces of who consents" if settings.feedback_pictures else "labels"
    folder = Folder(settings.feedback, settings.feedback_most)
    audit.record(settings.audit, "feedback", said=what)
    return folder


def _folder(settings: Settings) -> Path:
    if settings.bundle is None and not BUNDLE.exists() and model_choice.is_kept(settings.keep):
        return BUNDLE
    return model_choice.chosen(settings.bundle)
