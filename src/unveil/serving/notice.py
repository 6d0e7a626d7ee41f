"""The text for people whose faces are looked at: Regulation (EU) 2024/1689, Art. 50(3)."""

import textwrap
from collections.abc import Sequence

from unveil.serving.purpose import Purpose

_TEXT = """\
Emotion recognition is running here

A computer looks at faces in pictures and says what their expression looks like: {classes}, \
or that it is not sure. It says how a face looks, not what a person feels, and it is sometimes \
wrong. It does not say who a person is, and infers neither race, gender nor age.

Purpose: {purpose}
{exception}\
Run by: {contact}

What is kept: no picture, no face, no answer about a person. A picture is in the computer's \
memory while it is looked at, then it is gone. Counts of requests and answers, without a trace of \
a person, are kept to watch the system.

You may ask those who run it what is done with your picture, and object to it.
"""

_FEEDBACK = """
Those who use this may say what an expression is, and that is kept, without who said it{picture}. \
It is used to teach the computer.
"""
_PICTURE = (
    "; where who is pictured agreed, the face is kept too, gray and small, until they want it gone"
)


def feedback(*, pictures: bool) -> str:
    """Write what the notice says besides, where feedback is taken."""
    said = _FEEDBACK.format(picture=_PICTURE if pictures else "")
    return "\n".join(map(textwrap.fill, said.splitlines())) + "\n"


def text(purpose: Purpose, contact: str, classes: Sequence[str]) -> str:
    """Write the notice, in plain words; without a contact it says that none was stated."""
    exception = f"Why it may run here: {purpose.exception} reasons, {purpose.reason}\n"
    written = _TEXT.format(
        classes=", ".join(classes),
        purpose=purpose.text,
        exception=exception if purpose.exception else "",
        contact=contact or "not stated; ask where this is shown",
    )
    return "\n".join(map(textwrap.fill, written.splitlines())) + "\n"
