"""Charts of an explanation: averaged saliency maps, deletion and insertion curves, overlays."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from unveil.evaluation.explain.faithfulness import STEPS
from unveil.evaluation.explain.saliency import Indices, Maps
from unveil.rendering.plots import saved_figure

HEAT = "inferno"


def averages(
    path: Path, maps: Mapping[str, Maps], answers: Indices, classes: Sequence[str]
) -> None:
    """Draw the mean map of each predicted class (columns) for each method (rows).

    The chart contains no face. Each map is scaled to a maximum of 1 before averaging.
    """
    with saved_figure(path, 1.5 * len(classes) + 0.6, 1.7 * len(maps) + 0.5) as figure:
        grid = figure.subplots(len(maps), len(classes), squeeze=False)
        for row, (method, values) in zip(grid, maps.items(), strict=True):
            for place, (axes, name) in enumerate(zip(row, classes, strict=True)):
                own = rescale(values)[answers == place]
                axes.grid(visible=False)
                axes.set(xticks=[], yticks=[], title=f"{name}, n = {len(own)}")
                axes.spines[:].set_visible(False)
                if len(own):
                    axes.imshow(own.mean(0), cmap=HEAT, vmin=0)
            row[0].set_ylabel(method)


def rescale(maps: Maps) -> Maps:
    """Scale each map to 0..1; negative values (evidence against the class) become 0."""
    positive = np.maximum(maps, 0)
    highest = positive.max((1, 2), keepdims=True)
    shares: Maps = np.divide(positive, highest, out=np.zeros_like(positive), where=highest > 0)
    return shares


def perturbation_curves(path: Path, found: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> None:
    """Draw the mean probability during deletion (left) and insertion (right)."""
    share = np.linspace(0, 1, STEPS + 1)
    with saved_figure(path, 8, 3) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, name, word in ((left, "deletion", "deleted"), (right, "insertion", "inserted")):
            for method, both in found.items():
                axes.plot(share, both[name].mean(1), marker=".", label=method)
            axes.set(title=name, xlabel=f"share of the pixels {word}", ylim=(0, 1))
        left.set_ylabel("probability of the predicted class")
        right.legend()


def overlay(face: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Overlay a gray face ``(h, w)`` with its map in 0..1; returns ``(h, w, 3)``."""
    tone = np.asarray(colormaps[HEAT](heat))[..., :3]
    mixed = 0.55 * face[..., None] / 255 + 0.45 * tone
    return np.asarray(np.rint(255 * mixed), np.uint8)
