"""The declared purpose of a server; purposes that the law prohibits are refused.

Takes a sentence; returns a ``Purpose`` or raises ``UserError``. Inferring emotions at work and in
education is prohibited, except for medical or safety reasons: Regulation (EU) 2024/1689, Art.
5(1)(f). The words below only detect what is stated openly; the operator is responsible for the
declaration.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from unveil.common.errors import UserError

Exempt = Literal["medical", "safety"]

_WHO = (
    r"(?:who|they|we|i|he|she|people|persons|everybody|everyone|somebody|while|when)"
    r"(?: are| is| am)?"
)

PROHIBITED = {
    "work": (
        r"(?:at|during|for)(?: our| the| their| my| your)? work(?! of art)"
        rf"|{_WHO} work(?:s|ing)?(?! of art)"
        r"|work(?:ing)? ?(?:places?|force|hours?|days?|time|shifts?|stations?|sites?|life|spaces?"
        r"|floors?|environments?|teams?|groups?|meetings?|rooms?)|(?:co ?)?workers?|employ\w*|staff"
        r"|personnel|colleagues?|(?<!box )offices?|at (?:our|the|their) desks?|on duty|hiring|hire"
        r"|recruit\w*|applicants?|candidates?|jobs?|interview\w*|interns?|apprentices?|agents?"
        r"|(?:call|contact) ?cent(?:re|er)\w*|help ?desks?|operators|cashiers?|clerks?|waiters?"
        r"|nurses?|couriers?|(?:sales|support|service|project) (?:teams?|people|meetings?)"
        r"|salesm[ae]n|(?:team|staff|board|business) meetings?"
        r"|(?:night|day|early|late|during(?: the| their)?) shifts?|productivity|labou?r"
        r"|factory|factories|warehouses?|crew"
        r"|(?:heim|tele|schicht)?arbeit\w*|mitarbeit\w*|bewerb\w*|\w*bue?ro\w*|angestellt\w*"
        r"|bescha?e?ftigt\w*|belegschaft\w*|kolleg(?:e|en|in|innen)|beruf\w*|fabrik\w*"
        r"|travail\w*|salarie\w*|bureaux?|collegues?|ouvri\w*|embauch\w*"
        r"|trabaj\w*|emplead\w*|oficinas?|obrer\w*"
    ),
    "education": (
        r"\w*schools?|students?|pupils?|teach\w*|class ?(?:rooms?|mates?)|in class(?! of)"
        r"|(?:our|online|virtual) class(?:es)?|lessons?|(?<!of )course(?! of)|courses|trainees?"
        r"|training (?:rooms?|cent(?:re|er)s?|participants?)|seminars?|webinars?|homework|campus"
        rf"|(?:e|online|distance|remote) ?learning|{_WHO} (?:learn|study)(?:s|ing)?|educat\w*"
        r"|exams?|examinations?|proctor\w*|universit\w*|colleges?|lectur\w*|learners?|tutor\w*"
        r"|academ(?:y|ies)|kindergartens?"
        r"|\w*schul(?!d|ter)\w*|schue?ler\w*|studier\w*|unterricht\w*|lehr\w*|azubis?"
        r"|auszubildend\w*|ausbildung\w*|weiterbildung\w*|kurs(?:e|es|en|teilnehm\w*)?|dozent\w*"
        r"|vorlesung\w*|ecol(?:es?|iers?)|eleves?|etudiant\w*|lycee\w*|enseign\w*|en classe"
        r"|escuelas?|alumn[oa]s?|estudiant\w*|colegios?|profesor\w*|aulas?"
    ),
}
"""Regular expressions of the words that reveal a prohibited purpose, normalised by ``_plain``."""

LONGEST = 300
_LEAST_WORDS = 3


@dataclass(frozen=True)
class Purpose:
    """A declared purpose and, if it needs one, the exception with its reason."""

    text: str
    exception: Exempt | None = None
    reason: str | None = None


def declared(text: str, exception: Exempt | None, reason: str | None) -> Purpose:
    """Check a declaration; ``UserError`` gives the reason why it is refused."""
    purpose = Purpose(_sentence("purpose", text), exception, reason)
    if exception and not reason:
        raise UserError(f"--exception {exception} needs a --reason, which is logged")
    if reason and not exception:
        raise UserError("--reason belongs to an --exception: medical or safety")
    if reason:
        return Purpose(purpose.text, exception, _sentence("reason", reason))
    for kind, words in PROHIBITED.items():
        if found := re.search(rf"\b({words})\b", _plain(text)):
            raise UserError(
                f"purpose mentions {kind} ({found[0]!r}): prohibited in the EU since 2025-02-02 "
                "except for medical or safety reasons: --exception medical|safety --reason TEXT"
            )
    return purpose


def _plain(text: str) -> str:
    """Normalise a sentence: no accents, capitals or punctuation, one space between words."""
    letters = unicodedata.normalize("NFKD", text)
    bare = "".join(one for one in letters if not unicodedata.category(one).startswith("M"))
    return re.sub(r"[\W_]+", " ", bare.casefold())


def _sentence(kind: str, text: str) -> str:
    words = text.split()
    if len(words) < _LEAST_WORDS or len(text) > LONGEST or not text.isprintable():
        raise UserError(
            f"{kind} {text[:40]!r} is not a sentence: state in {_LEAST_WORDS} words or more, at "
            f"most {LONGEST} characters, whose faces are analysed and what for"
        )
    return " ".join(words)
