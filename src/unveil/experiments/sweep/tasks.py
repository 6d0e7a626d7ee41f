"""What goes to a training of a search and what comes back: plain values, for any machine."""

from dataclasses import dataclass, field

from unveil.experiments.sweep.recipe_values import Value

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
DIGITS = 6
"""Decimals of the scores in ``Task.earlier``; many trials must fit into one request."""


@dataclass(frozen=True)
class Task:
    """One trial: an architecture with other values of the recipe.

    ``sweep`` is the name of the search, ``parent`` the id of its MLflow run or ``""``. ``earlier``
    has the validation macro-F1 of each epoch of the complete trials, for pruning; a trial is never
    pruned in its first ``warmup`` epochs.
    """

    architecture: str
    sweep: str
    number: int
    values: dict[str, Value]
    warmup: int
    parent: str = ""
    earlier: list[list[float]] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The name of its folder of checkpoints."""
        return f"{self.architecture}@sweep-{self.sweep}-{self.number}"


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its state, the validation macro-F1 and seconds of its epochs."""

    state: str
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""
    """Why it failed."""

    @property
    def score(self) -> float | None:
        """The best validation macro-F1, or ``None`` without an epoch."""
        return max(self.scores, default=None)
