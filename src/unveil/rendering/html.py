"""Render Jinja templates to self-contained HTML pages that open offline from disk.

Templates extend ``page.html``, whose content security policy forbids loading anything. Names of
members, classes and groups are untrusted: everything is escaped.
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

from unveil.common.files import atomic_write


def write(
    path: Path,
    template: Path,
    context: Mapping[str, Any],
    filters: Mapping[str, Any] | None = None,
) -> None:
    """Render a template to ``path`` atomically; a variable missing in ``context`` is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters or {})
    with atomic_write(path) as temporary:
        page = environment.get_template(template.name).render(context)
        temporary.write_text(page, encoding="utf-8")


def png_base64(pixels: NDArray[np.uint8]) -> str:
    """Encode an image ``(h, w)`` or ``(h, w, 3)`` as base64 PNG for a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
