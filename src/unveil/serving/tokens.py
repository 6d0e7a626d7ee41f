"""Access tokens: a file of mode 600 with a name and the SHA-256 of each token.

A token is 256 random bits, so a plain SHA-256 is enough to store it. Command:
``unveil token NAME`` prints a new token, once.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from unveil.common.errors import UserError, unknown_choice
from unveil.common.files import atomic_write
from unveil.common.locks import file_lock

Tokens = Mapping[str, str]
"""The SHA-256 of each token by its owner's name."""


def load(path: Path) -> Tokens:
    """Read the token file; ``UserError`` if it is missing, malformed or readable by others.

    The file of another owner may be readable by a group: so Kubernetes gives secrets to a process.
    """
    try:
        found = path.stat()
        if found.st_mode & (0o077 if found.st_uid == os.geteuid() else 0o037):
            raise UserError(f"{path} is readable by others; chmod 600 {path}")
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; `unveil token NAME` creates it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a token file: {error}") from None
    if not isinstance(content, dict) or not all(map(_is_digest, content.values())):
        raise UserError(f"{path} is not a token file: names with a SHA-256 each")
    return content


def issue(path: Path, name: str) -> str:
    """Create a token for ``name``, store its hash and return it; it cannot be shown again.

    Raises ``UserError`` if the name has a token: replacing it would lock out its owner.
    """
    if not re.fullmatch(r"[\w.-]{1,40}", name):
        raise UserError(f"name {name!r} is not of letters, digits, '-', '_' and '.', at most 40")
    token = secrets.token_urlsafe(32)
    with file_lock(path):
        kept = load(path) if path.exists() else {}
        if name in kept:
            raise UserError(
                f"{name} already has a token in {path}, which stays valid; run `unveil token "
                f"{name} --revoke` before you create a new one"
            )
        _write(path, {**kept, name: _digest(token)})
    return token


def revoke(path: Path, name: str) -> None:
    """Remove a token; a running server applies it within a second."""
    if not path.exists():
        load(path)
    with file_lock(path):
        kept = dict(load(path))
        if name not in kept:
            raise unknown_choice("token", name, kept or ["none"])
        del kept[name]
        _write(path, kept)


def owner(tokens: Tokens, presented: str) -> str | None:
    """Return the owner of a token, or ``None``; the comparison takes constant time."""
    digest, found = _digest(presented), None
    for name, kept in tokens.items():
        if hmac.compare_digest(kept, digest):
            found = name
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f]{64}", value))


def _write(path: Path, tokens: Tokens) -> None:
    with atomic_write(path) as temporary:
        # Created with mode 600, so that it is never readable by others.
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(file, "w") as opened:
            opened.write(json.dumps(dict(tokens), indent=2, sort_keys=True) + "\n")
