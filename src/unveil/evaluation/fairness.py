"""Slices + predictions -> fairness metrics: disparities between groups, class by class.

*Equal opportunity* (Hardt et al., 2016) compares the recall of a class between groups, *demographic
parity* how often the class is predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unveil.config.schema import Slicing
from unveil.evaluation.metrics import Labels
from unveil.evaluation.significance import holm, range_permutation_test
from unveil.evaluation.slices import Slice


@dataclass(frozen=True)
class Disparity:
    """The largest difference between two groups' rates; ``value`` is None: *insufficient data*.

    ``p`` is the p-value of a permutation test with Holm's correction over all disparities. ``kind``
    is ``equal_opportunity`` or ``demographic_parity``.
    """

    kind: str
    dimension: str
    label: str
    value: float | None = None
    highest: str | None = None
    lowest: str | None = None
    p: float | None = None


def disparities(
    slices: Sequence[Slice],
    truth: Labels,
    predicted: Labels,
    *,
    names: Sequence[str],
    setting: Slicing,
) -> list[Disparity]:
    """Compare the groups of each dimension in each class, without groups of too few images."""
    found = []
    for dimension, groups in _dimensions(slices).items():
        for place, label in enumerate(names):
            named, own = predicted == place, truth == place
            for kind, part, least in (
                ("equal_opportunity", own & (groups != ""), setting.min_class_images),
                ("demographic_parity", groups != "", setting.min_images),
            ):
                disparity = Disparity(kind, dimension, label)
                found.append(_measure(disparity, named[part], groups[part], least))
    corrected = holm([one.p for one in found])
    return [replace(one, p=p) for one, p in zip(found, corrected, strict=True)]


def _measure(
    disparity: Disparity, named: NDArray[np.bool_], groups: NDArray[np.str_], least: int
) -> Disparity:
    """Compare the rates of ``named`` images between groups with at least ``least`` images."""
    from fairlearn.metrics import MetricFrame, count, selection_rate

    known, sizes = np.unique(groups, return_counts=True)
    among = np.isin(groups, known[sizes >= least])
    if len(np.unique(groups[among])) < 2:
        return disparity
    frame = MetricFrame(
        metrics={"share": selection_rate, "images": count},
        y_true=named[among],
        y_pred=named[among],
        sensitive_features=groups[among],
    )
    shares, images = frame.by_group["share"], frame.by_group["images"].to_numpy(np.int64)
    hits = np.rint(shares.to_numpy(float) * images).astype(np.int64)
    return replace(
        disparity,
        value=float(frame.difference()["share"]),
        highest=str(shares.idxmax()),
        lowest=str(shares.idxmin()),
        p=range_permutation_test(hits, images).p,
    )


def _dimensions(slices: Sequence[Slice]) -> dict[str, NDArray[np.str_]]:
    """Return each image's group in each dimension; empty if unknown."""
    groups: dict[str, NDArray[np.str_]] = {}
    for one in slices:
        before = groups.get(one.dimension, np.full(len(one.mask), "", dtype=object))
        groups[one.dimension] = np.where(one.mask, one.name, before)
    return groups
