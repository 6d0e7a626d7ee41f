"""SHA-256 checksum files ``NAME.sha256``, in the format of `sha256sum`."""

import hashlib
import re
from pathlib import Path

from unveil.common.errors import UserError

SUFFIX = ".sha256"

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>[^/\r\n]+)\r?\n?")


def checksum_path(path: Path) -> Path:
    """Return the path of the checksum file of ``path``."""
    return path.with_name(path.name + SUFFIX)


def write(path: Path) -> None:
    """Write the checksum file of ``path``, readable by `sha256sum --check`."""
    checksum_path(path).write_text(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    )


def read(path: Path) -> bytes:
    """Read a file of a bundle; raises ``UserError`` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {str(error.strerror).lower()}; run `unveil export`"
        ) from None


def verify(path: Path, content: bytes) -> str:
    """Check ``content``, read from ``path``, against its checksum file and return the sha256.

    Raises ``UserError`` if they differ.
    """
    expected, actual = _expected(path), hashlib.sha256(content).hexdigest()
    if expected != actual:
        raise UserError(
            f"{path} does not match {checksum_path(path).name}: its sha256 differs; "
            "run `unveil export`"
        )
    return actual


def _expected(path: Path) -> str:
    file = checksum_path(path)
    remedy = (
        f"run `unveil export`, or, if you trust {path.name}, "
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
