"""Matplotlib plots in a common style, drawn without a display."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib import rc_context
from matplotlib.figure import Figure

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "savefig.dpi": 110,
}
"""Style of all plots; the palette is the colour-blind safe one of Okabe and Ito 2008."""
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")


@contextmanager
def saved_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of the given size in inches, in the common style, and save it to ``path``."""
    with rc_context({**STYLE, "axes.prop_cycle": cycler(color=PALETTE)}):
        figure = Figure(figsize=(width, height))
        yield figure
        figure.savefig(path, metadata={"Software": None})


def confusion_matrix(path: Path, matrix: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Draw a confusion matrix: counts, and as colour the fraction of each labelled class."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with saved_figure(path, 5, 4.4) as figure:
        axes = figure.subplots()
        axes.grid(visible=False)
        colours = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        axes.set(xlabel="predicted", ylabel="labelled", title=f"test, n = {counts.sum()}")
        axes.set_xticks(range(len(names)), names, rotation=30)
        axes.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(counts):
            tone = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", color=tone)
        figure.colorbar(colours, label="share of the labelled class")


def learning_curves(path: Path, history: pd.DataFrame, *, title: str) -> None:
    """Draw loss and macro-F1 of both stages against the epoch, and the start of stage 2."""
    with saved_figure(path, 9, 3.6) as figure:
        for axes, measure in zip(figure.subplots(1, 2), ("loss", "macro_f1"), strict=True):
            axes.plot(history["epoch"], history[measure], marker=".", label="train")
            axes.plot(history["epoch"], history[f"val_{measure}"], marker=".", label="validation")
            begin = history.loc[history["stage"] == 2, "epoch"].min()
            axes.axvline(begin - 0.5, color="gray", linestyle="--", label="stage 2 begins")
            axes.set(xlabel="epoch", ylabel=measure, title=title)
            axes.legend()


def class_balance(path: Path, counts: pd.DataFrame) -> None:
    """Draw the fraction and the count of each class (columns) in each split (rows)."""
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    places, width = np.arange(len(counts.columns)), 0.8 / len(counts)
    with saved_figure(path, 7, 3.2) as figure:
        axes = figure.subplots()
        for number, split in enumerate(counts.index):
            label = f"{split}, n = {counts.loc[split].sum()}"
            bars = axes.bar(places + number * width, shares.loc[split], width, label=label)
            axes.bar_label(bars, [f"{count}" for count in counts.loc[split]], fontsize=7)
        axes.set_xticks(places + width * (len(counts) - 1) / 2, counts.columns)
        axes.set(ylabel="share of the split", title="classes in each split, with their counts")
        axes.margins(y=0.25)
        axes.legend(ncols=len(counts), loc="upper center")


def image_quality(path: Path, faces: pd.DataFrame, classes: Sequence[str]) -> None:
    """Draw box plots of brightness, contrast and sharpness by class; whiskers at 5 and 95 %."""
    measures = ("brightness", "contrast", "sharpness")
    with saved_figure(path, 9, 3.2) as figure:
        for axes, measure in zip(figure.subplots(1, 3), measures, strict=True):
            values = [faces.loc[faces["label"] == name, measure].dropna() for name in classes]
            axes.boxplot(values, tick_labels=list(classes), whis=(5, 95), showfliers=False)
            axes.tick_params(axis="x", rotation=30)
            axes.set(title=measure)
        figure.suptitle(f"faces in use, n = {len(faces)}", fontsize="medium")
