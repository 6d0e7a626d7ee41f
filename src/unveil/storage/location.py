"""Where versions lie: names that are well formed, and no credentials."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from unveil.common.errors import UserError

BUCKET = r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]"
PREFIX = r"(?!\.\.?(?:/|$))[A-Za-z0-9!_.*'()-]+"
SHAPE = (
    "s3://BUCKET/PREFIX: a bucket of 3 to 63 a-z, 0-9, . and -, "
    "then names of letters, digits and !_.*'()- with slashes between"
)
LONGEST = 900  # of 1,024 bytes of a key; DVC needs the rest


@dataclass(frozen=True)
class Place:
    """A bucket, what the keys of its objects begin with, and the server; ``None`` is AWS."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None

    @property
    def url(self) -> str:
        """As DVC names it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def below(self) -> str:
        """What the key of each object begins with."""
        return f"{self.prefix}/" if self.prefix else ""


def place(url: str, *, endpoint: str | None = None, region: str | None = None) -> Place:
    """Read where versions are to lie.

    Raises:
        UserError: a name that no bucket may have, or a URL with credentials in it.
    """
    found = re.fullmatch(rf"s3://({BUCKET})((?:/{PREFIX})*)/?", url, re.ASCII)
    if not found or _is_address(found[1]) or len(found[2]) > LONGEST:
        raise UserError(f"{_harmless(url)!r} is no place for versions; it is {SHAPE}")
    if endpoint is not None and not _is_server(endpoint):
        shape = "https://HOST or http://HOST:PORT"
        raise UserError(f"{_harmless(endpoint)!r} is no endpoint; it is {shape}")
    if region is not None and not re.fullmatch("[a-z0-9-]{1,40}", region):
        raise UserError(f"{region[:80]!r} is no region; it is like eu-central-1")
    return Place(found[1], found[2].strip("/"), endpoint, region)


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def _is_server(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    # No @, ? or #: what stands there is a password or a signature, and git would keep it.
    return known and bool(re.fullmatch(r"https?://[\w.:\[\]-]+(/[\w./-]*)?", endpoint, re.ASCII))


def _harmless(url: str) -> str:
    # People paste keys into URLs, before an @ or behind a question mark.
    return re.sub(r"[^/]*@", "...@", re.split("[?#]", url)[0])[:200]
