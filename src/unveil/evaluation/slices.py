"""Rows of a split -> slices, and the macro-F1 of each.

Takes the packed rows of a split and of train. A slice is a group of an attribute of the data set, a
third by brightness, contrast or sharpness (tertiles of train), or the faces with a near twin in
train. `evaluate` writes the scores into the report, `promote` compares the worst slice of two
networks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.config.params import Params
from unveil.config.schema import TWIN, Slicing
from unveil.dataset.attribute_columns import count_groups
from unveil.evaluation.metrics import (
    Estimate,
    Labels,
    confidence_interval,
    confusion_matrix,
    macro_f1,
)
from unveil.evaluation.significance import holm, permutation_test

LOOKS = ("brightness", "contrast", "sharpness")
THIRDS = ("low", "middle", "high")


@dataclass(frozen=True)
class Slice:
    """A part of a split: ``mask (n,)`` selects its images, ``rest (n,)`` those it is compared to.

    Images of unknown group are in neither.
    """

    dimension: str
    name: str
    mask: NDArray[np.bool_]
    rest: NDArray[np.bool_]

    def __str__(self) -> str:
        return f"{self.dimension}={self.name}"


@dataclass(frozen=True)
class Score:
    """The score of a slice; ``macro_f1`` is None: *insufficient data*.

    ``difference`` is its macro-F1 minus that of the rest of its dimension, ``p`` the p-value of a
    permutation test with Holm's correction over all slices; both are ``None`` if the rest has too
    few images.
    """

    dimension: str
    name: str
    images: int
    macro_f1: Estimate | None = None
    difference: float | None = None
    p: float | None = None


def make_slices(rows: pd.DataFrame, train: pd.DataFrame, params: Params) -> list[Slice]:
    """Split the rows into slices; the tertiles are those of ``train``.

    Dimensions with a single value make no slices.
    """
    named = {**_groups(rows, params), **_thirds(rows, train)}
    if TWIN in rows:
        named[TWIN] = rows[TWIN].map(lambda twin: "no twin" if twin == "none" else "twin")
    cutting = {dimension: names for dimension, names in named.items() if names.nunique() > 1}
    return [one for dimension, names in cutting.items() for one in _slices(dimension, names)]


def score_slices(
    slices: Sequence[Slice],
    truth: Labels,
    predicted: Labels,
    *,
    classes: int,
    setting: Slicing,
) -> list[Score]:
    """Score each slice, except those with too few images or too few images of a class."""
    scores = [_score(one, truth, predicted, classes, setting) for one in slices]
    corrected = holm([score.p for score in scores])
    return [replace(score, p=p) for score, p in zip(scores, corrected, strict=True)]


def worst(scores: Sequence[Score]) -> Score | None:
    """Return the slice with the lowest macro-F1; ``None`` if no slice has enough images."""
    values = [(score.macro_f1.value, place) for place, score in enumerate(scores) if score.macro_f1]
    return scores[min(values)[1]] if values else None


def _score(part: Slice, truth: Labels, predicted: Labels, classes: int, setting: Slicing) -> Score:
    itself, rest = (
        confusion_matrix(truth[mask], predicted[mask], classes) for mask in (part.mask, part.rest)
    )
    score = Score(part.dimension, part.name, int(part.mask.sum()))
    if not _enough(itself, setting):
        return score
    score = replace(score, macro_f1=confidence_interval(macro_f1, itself))
    if not _enough(rest, setting):
        return score
    found = permutation_test(macro_f1, itself, rest)
    return replace(score, difference=found.difference, p=found.p)


def _enough(matrix: NDArray[np.int64], setting: Slicing) -> bool:
    counts = matrix.sum(1)
    return bool(counts.sum() >= setting.min_images and counts.min() >= setting.min_class_images)


def _groups(rows: pd.DataFrame, params: Params) -> dict[str, pd.Series]:
    setting = params.rules["attributes_are_groups"]
    counts = count_groups(rows, leave_out=[*setting["leave_out"], TWIN])
    return {name: rows[name] for name, groups in counts.items() if groups <= setting["max_groups"]}


def _thirds(rows: pd.DataFrame, train: pd.DataFrame) -> dict[str, pd.Series]:
    bounds = {name: train[name].quantile([1 / 3, 2 / 3]).to_numpy() for name in LOOKS}
    return {
        name: pd.Series(np.array(THIRDS)[np.searchsorted(edges, rows[name], side="right")])
        for name, edges in bounds.items()
    }


def _slices(dimension: str, names: pd.Series) -> Iterator[Slice]:
    known = names.notna().to_numpy()
    for name in sorted(names.dropna().unique(), key=_place):
        mask = (names == name).to_numpy(bool)
        yield Slice(dimension, str(name), mask, known & ~mask)


def _place(name: str) -> tuple[int, str]:
    return (THIRDS.index(name) if name in THIRDS else 0, str(name))
