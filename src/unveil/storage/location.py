"""Parse and validate the S3 location of a DVC remote; credentials are refused."""

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
MAX_PREFIX_LENGTH = 900  # of the 1,024 bytes of an object key; DVC needs the rest


@dataclass(frozen=True)
class StorageLocation:
    """A bucket, the prefix of its object keys, the server (``None``: AWS) and the region."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None

    @property
    def url(self) -> str:
        """The URL of the DVC remote."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def key_prefix(self) -> str:
        """The prefix of all object keys, with its slash."""
        return f"{self.prefix}/" if self.prefix else ""


def parse_location(
    url: str, *, endpoint: str | None = None, region: str | None = None
) -> StorageLocation:
    """Parse the URL, endpoint and region of a DVC remote.

    Raises:
        UserError: an invalid name, or a URL with credentials.
    """
    parts = re.fullmatch(rf"s3://({BUCKET})((?:/{PREFIX})*)/?", url, re.ASCII)
    if not parts or _is_address(parts[1]) or len(parts[2]) > MAX_PREFIX_LENGTH:
        raise UserError(f"{_redacted(url)!r} is not a valid remote URL; expected {SHAPE}")
    if endpoint is not None and not _is_server(endpoint):
        shape = "https://HOST or http://HOST:PORT"
        raise UserError(f"{_redacted(endpoint)!r} is not a valid endpoint; expected {shape}")
    if region is not None and not re.fullmatch("[a-z0-9-]{1,40}", region):
        raise UserError(f"{region[:80]!r} is not a valid region; expected one such as eu-central-1")
    return StorageLocation(parts[1], parts[2].strip("/"), endpoint, region)


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
    # No @, ? or #: a password or a signature there would be committed to git.
    return known and bool(re.fullmatch(r"https?://[\w.:\[\]-]+(/[\w./-]*)?", endpoint, re.ASCII))


def _redacted(url: str) -> str:
    # Credentials may be pasted into URLs, before an @ or after a question mark.
    return re.sub(r"[^/]*@", "...@", re.split("[?#]", url)[0])[:200]
