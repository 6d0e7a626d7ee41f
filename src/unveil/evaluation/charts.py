"""Charts of calibration, slices and learning curves, drawn from the sections of a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from unveil.rendering.plots import PALETTE, saved_figure


def certainty(path: Path, section: dict[str, Any]) -> None:
    """Draw the reliability diagram and the risk-coverage curve."""
    with saved_figure(path, 9, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        _reliability(left, section)
        _risk_coverage(right, section)


def slices(path: Path, section: dict[str, Any], whole: dict[str, float]) -> None:
    """Draw macro-F1 of each slice with its interval, and that of all images."""
    known = [one for one in section["slices"] if one["macro_f1"]]
    few = len(section["slices"]) - len(known)
    with saved_figure(path, 7, 1.4 + 0.26 * len(known)) as figure:
        axes = figure.subplots()
        axes.axvspan(whole["low"], whole["high"], alpha=0.15, label="all images")
        for place, one in enumerate(known):
            significant = one["p"] is not None and one["p"] < 0.05
            values, lengths = _whiskers([one["macro_f1"]])
            colour = PALETTE[5] if significant else PALETTE[0]
            axes.errorbar(values, [place], xerr=lengths, fmt="o", color=colour)
        names = [f"{one['dimension']} = {one['name']}, n = {one['images']}" for one in known]
        axes.set_yticks(range(len(known)), names)
        axes.invert_yaxis()
        axes.set(xlabel="macro-F1 with 95 % interval", title="slices of the test images")
        note = f"orange: differs from the rest (Holm, 5 %); {few} more with insufficient data"
        figure.supxlabel(note, fontsize="small")
        axes.legend()


def learning_curve(path: Path, points: Sequence[dict[str, Any]], *, title: str) -> None:
    """Draw training and validation macro-F1 against the number of training images."""
    with saved_figure(path, 5, 3.6) as figure:
        axes = figure.subplots()
        for split in ("train", "validation"):
            values, lengths = _whiskers([point[split]["macro_f1"] for point in points])
            images = [point["images"] for point in points]
            axes.errorbar(images, values, yerr=lengths, marker="o", capsize=3, label=split)
        axes.set(xlabel="training images", ylabel="macro-F1, 95 % interval", title=title)
        axes.legend()


def _reliability(axes: Axes, section: dict[str, Any]) -> None:
    bins = section["reliability"]
    sizes = np.array([one["images"] for one in bins])
    places = [[one[name] for one in bins] for name in ("confidence", "accuracy")]
    axes.plot([0, 1], [0, 1], linestyle="--", color="gray", label="perfect calibration")
    axes.plot(*places, color=PALETTE[0])
    areas = 20 + 180 * sizes / sizes.max()
    axes.scatter(x=places[0], y=places[1], s=areas, color=PALETTE[0], alpha=0.6)
    before, after = (section[name]["ece"]["value"] for name in ("uncalibrated", "test"))
    title = f"{section['method']} scaling: ECE {before:.3f} -> {after:.3f}"
    axes.set(xlabel="confidence", ylabel="accuracy", title=title, xlim=(0, 1), ylim=(0, 1))
    axes.legend()


def _risk_coverage(axes: Axes, section: dict[str, Any]) -> None:
    points = section["risk_coverage"]
    shares, risks, low, high = (
        [one[name] for one in points] for name in ("coverage", "value", "low", "high")
    )
    axes.plot(shares, risks)
    axes.fill_between(shares, low, high, alpha=0.2)
    axes.axhline(section["target_risk"], linestyle="--", color="gray", label="target")
    if section["coverage"]:
        at = (section["coverage"], section["risk"])
        axes.scatter(*at, color=PALETTE[5], zorder=3, label="thresholds")
    axes.set(xlabel="coverage (share of images answered)", ylabel="risk (error rate)", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend()


def _whiskers(estimates: Sequence[dict[str, float]]) -> tuple[list[float], NDArray[np.float64]]:
    """Return values, and the lengths ``(2, n)`` of the error bars below and above them."""
    values, low, high = (
        np.array([one[name] for one in estimates]) for name in ("value", "low", "high")
    )
    return list(values), np.clip([values - low, high - values], 0, None)
