"""The text for people whose faces are looked at: Regulation (EU) 2024/1689, Art. 50(3)."""

import textwrap
from collections.abc import Sequence

from unveil.serving.purpose import Purpose
from unveil.serving.settings import Settings

_TEXT = """\
Emotion recognition is running here

A computer looks at faces in pictures and says what their expression looks like: {classes}, \
or that it is not sure. It says how a face looks, not what a person feels, and it is sometimes \
wrong. It does not say who a person is, and infers neither race, gender nor age.

Purpose: {purpose}
{exception}\
Run by: {contact}

{kept}

You may ask those who run it what is done with your picture, and object to it.
"""

_NOTHING = (
    "What is kept: no picture, no face, no answer about a person. A picture is in the computer's "
    "memory while it is looked at, then it is gone."
)
_LABELS = (
    f"{_NOTHING} Those who use this may say what an expression is; that is kept, without who said "
    "it, and used to teach the computer."
)
_FACES = (
    "What is kept: where who is pictured agreed, the face, gray and small, with what its "
    "expression is said to be, until they want it gone; it is used to teach the computer. Any "
    "other picture is in the computer's memory while it is looked at, then it is gone. No answer "
    "about a person is kept."
)
_COUNTS = (
    "Counts of requests and answers, without a trace of a person, are kept to watch the system."
)


def text(purpose: Purpose, settings: Settings, classes: Sequence[str]) -> str:
    """Write the notice, in plain words; without a contact it says that none was stated."""
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
