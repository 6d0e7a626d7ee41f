"""The one exception for what a person can mend, and text without secrets, which it alone has.

Masked are what stands before the ``@`` of a URL, the values of parameters that are named as
secrets, headers with credentials, keys that are known by their shape, and what the environment
holds under the name of a secret, wherever it stands.
"""

import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

MASK = "***"

SHORTEST = 6
"""Characters of a secret that is looked for by its value: shorter ones are parts of words."""

_SECRET = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|signature|sig|credentials?|auth[_-]?string"
    r"|(?:api|access|account|private|encryption|customer)[_-]?key(?:[_-]?id)?|AWSAccessKeyId)"
)
_NAMED = re.compile(rf"(?i)(?:^|[_-]|^PG){_SECRET}$")
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\"[^\"]*\"|'[^']*'"
"""A value whose quotes may be escaped within; one that ends with a backslash is taken as it is."""
_PATTERNS = (
    # With an unquoted slash in the password, what stands before it looks like a host with a port.
    (r"(://)[^\s/?#\"'<>@]*:(?!\d*(?:[/?#]|$))[^\s\"'<>]*@", rf"\1{MASK}@"),
    (r"(://)[^\s/?#\"'<>]*@", rf"\1{MASK}@"),
    # Cut off in the middle of a password.
    (r"(://[^\s/:@\[\"'<>]+:)(?!(?:\d*|PORT)$)[^\s/@\"'<>]+$", rf"\1{MASK}"),
    (
        rf"((?:[\w.-]*[._-])?{_SECRET}\s*=\s*)(?:{_QUOTED}|[^\s&;,\"'<>#)\]}}]+)",
        rf"\1{MASK}",
    ),
    (rf"([\"'][\w.-]*{_SECRET}[\"']\s*:\s*)(?:{_QUOTED})", rf'\1"{MASK}"'),
    # Without quotes it may be a sentence: a secret is what has a digit.
    (rf"(\b(?:[\w.-]*[._-])?{_SECRET}:\s*)(?=\S*\d)[^\s\"'<>,;]{{6,}}", rf"\1{MASK}"),
    (rf"(--(?:[\w-]*-)?{_SECRET}\s+)(?=\S*\d)[^\s\"'<>]+", rf"\1{MASK}"),
    (r"((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:[\w-]+\s+)?[^\s\"',;]+", rf"\1{MASK}"),
    (r"(\b(?:bearer|basic)\s+)(?=[^\s]*[\d=])[\w.~+/=-]{12,}", rf"\1{MASK}"),
    (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", MASK),
    (r"\b(?:gh[a-z]_|github_pat_|glpat-|hf_|pn[a-z]_|xox[a-z]-)[\w-]{16,}", MASK),
    (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", MASK),
)
_MASKED = [(re.compile(pattern, re.IGNORECASE), put) for pattern, put in _PATTERNS]


def masked(text: str) -> str:
    """Give a text with each secret in it replaced by ``***``; a second time changes nothing."""
    for secret in sorted(set(_held()), key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, put in _MASKED:
        text = pattern.sub(put, text)
    return text


def _held() -> Iterator[str]:
    for name, value in os.environ.items():
        # A shell's PWD is where it is.
        found = [value] if _NAMED.search(name) and name != "PWD" else []
        # A password may be quoted in the URL and not in what is said of it.
        for user in re.findall(r"://([^\s/?#]*)@", value):
            password = user.partition(":")[2]
            found += [password, unquote(password)]
        yield from (secret for secret in found if len(secret) >= SHORTEST)


class UserError(Exception):
    """A mistake a person can mend: one line that names the value and the choices.

    The command line prints it without a traceback and exits with 2. Its text has no secret.
    """

    def __init__(self, said: object) -> None:
        super().__init__(masked(" ".join(str(said).splitlines())))


def unknown(kind: str, value: object, choices: Iterable[str]) -> UserError:
    """Say that ``value`` is no known ``kind`` and what would be."""
    return UserError(f"unknown {kind} {str(value)!r}; choose from {', '.join(choices)}")


def reason(error: BaseException) -> str:
    """Say in a line what went wrong, without its file's name and without secrets."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    # Masked before it is cut: half a URL does not show where its password ends.
    return masked(lines[0] if lines else type(error).__name__)[:200]
