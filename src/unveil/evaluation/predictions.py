"""What networks say of the images of a split, and how that of the test split is kept.

Makes and reads ``predictions.csv`` of a report: one row for each test image, in packed order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common import csv_writer, metrics
from unveil.common.errors import UserError
from unveil.common.files import reading
from unveil.common.metrics import Counts, Labels

Probabilities = NDArray[np.float32]

FILE = "predictions.csv"


@dataclass(frozen=True)
class Predictions:
    """What is true of the images of a split, ``(n,)``, and a network's ``(n, classes)`` for it."""

    truth: Labels
    probabilities: Probabilities

    @property
    def predicted(self) -> Labels:
        """The class with the largest probability."""
        labels: Labels = self.probabilities.argmax(1)
        return labels

    @property
    def confusion(self) -> Counts:
        """How often each class was called which."""
        return metrics.confusion(self.truth, self.predicted, self.probabilities.shape[1])

    def part(self, chosen: NDArray[Any]) -> "Predictions":
        """Take some images, by a mask or by their places."""
        return Predictions(self.truth[chosen], self.probabilities[chosen])


def together(networks: Sequence[Predictions]) -> Predictions:
    """Give the mean of what several networks say of the same images.

    Lakshminarayanan et al. (2017, arXiv:1612.01474, section 2.4).
    """
    said: Probabilities = np.stack([one.probabilities for one in networks]).mean(0)
    return Predictions(networks[0].truth, said)


def table(answers: Predictions, classes: tuple[str, ...]) -> pd.DataFrame:
    """Give one row for each image: actual, predicted, probabilities, which are not calibrated."""
    names = np.array(classes)
    return pd.DataFrame(
        {
            "actual": names[answers.truth],
            "predicted": names[answers.predicted],
            **{f"p_{name}": answers.probabilities[:, i] for i, name in enumerate(classes)},
        }
    )


def rows(report: Path, *, made_by: str) -> pd.DataFrame:
    """Read the table of a report's folder back."""
    path = report / FILE
    with reading(path, made_by=made_by):
        told = pd.read_csv(path, dtype={"actual": str, "predicted": str}, na_filter=False)
    return csv_writer.read_back(told)


def read(report: Path, classes: tuple[str, ...], *, made_by: str) -> Predictions:
    """Read back what a network said of the test split; ``UserError`` where of other classes."""
    found = rows(report, made_by=made_by)
    columns = [f"p_{name}" for name in classes]
    if columns != [name for name in found if name.startswith("p_")]:
        known = ", ".join(name.removeprefix("p_") for name in found if name.startswith("p_"))
        raise UserError(f"{report / FILE} is of the classes {known}; `{made_by}` makes it anew")
    places = {name: place for place, name in enumerate(classes)}
    said = found[columns].to_numpy(np.float32)
    return Predictions(found["actual"].map(places).to_numpy(), said)
