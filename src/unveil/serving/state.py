"""What the routes share: made once when the server starts."""

from dataclasses import dataclass

from fastapi import Request, WebSocket

from unveil.data.feedback import Folder
from unveil.serving.metrics import Metrics
from unveil.serving.model_slot import Live
from unveil.serving.pipeline import Pipeline
from unveil.serving.purpose import Purpose
from unveil.serving.settings import Settings


@dataclass
class State:
    """The parts of one server, and whether it is about to stop."""

    settings: Settings
    purpose: Purpose
    metrics: Metrics
    live: Live
    pipeline: Pipeline
    draining: bool = False
    streams: int = 0
    feedback: Folder | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered."""
        return self.pipeline.batcher.is_alive and not self.draining


def state_of(request: Request | WebSocket) -> State:
    """Give the state of the server that was asked."""
    state: State = request.app.state.unveil
    return state
