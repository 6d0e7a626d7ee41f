"""Creates the components of a server from its settings: model, decoders, queues, metrics, drift."""

import sys
from dataclasses import asdict
from pathlib import Path

from unveil.common.paths import BUNDLE
from unveil.data.decoding import Limits
from unveil.data.feedback_store import FeedbackFolder
from unveil.inference import face_network, model_choice
from unveil.inference.cores import available_cores
from unveil.serving import request_audit
from unveil.serving.admission_queue import AdmissionQueue
from unveil.serving.batching import Batcher
from unveil.serving.declared_purpose import Purpose
from unveil.serving.decoder_pool import DecoderPool
from unveil.serving.decoder_worker import WorkerConfig
from unveil.serving.drift import DriftMonitor
from unveil.serving.model_slot import ModelSlot
from unveil.serving.prediction_pipeline import AdmissionQueues, Pipeline, RequestLimits
from unveil.serving.prometheus_metrics import Metrics, ModelInfo
from unveil.serving.settings import Settings
from unveil.serving.state import State


def assemble(settings: Settings, purpose: Purpose) -> State:
    """Load the bundle, start the decoders and the batcher, and write the purpose to the audit log.

    Raises:
        UserError: if neither the bundle nor its last good copy works, or a setting's file is bad.
    """
    metrics = Metrics()

    def report(outcome: str, message: str) -> None:
        metrics.bundle(outcome)
        request_audit.try_record(settings.audit, f"bundle_{outcome}", said=message)
        if outcome != "taken":
            print(f"unveil: bundle {outcome}: {message}", file=sys.stderr, flush=True)

    request_audit.record(settings.audit, "start", **asdict(purpose))
    slot = ModelSlot(_folder(settings), settings.keep, report, settings.precision)
    print(f"unveil: {model_choice.summary(slot.bundle)}", file=sys.stderr, flush=True)
    monitor = DriftMonitor(slot, settings.watched)
    queues = AdmissionQueues(
        *(AdmissionQueue(settings.waiting, settings.patience) for _ in range(2))
    )
    pipeline = Pipeline(
        pool=_pool(settings),
        batcher=Batcher(slot, metrics.batch, monitor.observe_answers),
        queues=queues,
        limits=RequestLimits(_limits(settings), settings.max_batch_pixels, settings.batch_seconds),
        observe_sizes=monitor.observe_sizes,
    )
    state = State(settings, purpose, metrics, slot, pipeline, feedback=_feedback(settings))
    metrics.register(monitor)
    metrics.register(ModelInfo(lambda: slot.bundle))
    inside, allowed = "Pictures in progress.", "Limit of pictures in progress."
    metrics.add_gauge("unveil_inside", inside, lambda: queues.light.inside + queues.heavy.inside)
    metrics.add_gauge("unveil_allowed", allowed, lambda: queues.light.allowed)
    metrics.add_gauge("unveil_streams", "Open video streams.", lambda: state.streams)
    metrics.add_gauge("unveil_ready", "1 if requests are answered.", lambda: state.is_ready)
    return state


def _pool(settings: Settings) -> DecoderPool:
    # Fails here, with one line, if the network's file was altered; not in every worker process.
    face_network.network()
    return DecoderPool(
        WorkerConfig(_limits(settings)), cores=available_cores(), seconds=settings.picture_seconds
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_bytes=settings.max_bytes,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
        max_scans=settings.max_scans,
    )


def _feedback(settings: Settings) -> FeedbackFolder | None:
    if settings.feedback is None:
        return None
    content = "labels, and faces with consent" if settings.feedback_pictures else "labels"
    folder = FeedbackFolder(settings.feedback, settings.feedback_most)
    request_audit.record(settings.audit, "feedback", said=content)
    return folder


def _folder(settings: Settings) -> Path:
    named = str(settings.bundle or "champion")
    folder = BUNDLE if named == "champion" else Path(named)
    # `ModelSlot` then starts with the last good copy.
    if named != "starter" and not folder.exists() and model_choice.can_fall_back_to(settings.keep):
        return folder
    return model_choice.find_bundle(settings.bundle)
