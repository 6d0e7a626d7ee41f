"""what was seen -> lines for a person or a program: text, JSON lines, CSV."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from unveil.common import csv_writer
from unveil.inference.predict import Seen

Format = Literal["text", "jsonl", "csv"]

COLUMNS = ("source", "time", "face", "x", "y", "width", "height", "emotion", "reason")
"""Of the CSV; the probabilities of the classes follow as ``p_CLASS``, then ``MODEL``."""
MODEL = ("model_architecture", "model_version", "model_trained_on", "model_digest")


def head(kind: Format, classes: Sequence[str]) -> str | None:
    """Give the line before all others, if there is one."""
    named = [f"p_{name}" for name in classes]
    return _row([*COLUMNS, *named, *MODEL]) if kind == "csv" else None


def line(
    seen: Seen,
    kind: Format,
    classes: Sequence[str],
    model: Mapping[str, str | None] | None = None,
) -> str:
    """Give the one line that tells of a face, and of the ``model`` that was asked."""
    model = model or {}
    if kind == "csv":
        box = seen.box or ("",) * 4
        shares = (seen.answer.probabilities.get(name, "") for name in classes)
        when = "" if seen.time is None else round(seen.time, 3)
        said = (seen.answer.emotion or "", seen.answer.reason or "")
        face = "" if seen.face is None else seen.face
        named = [model.get(name.removeprefix("model_")) or "" for name in MODEL]
        return _row([seen.source, when, face, *box, *said, *shares, *named])
    if kind == "jsonl":
        return json.dumps(
            {
                "source": seen.source,
                "time": seen.time,
                "face": seen.face,
                "box": seen.box,
                "emotion": seen.answer.emotion,
                "reason": seen.answer.reason,
                "probabilities": seen.answer.probabilities,
                "model": model,
            }
        )
    return f"{_place(seen)}: {seen.answer}"


def _place(seen: Seen) -> str:
    when = "" if seen.time is None else f" {seen.time:.2f} s"
    if seen.box is None:
        return f"{seen.source}{when}"
    x, y, width, height = seen.box
    return f"{seen.source}{when} face {seen.face} at {x},{y} {width}x{height}"


def _row(values: Sequence[object]) -> str:
    return csv_writer.lines([values]).removesuffix("\n")
