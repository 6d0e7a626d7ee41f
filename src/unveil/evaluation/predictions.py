"""Predictions for the images of a split, and ``predictions.csv`` of a report.

The file has one row for each test image, in packed order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common import csv_writer
from unveil.common.errors import UserError
from unveil.common.files import reading_artifact
from unveil.evaluation import metrics
from unveil.evaluation.metrics import Counts, Labels

Probabilities = NDArray[np.float32]

FILE = "predictions.csv"


@dataclass(frozen=True)
class Predictions:
    """True labels ``(n,)`` of the images of a split and probabilities ``(n, classes)``."""

    truth: Labels
    probabilities: Probabilities

    @property
    def predicted(self) -> Labels:
        """The class with the highest probability, ``(n,)``."""
        labels: Labels = self.probabilities.argmax(1)
        return labels

    @property
    def confusion(self) -> Counts:
        """The confusion matrix ``(classes, classes)``: rows are true, columns predicted classes."""
        return metrics.confusion_matrix(self.truth, self.predicted, self.probabilities.shape[1])

    def subset(self, chosen: NDArray[Any]) -> "Predictions":
        """Select images by a mask or by indices."""
        return Predictions(self.truth[chosen], self.probabilities[chosen])


def average(networks: Sequence[Predictions]) -> Predictions:
    """Average the probabilities of several networks for the same images.

    Lakshminarayanan et al. (2017, arXiv:1612.01474, section 2.4).
    """
    mean: Probabilities = np.stack([one.probabilities for one in networks]).mean(0)
    return Predictions(networks[0].truth, mean)


def table(answers: Predictions, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row per image: actual, predicted, and uncalibrated probabilities."""
    names = np.array(classes)
    return pd.DataFrame(
        {
            "actual": names[answers.truth],
            "predicted": names[answers.predicted],
            **{f"p_{name}": answers.probabilities[:, i] for i, name in enumerate(classes)},
        }
    )


def rows(report: Path, *, made_by: str) -> pd.DataFrame:
    """Read the predictions from a report's folder."""
    path = report / FILE
    with reading_artifact(path, made_by=made_by):
        frame = pd.read_csv(path, dtype={"actual": str, "predicted": str}, na_filter=False)
    return csv_writer.unescape_table(frame)


def read(report: Path, classes: tuple[str, ...], *, made_by: str) -> Predictions:
    """Read a network's predictions for the test split; ``UserError`` if the classes differ."""
    found = rows(report, made_by=made_by)
    columns = [f"p_{name}" for name in classes]
    if columns != [name for name in found if name.startswith("p_")]:
        known = ", ".join(name.removeprefix("p_") for name in found if name.startswith("p_"))
        raise UserError(f"{report / FILE} has the classes {known}; run `{made_by}` again")
    places = {name: place for place, name in enumerate(classes)}
    probabilities = found[columns].to_numpy(np.float32)
    return Predictions(found["actual"].map(places).to_numpy(), probabilities)
