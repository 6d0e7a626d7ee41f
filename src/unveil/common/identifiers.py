"""Validation of names and URLs in params.yaml that are used by files, DVC, MLflow and tables."""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import urlsplit

from unveil.common.errors import UserError

KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
"""Names of architectures and recipes: DVC gives ``.``, ``@``, ``:`` and ``/`` a meaning."""
MAX_CLASS_LENGTH = 40
"""Maximum length of a class name in characters."""
RESERVED = (
    *("train", "training", "validation", "valid", "val", "test", "testing"),
    *("unsure", "no_face", "no face", "unreadable"),
)
"""Reserved names: folders of splits, and answers without a class."""


def require_keys(names: Iterable[str], where: str) -> None:
    """Refuse keys that DVC, a file system or a command line cannot handle.

    Raises ``UserError`` naming ``where`` and the key.
    """
    for name in names:
        if not KEY.fullmatch(name):
            raise UserError(
                f"{where}: {_truncated(name)} is not a valid name; use 1 to 60 of A-Z, a-z, 0-9, "
                "_ and -, a letter first"
            )
    _require_distinct(names, where)


def require_classes(names: Iterable[str], where: str) -> None:
    """Refuse class names that cannot be a folder, a table column and an answer.

    Raises ``UserError`` naming ``where`` and the class.
    """
    for name in names:
        if not _is_class(name):
            raise UserError(
                f"{where}: {_truncated(name)} is not a valid class name; use 1 to "
                f"{MAX_CLASS_LENGTH} letters, digits, spaces, _ and -, a letter or digit first "
                "and last"
            )
        if name.casefold() in RESERVED:
            raise UserError(
                f"{where}: {name!r} cannot be a class; reserved are {', '.join(RESERVED)}"
            )
    _require_distinct(names, where)


def http_url(url: str) -> str:
    """Return ``url``; raises ``ValueError`` if it is not an http or https URL with a host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("should be http://HOST or https://HOST, with :PORT from 1 to 65535")
    return url


def _is_class(name: str) -> bool:
    kinds = [unicodedata.category(one)[0] for one in name]
    allowed = all(kind in "LMN" or one in " _-" for one, kind in zip(name, kinds, strict=True))
    ends = bool(name) and kinds[0] in "LN" and kinds[-1] in "LMN"
    return (
        ends
        and allowed
        and len(name) <= MAX_CLASS_LENGTH
        and unicodedata.is_normalized("NFC", name)
    )


def _require_distinct(names: Iterable[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        # They would collide on a case-insensitive file system.
        alike = unicodedata.normalize("NFKC", name).casefold()
        if alike in seen:
            raise UserError(
                f"{where}: a name appears twice in {', '.join(names)}: {seen[alike]!r} and "
                f"{name!r} differ in case at most"
            )
        seen[alike] = name


def _truncated(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")
