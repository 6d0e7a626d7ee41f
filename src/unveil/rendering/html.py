"""A template and what it says -> a page of HTML that opens from disk, offline.

A template extends ``page.html``, which lets it load nothing from anywhere. Names of members,
classes and groups may be anybody's text: everything is escaped.
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unveil.common.files import replacing


def write(
    path: Path,
    template: Path,
    said: Mapping[str, Any],
    filters: Mapping[str, Any] | None = None,
) -> None:
    """Write the page whole or not at all; what a template asks for and is not said is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters or {})
    with replacing(path) as temporary:
        page = environment.get_template(template.name).render(said)
        temporary.write_text(page, encoding="utf-8")


def png(pixels: NDArray[np.uint8]) -> str:
    """Encode a picture, ``(h, w)`` or ``(h, w, 3)``, for a page to hold: PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
