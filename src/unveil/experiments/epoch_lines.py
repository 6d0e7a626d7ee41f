"""One line for each epoch on stderr, if the program that runs a training asks for it.

train-all sets ``UNVEIL_EPOCHS`` and reads the lines to show the progress.
"""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tqdm import tqdm

from unveil.config.schedule import Schedule

Row = dict[str, float]
Record = Callable[[Row], None]
"""As in `unveil.training.callbacks`, which imports Keras; a flow imports this module."""

EPOCHS = "UNVEIL_EPOCHS"
"""The environment variable that asks for the lines; any value but an empty one."""

_LINE = re.compile(
    r"(?P<architecture>[\w-]+): epoch (?P<number>\d+) of (?P<planned>\d+), "
    r"stage (?P<stage>\d+) of (?P<stages>\d+), "
    r"validation macro-F1 (?P<score>\d\.\d+), (?P<seconds>\d+\.\d+) s"
)


@dataclass(frozen=True)
class Epoch:
    """A completed epoch: ``number`` (from 1, over all stages) of the ``planned`` ones.

    ``score`` is the validation macro-F1, 0 to 1. Early stopping may end a training before.
    """

    architecture: str
    number: int
    planned: int
    stage: int
    stages: int
    score: float
    seconds: float

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """Return the epoch that a line reports; None for any other line."""
        if (found := _LINE.fullmatch(line.strip())) is None:
            return None
        whole = {name: int(found[name]) for name in ("number", "planned", "stage", "stages")}
        seconds, score = float(found["seconds"]), float(found["score"])
        return cls(found["architecture"], **whole, score=score, seconds=seconds)

    def __str__(self) -> str:
        return (
            f"{self.architecture}: epoch {self.number} of {self.planned}, "
            f"stage {self.stage} of {self.stages}, "
            f"validation macro-F1 {self.score:.4f}, {self.seconds:.1f} s"
        )


def with_lines(record: Record, key: str, schedule: Schedule) -> Record:
    """Return ``record``, which then also writes the line of each epoch if that is asked for."""
    if not os.environ.get(EPOCHS):
        return record
    planned, stages = sum(stage.epochs for stage in schedule.stages), len(schedule.stages)

    def recording(row: Row) -> None:
        number, stage = int(row["epoch"]) + 1, int(row["stage"])
        score, seconds = row["val_macro_f1"], row["seconds"]
        # Not `print`, which would continue the line of a progress bar.
        tqdm.write(str(Epoch(key, number, planned, stage, stages, score, seconds)), file=sys.stderr)
        record(row)

    return recording
