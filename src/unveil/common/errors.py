"""``UserError`` and the masking of secrets in messages.

Masked are user information in URLs (before the ``@``), values of parameters named like a secret,
authorization headers, keys of a known format, and values of environment variables named like a
secret, wherever they appear.
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

MASK = "***"

MIN_SECRET_LENGTH = 6
"""Minimum length in characters of a secret that is masked by its value."""

_SECRET = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|signature|sig|credentials?|auth[_-]?string"
    r"|(?:api|access|account|private|encryption|customer)[_-]?key(?:[_-]?id)?|AWSAccessKeyId)"
)
_NAMED = re.compile(rf"(?i)(?:^|[_-]|^PG){_SECRET}$")
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\"[^\"]*\"|'[^']*'"
"""A quoted value, with or without escaped quotes; it may end with a backslash."""
_PATTERNS = (
    # With an unquoted slash in the password, the part before it looks like a host with a port.
    (r"(://)[^\s/?#\"'<>@]*:(?!\d*(?:[/?#]|$))[^\s\"'<>]*@", rf"\1{MASK}@"),
    (r"(://)[^\s/?#\"'<>]*@", rf"\1{MASK}@"),
    # A URL truncated in the middle of its password.
    (r"(://[^\s/:@\[\"'<>]+:)(?!(?:\d*|PORT)$)[^\s/@\"'<>]+$", rf"\1{MASK}"),
    (
        rf"((?:[\w.-]*[._-])?{_SECRET}\s*=\s*)(?:{_QUOTED}|[^\s&;,\"'<>#)\]}}]+)",
        rf"\1{MASK}",
    ),
    (rf"([\"'][\w.-]*{_SECRET}[\"']\s*:\s*)(?:{_QUOTED})", rf'\1"{MASK}"'),
    # Without quotes it may be a sentence: only a value with a digit is taken for a secret.
    (rf"(\b(?:[\w.-]*[._-])?{_SECRET}:\s*)(?=\S*\d)[^\s\"'<>,;]{{6,}}", rf"\1{MASK}"),
    (rf"(--(?:[\w-]*-)?{_SECRET}\s+)(?=\S*\d)[^\s\"'<>]+", rf"\1{MASK}"),
    (r"((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:[\w-]+\s+)?[^\s\"',;]+", rf"\1{MASK}"),
    (r"(\b(?:bearer|basic)\s+)(?=[^\s]*[\d=])[\w.~+/=-]{12,}", rf"\1{MASK}"),
    (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", MASK),
    (r"\b(?:gh[a-z]_|github_pat_|glpat-|hf_|pn[a-z]_|xox[a-z]-)[\w-]{16,}", MASK),
    (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", MASK),
)
_MASKED = [(re.compile(pattern, re.IGNORECASE), put) for pattern, put in _PATTERNS]


def mask_secrets(text: str) -> str:
    """Replace each secret in a text with ``***``. Idempotent."""
    for secret in sorted(set(_environment_secrets()), key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, put in _MASKED:
        text = pattern.sub(put, text)
    return text


def _environment_secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        # PWD is the working directory, not a password.
        secrets = [value] if _NAMED.search(name) and name != "PWD" else []
        # A password may be percent-encoded in the URL and decoded in a message.
        for user in re.findall(r"://([^\s/?#]*)@", value):
            password = user.partition(":")[2]
            secrets += [password, unquote(password)]
        yield from (secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH)


class UserError(Exception):
    """An error the user can fix: one line that names the value and the choices.

    The command line prints it without a traceback and exits with 2. Secrets are masked.
    """

    def __init__(self, message: object) -> None:
        super().__init__(mask_secrets(" ".join(str(message).splitlines())))


def unknown_choice(kind: str, value: object, choices: Iterable[str]) -> UserError:
    """Return the error for an unknown ``value`` of a ``kind``: the choices, and the closest one."""
    names = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return UserError(f"unknown {kind} {str(value)!r}; choose from {', '.join(names)}{hint}")


def reason(error: BaseException) -> str:
    """Return the first line of an error, at most 200 characters, without file name and secrets."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    # Masked before it is truncated: in half a URL the end of the password is not visible.
    return mask_secrets(lines[0] if lines else type(error).__name__)[:200]
