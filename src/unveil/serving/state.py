"""The state shared by all routes, created once when the server starts."""

from dataclasses import dataclass

from fastapi import Request, WebSocket

from unveil.data.feedback_store import FeedbackFolder
from unveil.serving.declared_purpose import Purpose
from unveil.serving.model_slot import ModelSlot
from unveil.serving.prediction_pipeline import Pipeline
from unveil.serving.prometheus_metrics import Metrics
from unveil.serving.settings import Settings


@dataclass
class State:
    """The components of one server, and whether it is shutting down."""

    settings: Settings
    purpose: Purpose
    metrics: Metrics
    model_slot: ModelSlot
    pipeline: Pipeline
    draining: bool = False
    streams: int = 0
    feedback: FeedbackFolder | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the server accepts requests."""
        is_working = self.pipeline.batcher.is_alive and self.pipeline.pool.is_ready
        return is_working and not self.draining


def state_of(request: Request | WebSocket) -> State:
    """Return the state of the server that handles a request."""
    state: State = request.app.state.unveil
    return state
