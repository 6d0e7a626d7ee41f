"""How the server is run: each choice with its default, and the line by which `--help` tells it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from unveil.bundle_folder import Precision, refuse_other_content
from unveil.errors import UserError
from unveil.paths import AUDIT_LOG, LAST_GOOD

LEAST = 200
"""Faces under which no drift is said: chance alone would make some 0.01 bits of fewer."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65_535),
    "max_bytes": (1, 1_000_000_000),
    "max_pixels": (1, 1_000_000_000),
    "max_side": (1, 1_000_000),
    "max_scans": (1, 1_000_000),
    "max_batch_pixels": (1, 10_000_000_000),
    "picture_seconds": (0.001, 3600),
    "batch_seconds": (0.001, 3600),
    "body_seconds": (0.001, 3600),
    "waiting": (1, 100_000),
    "patience": (0.001, 3600),
    "connections": (1, 1_000_000),
    "streams": (0, 1_000_000),
    "watched": (LEAST, 10_000_000),
    "drain_seconds": (0, 3600),
    "feedback_most": (1, 1_000_000_000),
}
"""Of each number the least and the most; a server that drains for months does not end."""


@dataclass(frozen=True)
class Settings:
    """What a person may choose; ``checked`` refuses what does not fit together."""

    purpose: Annotated[str, "Who is looked at and what for; /notice tells it those people."]
    exception: Annotated[
        Literal["medical", "safety"] | None, "Why work or education may be served."
    ] = None
    reason: Annotated[str | None, "The medical or safety reason, in a sentence; it is logged."] = (
        None
    )
    contact: Annotated[str, "Who runs this and how to reach them; said in /notice."] = ""
    bundle: Annotated[
        Path | None,
        "Another bundle; data/07_bundle or models/starter without. A new one there is taken.",
    ] = None
    precision: Annotated[Precision, "int8: the smaller network of the bundle, and quicker."] = (
        "float32"
    )
    detector: Annotated[Path | None, "A YuNet file that finds faces, instead of the cascade."] = (
        None
    )
    detector_digest: Annotated[str | None, "The sha256 of another YuNet file."] = None
    host: Annotated[str, "The address to listen on."] = "127.0.0.1"
    port: Annotated[int, "The port to listen on."] = 8000
    token_file: Annotated[
        Path | None, "Who may ask (`unveil token NAME`); a must off loopback."
    ] = None
    allow_host: Annotated[tuple[str, ...], "A name by which clients call this server."] = ()
    allow_origin: Annotated[tuple[str, ...], "An origin whose pages may ask, https://..."] = ()
    private: Annotated[
        bool, "Give the network to pages, so that pictures can stay on people's devices."
    ] = True
    certificate: Annotated[Path | None, "A PEM file: serve TLS; with --key."] = None
    key: Annotated[Path | None, "The PEM file of the certificate's key."] = None
    max_bytes: Annotated[int, "The largest body, in bytes."] = 8_000_000
    max_pixels: Annotated[int, "The largest picture, in pixels."] = 12_000_000
    max_side: Annotated[int, "The longest side of a picture, in pixels."] = 20_000
    max_scans: Annotated[int, "The most scans of a JPEG; most have 1 or 10."] = 100
    max_batch_pixels: Annotated[int, "Pixels of all pictures of a batch."] = 48_000_000
    picture_seconds: Annotated[float, "Seconds of work on a picture; more is given up."] = 5.0
    batch_seconds: Annotated[float, "Seconds until all of a batch is given up."] = 20.0
    body_seconds: Annotated[float, "How long a client may take for its request."] = 10.0
    waiting: Annotated[int, "How many pictures are worked on at once, at most."] = 64
    patience: Annotated[float, "Seconds a picture may wait before others are sent away."] = 0.05
    connections: Annotated[int, "How many connections there may be."] = 256
    streams: Annotated[int, "How many of them may be video streams."] = 16
    watched: Annotated[int, "Over how many of the last faces drift is measured."] = 1000
    drain_seconds: Annotated[float, "How long answers may take after SIGTERM."] = 20.0
    feedback: Annotated[Path | None, "A folder: take what people say an expression is."] = None
    feedback_pictures: Annotated[bool, "Keep faces with it, of people who consent."] = False
    feedback_most: Annotated[int, "How many entries of feedback are kept, at most."] = 10_000
    audit: Annotated[Path, "Where is written what was done, without personal content."] = AUDIT_LOG
    keep: Annotated[Path, "Where the last bundle that worked is kept."] = LAST_GOOD

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names this server answers to, without ports."""
        return (*self.allow_host, self.host, *LOOPBACK[:1], "::1", "[::1]", "localhost")


def checked(settings: Settings) -> Settings:
    """Give the settings back, or say in one line what does not fit together."""
    if settings.host not in LOOPBACK and settings.token_file is None:
        raise UserError(f"--host {settings.host} is not loopback: name a --token-file")
    if (settings.certificate is None) != (settings.key is None):
        raise UserError("--certificate and --key go together")
    if settings.feedback_pictures and settings.feedback is None:
        raise UserError("--feedback-pictures needs --feedback FOLDER")
    for name, (least, most) in RANGES.items():
        value, option = getattr(settings, name), f"--{name.replace('_', '-')}"
        if fault := _fault(value, least, most):
            raise UserError(f"{option} {value} {fault}; take {least:,} to {most:,}")
    for path in (settings.certificate, settings.key, settings.detector):
        if path and not path.is_file():
            raise UserError(f"{path} is not there")
    refuse_other_content(settings.keep)
    return settings


def _fault(value: float, least: float, most: float) -> str | None:
    if least <= value <= most:
        return None
    if math.isnan(value):
        return "is no number"
    if value <= 0 < least:
        return "is not positive"
    return f"is less than {least:g}" if value < least else f"is more than {most:g}"
