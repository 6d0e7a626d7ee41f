"""Write the contact sheet of suspects: one self-contained HTML page with their pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unveil.data import synthetic
from unveil.data.decoding import Pixels
from unveil.rendering import html

TEMPLATE = Path(__file__).parent / "contact_sheet.html"


def write(
    path: Path,
    suspects: pd.DataFrame,
    faces: Iterable[Pixels],
    classes: Sequence[str],
    **context: object,
) -> None:
    """Write the page with ``faces``, one for each row of ``suspects``, in their order.

    ``context`` is ``audited`` and ``doubted``, the numbers of audited and suspected faces, and
    ``identity``, the key under which the browser stores decisions that are not saved yet.
    """
    shown = [
        _shown(row, face, classes)
        for (_, row), face in zip(suspects.iterrows(), faces, strict=True)
    ]
    drawn = synthetic.are_all_drawn(suspects["member"])
    html.write(path, TEMPLATE, {"faces": shown, "classes": classes, "drawn": drawn, **context})


def _shown(row: pd.Series, face: Pixels, classes: Sequence[str]) -> dict[str, Any]:
    probabilities = {name: row[f"p_{name}"] for name in classes}
    return {**row, "picture": html.png_base64(face), "probabilities": probabilities}
