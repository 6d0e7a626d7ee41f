"""The notice for people whose faces are analysed: Regulation (EU) 2024/1689, Art. 50(3)."""

import html as markup
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from unveil.serving.declared_purpose import Purpose
from unveil.serving.settings import Settings

_TITLE = "Emotion recognition is running here"
_INTRODUCTION = (
    "A computer program analyses faces in pictures and estimates what their expression looks like: "
    "{classes}, or that it is not sure. It describes how a face looks, not what a person feels, "
    "and it is sometimes wrong. It does not identify people, and infers neither race, gender nor "
    "age."
)
_RIGHTS = "You may ask the operator what is done with your picture, and object to it."
_PAGE = Path(__file__).with_name("notice_template.html")

_NOTHING = (
    "no picture, no face, no answer about a person. A picture is in the computer's "
    "memory while it is processed, and is then deleted."
)
_LABELS = (
    f"{_NOTHING} Users may submit the correct expression of a face; this label is kept without "
    "the user's name, and is used to train the model."
)
_FACES = (
    "if the person in the picture agreed, the face as a small gray image with the "
    "label that was submitted for it, until that person withdraws it; it is used to train the "
    "model. Any other picture is in the computer's memory while it is processed, and is then "
    "deleted. No answer about a person is kept."
)
_COUNTS = "Counts of requests and answers, without personal data, are kept to monitor the system."


def text(purpose: Purpose, settings: Settings, classes: Sequence[str]) -> str:
    """Return the notice in plain words; without a contact it says that none was stated."""
    facts = "\n".join(f"{name}: {content}" for name, content in _facts(purpose, settings))
    kept = f"What is kept: {_kept(settings)}"
    parts = (_TITLE, _introduction(classes), facts, kept, _RIGHTS)
    return "\n".join(map(textwrap.fill, "\n\n".join(parts).splitlines())) + "\n"


def html(purpose: Purpose, settings: Settings, classes: Sequence[str]) -> str:
    """Return the same notice as a page for browsers."""
    facts = [*_facts(purpose, settings), ("What is kept", _sentence(_kept(settings)))]
    escaped = ((markup.escape(name), markup.escape(content)) for name, content in facts)
    return Template(_PAGE.read_text()).substitute(
        title=_TITLE,
        introduction=markup.escape(_introduction(classes)),
        facts="\n".join(f"<dt>{name}</dt>\n<dd>{content}</dd>" for name, content in escaped),
        rights=_RIGHTS,
    )


def _introduction(classes: Sequence[str]) -> str:
    return _INTRODUCTION.format(classes=", ".join(classes))


def _facts(purpose: Purpose, settings: Settings) -> Iterator[tuple[str, str]]:
    yield "Purpose", purpose.text
    if purpose.exception:
        yield "Why it may run here", f"{purpose.exception} reasons, {purpose.reason}"
    yield "Run by", settings.contact or "not stated; ask where this is shown"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _kept(settings: Settings) -> str:
    if settings.feedback is None:
        return f"{_NOTHING} {_COUNTS}"
    return f"{_FACES if settings.feedback_pictures else _LABELS} {_COUNTS}"
