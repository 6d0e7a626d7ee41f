"""Names and addresses in params.yaml that files, DVC, MLflow and tables can all take.

Takes text; what some of them cannot take is a ``UserError``, in an address a ``ValueError``.
"""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import urlsplit

from unveil.common.errors import UserError

KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
"""Of architectures and recipes: DVC reads ``.``, ``@``, ``:`` and ``/`` in them as its own."""
LONGEST = 40
"""Characters of a class."""
TAKEN = (
    *("train", "training", "validation", "valid", "val", "test", "testing"),
    *("unsure", "no_face", "no face", "unreadable"),
)
"""What is no class: folders of splits, and answers that name none."""


def require_keys(names: Iterable[str], where: str) -> None:
    """Refuse keys that DVC, a file system or a command line cannot take."""
    for name in names:
        if not KEY.fullmatch(name):
            raise UserError(
                f"{where}: {_shown(name)} is no name for it; take 1 to 60 of A-Z, a-z, 0-9, _ and "
                "-, a letter first"
            )
    _require_unlike(names, where)


def require_classes(names: Iterable[str], where: str) -> None:
    """Refuse classes that cannot be a folder, a column of a table and an answer."""
    for name in names:
        if not _is_class(name):
            raise UserError(
                f"{where}: {_shown(name)} is no name of a class; take 1 to {LONGEST} letters, "
                "digits, spaces, _ and -, a letter or digit first and last"
            )
        if name.casefold() in TAKEN:
            raise UserError(f"{where}: {name!r} cannot be a class; taken are {', '.join(TAKEN)}")
    _require_unlike(names, where)


def address(url: str) -> str:
    """Give the address of a server back; ``ValueError`` where it is none."""
    told = urlsplit(url)
    if told.scheme not in ("http", "https") or not told.hostname or told.port == 0:
        raise ValueError("should be http://HOST or https://HOST, with :PORT from 1 to 65535")
    return url


def _is_class(name: str) -> bool:
    kinds = [unicodedata.category(one)[0] for one in name]
    allowed = all(kind in "LMN" or one in " _-" for one, kind in zip(name, kinds, strict=True))
    ends = bool(name) and kinds[0] in "LN" and kinds[-1] in "LMN"
    return ends and allowed and len(name) <= LONGEST and unicodedata.is_normalized("NFC", name)


def _require_unlike(names: Iterable[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        # A file system that ignores case would take both for one.
        alike = unicodedata.normalize("NFKC", name).casefold()
        if alike in seen:
            raise UserError(
                f"{where}: a name stands twice in {', '.join(names)}: {seen[alike]!r} and {name!r} "
                "differ in case at most"
            )
        seen[alike] = name


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")
