"""Output formats of predictions: text, JSON lines, CSV."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from unveil.common import csv_writer
from unveil.inference.predict import FacePrediction

Format = Literal["text", "jsonl", "csv"]

COLUMNS = ("source", "time", "face", "x", "y", "width", "height", "emotion", "reason")
"""Columns of the CSV; followed by the probabilities as ``p_CLASS``, ``MODEL`` and ``TOP``."""
TOP = ("top", "confidence")
"""Its last columns: the most probable class, also if unsure."""
DIGITS = 6
"""Digits of probabilities in CSV."""
MODEL = ("model_architecture", "model_version", "model_trained_on", "model_digest")


def header(kind: Format, classes: Sequence[str]) -> str | None:
    """Return the header line, or ``None`` if the format has none."""
    named = [f"p_{name}" for name in classes]
    return _row([*COLUMNS, *named, *MODEL, *TOP]) if kind == "csv" else None


def line(
    seen: FacePrediction,
    kind: Format,
    classes: Sequence[str],
    model: Mapping[str, str | None] | None = None,
) -> str:
    """Format the prediction for one face, with the ``model`` that made it, as one line."""
    model = model or {}
    if kind == "csv":
        box = seen.box or ("",) * 4
        known = seen.answer.probabilities
        shares = (round(known[name], DIGITS) if name in known else "" for name in classes)
        when = "" if seen.time is None else round(seen.time, 3)
        decided = (seen.answer.emotion or "", seen.answer.reason or "")
        face = "" if seen.face is None else seen.face
        named = [model.get(name.removeprefix("model_")) or "" for name in MODEL]
        certainty = seen.answer.confidence
        top = (seen.answer.top, None if certainty is None else round(certainty, DIGITS))
        return _row([seen.source, when, face, *box, *decided, *shares, *named, *top])
    if kind == "jsonl":
        return json.dumps(
            {
                "source": seen.source,
                "time": seen.time,
                "face": seen.face,
                "box": seen.box,
                "emotion": seen.answer.emotion,
                "reason": seen.answer.reason,
                "top": seen.answer.top,
                "confidence": seen.answer.confidence,
                "probabilities": seen.answer.probabilities,
                "smallest_face": seen.smallest,
                "model": model,
            }
        )
    size = "" if seen.smallest is None else f" of {seen.smallest} pixels or more"
    return f"{_place(seen)}: {seen.answer}{size}"


def _place(seen: FacePrediction) -> str:
    when = "" if seen.time is None else f" {seen.time:.2f} s"
    if seen.box is None:
        return f"{seen.source}{when}"
    x, y, width, height = seen.box
    return f"{seen.source}{when} face {seen.face} at {x},{y} {width}x{height}"


def _row(values: Sequence[object]) -> str:
    return csv_writer.to_lines([values]).removesuffix("\n")
