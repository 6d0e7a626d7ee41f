"""``NAME.sha256`` beside a file, as `sha256sum` writes it: what the file has to be."""

import hashlib
import re
from pathlib import Path

from unveil.common.errors import UserError

SUFFIX = ".sha256"

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>[^/\r\n]+)\r?\n?")


def beside(path: Path) -> Path:
    """Name the file that has the digest of ``path``."""
    return path.with_name(path.name + SUFFIX)


def write(path: Path) -> None:
    """Write the digest of a file beside it; `sha256sum --check` reads it, too."""
    beside(path).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


def read(path: Path) -> bytes:
    """Read a file of a bundle; ``UserError`` where it cannot be."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {str(error.strerror).lower()}; `unveil export` makes it"
        ) from None


def verified(path: Path, content: bytes) -> str:
    """Give the sha256 of ``content``, read from ``path``; ``UserError`` where it is another."""
    stated, found = _stated(path), hashlib.sha256(content).hexdigest()
    if stated != found:
        raise UserError(
            f"{path} is not what {beside(path).name} says: its sha256 differs; export it again"
        )
    return found


def _stated(path: Path) -> str:
    file = beside(path)
    remedy = (
        f"`unveil export` makes it, or, where you trust {path.name}, "
        f"`cd {path.parent} && sha256sum {path.name} > {file.name}`"
    )
    try:
        line = _LINE.fullmatch(file.read_text("ascii"))
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{file} cannot be read: {reason}; {remedy}") from None
    except ValueError:
        line = None
    if line is None or line["name"] != path.name:
        raise UserError(f"{file} is not the line `SHA256  {path.name}`; {remedy}")
    return line["digest"]
