"""suspects -> a contact sheet: one page with the faces in it, which opens from disk, offline."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unveil.data.decoding import Pixels
from unveil.rendering import html

TEMPLATE = Path(__file__).parent / "contact_sheet.html"


def write(
    path: Path,
    suspects: pd.DataFrame,
    faces: Iterable[Pixels],
    classes: Sequence[str],
    **said: object,
) -> None:
    """Write the page that shows ``faces``, one for each row of ``suspects``, in its order.

    ``said`` are ``audited`` and ``doubted``, how many faces were judged and suspected, and
    ``identity``, under which the browser keeps decisions that are not saved yet.
    """
    shown = [
        _shown(row, face, classes)
        for (_, row), face in zip(suspects.iterrows(), faces, strict=True)
    ]
    html.write(path, TEMPLATE, {"faces": shown, "classes": classes, **said})


def _shown(row: pd.Series, face: Pixels, classes: Sequence[str]) -> dict[str, Any]:
    probabilities = {name: row[f"p_{name}"] for name in classes}
    return {**row, "picture": html.png(face), "probabilities": probabilities}
