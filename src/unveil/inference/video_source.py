"""A video file, a camera or a URL -> an open container of PyAV.

FFmpeg may only use the protocols of the source's own kind: a playlist or a redirect names no other.
"""

import errno
import re
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from unveil.common.errors import UserError, mask_secrets
from unveil.data.decoding import SUFFIXES

if TYPE_CHECKING:
    from av.container import InputContainer

PROTOCOLS = {
    # RTP within the connection of RTSP passes firewalls, and needs no port that others can send to.
    "rtsp": {"protocol_whitelist": "tcp", "rtsp_transport": "tcp"},
    "http": {"protocol_whitelist": "http,tcp"},
    # FFmpeg calls a proxy of the environment by the protocol httpproxy, and trusts any certificate
    # unless it is told not to.
    "https": {"protocol_whitelist": "https,tls,tcp,httpproxy", "tls_verify": "1"},
}
"""Options of FFmpeg for each scheme of a URL."""
CHECKS = {
    "rtsp": "the host",
    "http": "the host",
    "https": "the host, and that this machine trusts its certificate",
}
"""What to check if FFmpeg only says that a URL cannot be read."""
TIMEOUT = 10.0
"""Seconds without an answer or data after which a URL is given up."""
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """The URL of a video. As text it has no user, no password and no other secret."""

    url: str = field(repr=False)

    @property
    def scheme(self) -> str:
        """The scheme, in lower case."""
        return self.url.partition("://")[0].lower()

    @property
    def stem(self) -> str:
        """The host and the path as the name of a file, without suffix."""
        place = re.sub(r"[?#].*", "", str(self)).partition("://")[2]
        return re.sub(r"[^\w.-]+", "_", re.sub(r"\.\w{1,4}$", "", place)).strip("_.")[:100]

    def __str__(self) -> str:
        return mask_secrets(re.sub(r"://[^/?#]*@", "://", self.url))


Source = Path | int | Address
"""A video file, a camera by its number, or a URL."""


def parse(text: str) -> Source:
    """Return the source that ``text`` names.

    Raises ``UserError`` for a URL of another kind, a folder and an image.
    """
    if text.isascii() and text.isdecimal():
        return int(text)
    if scheme := SCHEME.match(text):
        if scheme[1].lower() not in PROTOCOLS:
            raise UserError(
                f"{Address(text)}: unknown kind of URL {scheme[1]!r}; "
                f"choose from {', '.join(PROTOCOLS)}, or name a file or a camera"
            )
        return Address(text)
    path = Path(text)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a video file, a camera number or a URL")
    if path.suffix.lower() in SUFFIXES:
        raise UserError(f"{path} is an image; `unveil predict {path}` takes images")
    return path


def name(source: Source) -> str:
    """Return how a source is called in messages, without credentials."""
    return f"camera {source}" if isinstance(source, int) else str(source)


def open_container(source: Source) -> "InputContainer":
    """Open a source; raises ``UserError`` if that is not possible or takes too long."""
    import av

    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{source} is not there; name a video file")
    began = time.monotonic()
    try:
        return _container(source)
    except (av.FFmpegError, ValueError) as error:
        why = reason(error, time.monotonic() - began) + _hint(source, error)
    raise UserError(f"{name(source)} cannot be opened as a video: {why}")


def _hint(source: Source, error: Exception) -> str:
    """Return what to check where FFmpeg does not say what is wrong with a URL."""
    number = getattr(error, "errno", None)
    if isinstance(source, Address) and number == errno.EIO:
        return f"; check {CHECKS[source.scheme]}"
    if isinstance(source, Address) and number == errno.EINVAL:
        return "; it may lead to a URL of another kind"
    return ""


def reason(error: Exception, waited: float) -> str:
    """Return why FFmpeg gave up, after ``waited`` seconds; without the URL."""
    if waited >= TIMEOUT:
        return f"no answer within {TIMEOUT:g} s"
    return str(getattr(error, "strerror", None) or error).splitlines()[0].lower()[:120]


def _container(source: Source) -> "InputContainer":
    import av

    if isinstance(source, int):
        return av.open(f"/dev/video{source}", format="v4l2")
    if isinstance(source, Address):
        options = dict(PROTOCOLS[source.scheme])
        # The one of the system, or of SSL_CERT_FILE; FFmpeg's own default is that of its builder.
        if trusted := ssl.get_default_verify_paths().cafile:
            options |= {"ca_file": trusted} if source.scheme == "https" else {}
        return av.open(source.url, options=options, timeout=(TIMEOUT, TIMEOUT))
    # "file:" keeps a name such as "http:x" from being read as an address; a playlist may name none.
    return av.open(f"file:{source}", options={"protocol_whitelist": "file"})
