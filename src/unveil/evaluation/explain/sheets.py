"""Predictions -> contact sheets: the most confident errors and the least confident hits.

One self-contained page. It shows pictures of faces if all are drawn by `unveil sample`, or if
``report.thumbnails`` in params.yaml allows it; otherwise their names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.rendering import html

TEMPLATE = Path(__file__).parent / "sheets.html"

Pictures = dict[int, list[NDArray[np.uint8]]]
"""For rows of the test split: the face, and the face overlaid with its saliency map."""


@dataclass(frozen=True)
class Sheet:
    """A heading, and the rows of the test split shown below it."""

    title: str
    rows: list[int]


def sheets(answers: pd.DataFrame, *, shown: int) -> list[Sheet]:
    """Select at most ``shown`` errors, hits, and faces of each confused pair of classes."""
    sure = _sure(answers)
    wrong = answers["actual"] != answers["predicted"]
    first = sure[wrong].sort_values(ascending=False, kind="stable")
    hits = sure[~wrong].sort_values(kind="stable")
    return [
        Sheet(
            f"Most confident errors, {min(shown, len(first))} of {len(first)}",
            list(first.index[:shown]),
        ),
        Sheet(
            f"Least confident hits, {min(shown, len(hits))} of {len(hits)}",
            list(hits.index[:shown]),
        ),
        *_pairs(answers[wrong], first, answers["actual"].value_counts(), shown=shown),
    ]


def _pairs(
    wrong: pd.DataFrame, first: pd.Series, counts: pd.Series, *, shown: int
) -> Iterator[Sheet]:
    pairs = wrong.groupby(["actual", "predicted"]).size().sort_values(ascending=False)
    for (actual, predicted), count in pairs.items():
        own = wrong[(wrong["actual"] == actual) & (wrong["predicted"] == predicted)].index
        title = f"Labelled {actual}, predicted {predicted}: {count} of {counts[actual]}"
        yield Sheet(title, [place for place in first.index if place in own][:shown])


def _sure(answers: pd.DataFrame) -> pd.Series:
    shares = answers.filter(regex="^p_").to_numpy(float)
    return pd.Series(shares.max(1), index=answers.index)


def write(
    path: Path, found: Sequence[Sheet], answers: pd.DataFrame, pictures: Pictures, **context: object
) -> None:
    """Write the page; ``answers`` has ``member``, ``context`` fills the template's variables."""
    faces = {
        place: _face(answers.loc[place], pictures.get(place, []))
        for sheet in found
        for place in sheet.rows
    }
    html.write(path, TEMPLATE, {"sheets": found, "faces": faces, **context})


def _face(row: pd.Series, pictures: list[NDArray[np.uint8]]) -> dict[str, Any]:
    shares = {name.removeprefix("p_"): row[name] for name in row.index if name.startswith("p_")}
    fields = {name: row[name] for name in ("actual", "predicted", "member")}
    return {**fields, "shares": shares, "pictures": [html.png_base64(one) for one in pictures]}
