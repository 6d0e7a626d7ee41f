"""Who may ask: names with the hash of a token each, in a file of mode 600.

A token is 256 random bits, so that a plain SHA-256 of it is enough at rest. Command:
``unveil token NAME`` prints one, once.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from unveil.errors import UserError, unknown
from unveil.files import replacing
from unveil.locks import held

Tokens = Mapping[str, str]
"""The SHA-256 of each token, by the name of who has it."""


def load(path: Path) -> Tokens:
    """Read the file; ``UserError`` where it is absent, not ours or open to others."""
    try:
        if path.stat().st_mode & 0o077:
            raise UserError(f"{path} is open to others; chmod 600 {path}")
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is not there; `unveil token NAME` makes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no token file: {error}") from None
    if not isinstance(content, dict) or not all(map(_is_digest, content.values())):
        raise UserError(f"{path} is no token file: names with a SHA-256 each")
    return content


def issue(path: Path, name: str) -> str:
    """Make a token for ``name``, keep its hash and give it: nobody can read it again.

    ``UserError`` where the name has one: whoever asks by it would be shut out.
    """
    if not re.fullmatch(r"[\w.-]{1,40}", name):
        raise UserError(f"name {name!r} is not of letters, digits, '-', '_' and '.', at most 40")
    token = secrets.token_urlsafe(32)
    with held(path):
        kept = load(path) if path.exists() else {}
        if name in kept:
            raise UserError(
                f"{name} has a token in {path}, which stays valid; `unveil token {name} --revoke` "
                "takes it back, then make a new one"
            )
        _write(path, {**kept, name: _digest(token)})
    return token


def revoke(path: Path, name: str) -> None:
    """Forget a token; a server that runs notices within a second."""
    if not path.exists():
        load(path)
    with held(path):
        kept = dict(load(path))
        if name not in kept:
            raise unknown("token", name, kept or ["none"])
        del kept[name]
        _write(path, kept)


def owner(tokens: Tokens, presented: str) -> str | None:
    """Name who has this token; takes as long for a wrong one as for a right one."""
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
    with replacing(path) as made:
        # Never readable by others, not even for a moment.
        file = os.open(made, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(file, "w") as opened:
            opened.write(json.dumps(dict(tokens), indent=2, sort_keys=True) + "\n")
