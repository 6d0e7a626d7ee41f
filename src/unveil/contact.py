"""suspects -> a contact sheet: one page with the faces in it, which opens from disk, offline."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from unveil.files import replacing
from unveil.images import Pixels


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
    # Names of members come from a stranger's archive: everything is escaped.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    shown = [
        _shown(row, face, classes)
        for (_, row), face in zip(suspects.iterrows(), faces, strict=True)
    ]
    page = environment.get_template("contact.html").render(faces=shown, classes=classes, **said)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _shown(row: pd.Series, face: Pixels, classes: Sequence[str]) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    probabilities = {name: row[f"p_{name}"] for name in classes}
    return {**row, "picture": picture, "probabilities": probabilities}
