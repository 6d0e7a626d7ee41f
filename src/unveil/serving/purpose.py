"""What the answers are for: declared before anything is served, and refused where the law does.

Takes a sentence; gives a ``Purpose`` or a ``UserError``. Inferring emotions at work and in
education is prohibited, medical and safety reasons excepted: Regulation (EU) 2024/1689, Art.
5(1)(f). The words below catch what is said openly and no more; the declaration stays the
declarer's.
"""

import re
from dataclasses import dataclass
from typing import Literal

from unveil.errors import UserError

Exempt = Literal["medical", "safety"]

PROHIBITED = {
    "work": (
        r"at work|work ?places?|workers?|workforce|working hours|employ\w*|staff|personnel"
        r"|colleagues?|office|hiring|hire|recruit\w*|applicants?|candidates?|jobs?|interview\w*"
        r"|agents?|productivity|labou?r|factory|warehouse|crew|arbeit\w*|mitarbeit\w*|bewerb\w*"
        r"|travail\w*|salari[ée]\w*|trabaj\w*|emplead\w*"
    ),
    "education": (
        r"schools?|students?|pupils?|teach\w*|class ?rooms?|education\w*|exams?|examinations?"
        r"|proctor\w*|universit\w*|colleges?|lectur\w*|learners?|tutor\w*|kindergartens?"
        r"|schul\w*|sch[üu]ler\w*|studier\w*|unterricht\w*|[ée]coles?|[ée]l[èe]ves?"
        r"|[ée]tudiant\w*|escuelas?|alumn[oa]s?|estudiant\w*"
    ),
}
"""Words by which a purpose says that it is of that kind."""

LONGEST = 300
_LEAST_WORDS = 3


@dataclass(frozen=True)
class Purpose:
    """A declared purpose and, where it needs one, the exception with its reason."""

    text: str
    exception: Exempt | None = None
    reason: str | None = None


def declared(text: str, exception: Exempt | None, reason: str | None) -> Purpose:
    """Take a declaration, or say in one line why nothing is served for it."""
    purpose = Purpose(_sentence("purpose", text), exception, reason)
    if exception and not reason:
        raise UserError(f"--exception {exception} needs a --reason, which is logged")
    if reason and not exception:
        raise UserError("--reason belongs to an --exception: medical or safety")
    if reason:
        return Purpose(purpose.text, exception, _sentence("reason", reason))
    for kind, words in PROHIBITED.items():
        if found := re.search(rf"\b({words})\b", text, re.IGNORECASE):
            raise UserError(
                f"purpose speaks of {kind} ({found[0]!r}): prohibited in the EU since 2025-02-02 "
                "but for medical or safety reasons: --exception medical|safety --reason TEXT"
            )
    return purpose


def _sentence(kind: str, text: str) -> str:
    words = text.split()
    if len(words) < _LEAST_WORDS or len(text) > LONGEST or not text.isprintable():
        raise UserError(
            f"{kind} {text[:40]!r} is no sentence: say in {_LEAST_WORDS} words or more, at "
            f"most {LONGEST} characters, who is looked at and what for"
        )
    return " ".join(words)
