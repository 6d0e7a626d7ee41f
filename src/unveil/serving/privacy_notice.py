"""The notice for people whose faces are analysed: Regulation (EU) 2024/1689, Art. 50(3)."""

import textwrap
from collections.abc import Sequence

from unveil.serving.declared_purpose import Purpose
from unveil.serving.settings import Settings

_TEXT = """\
Emotion recognition is running here

A computer program analyses faces in pictures and estimates what their expression looks like: \
{classes}, or that it is not sure. It describes how a face looks, not what a person feels, and it \
is sometimes wrong. It does not identify people, and infers neither race, gender nor age.

Purpose: {purpose}
{exception}\
Run by: {contact}

{kept}

You may ask the operator what is done with your picture, and object to it.
"""

_NOTHING = (
    "What is kept: no picture, no face, no answer about a person. A picture is in the computer's "
    "memory while it is processed, and is then deleted."
)
_LABELS = (
    f"{_NOTHING} Users may submit the correct expression of a face; this label is kept without "
    "the user's name, and is used to train the model."
)
_FACES = (
    "What is kept: if the person in the picture agreed, the face as a small gray image with the "
    "label that was submitted for it, until that person withdraws it; it is used to train the "
    "model. Any other picture is in the computer's memory while it is processed, and is then "
    "deleted. No answer about a person is kept."
)
_COUNTS = "Counts of requests and answers, without personal data, are kept to monitor the system."


def text(purpose: Purpose, settings: Settings, classes: Sequence[str]) -> str:
    """Return the notice in plain words; without a contact it says that none was stated."""
    exception = f"Why it may run here: {purpose.exception} reasons, {purpose.reason}\n"
    written = _TEXT.format(
        classes=", ".join(classes),
        purpose=purpose.text,
        exception=exception if purpose.exception else "",
        contact=settings.contact or "not stated; ask where this is shown",
        kept=f"{_kept(settings)} {_COUNTS}",
    )
    return "\n".join(map(textwrap.fill, written.splitlines())) + "\n"


def _kept(settings: Settings) -> str:
    if settings.feedback is None:
        return _NOTHING
    return _FACES if settings.feedback_pictures else _LABELS
