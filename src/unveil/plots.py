"""Pictures for people: confusion matrix and learning curves, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure


def confusion(path: Path, matrix: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Draw counts and, as colour, the share of each true class that was predicted as what."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set(xlabel="predicted", ylabel="labelled", title=f"test, n = {counts.sum()}")
    axes.set_xticks(range(len(names)), names, rotation=30)
    axes.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(counts):
        tone = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", color=tone)
    figure.colorbar(picture, label="share of the labelled class")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def curves(path: Path, history: pd.DataFrame, *, title: str) -> None:
    """Draw loss and macro-F1 of both stages over one axis of epochs, and where stage 2 begins."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("loss", "macro_f1"), strict=True):
        axes.plot(history["epoch"], history[measure], marker=".", label="train")
        axes.plot(history["epoch"], history[f"val_{measure}"], marker=".", label="validation")
        begin = history.loc[history["stage"] == 2, "epoch"].min()
        axes.axvline(begin - 0.5, color="gray", linestyle="--", label="stage 2 begins")
        axes.set(xlabel="epoch", ylabel=measure, title=title)
        axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
