"""The settings of the server: defaults, ranges and help texts of `unveil serve`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from unveil.common.errors import UserError
from unveil.common.paths import AUDIT_LOG, LAST_GOOD
from unveil.inference.bundle_files import Precision, refuse_other_content

MIN_FACES = 200
"""The fewest faces for a drift value: with fewer, chance alone causes about 0.01 bits."""
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
    "watched": (MIN_FACES, 10_000_000),
    "drain_seconds": (0, 3600),
    "feedback_most": (1, 1_000_000_000),
}
"""The minimum and maximum of each number."""


@dataclass(frozen=True)
class Settings:
    """The options of `unveil serve`; ``checked`` refuses combinations that do not work."""

    purpose: Annotated[str, "Whose faces are analysed and what for; shown in /notice."]
    exception: Annotated[
        Literal["medical", "safety"] | None, "The exception for use at work or in education."
    ] = None
    reason: Annotated[str | None, "The medical or safety reason, in a sentence; it is logged."] = (
        None
    )
    contact: Annotated[str, "The operator and how to reach them; shown in /notice."] = ""
    bundle: Annotated[
        Path | None,
        "The model: starter, champion, or a bundle folder; default: data/07_bundle or "
        "models/starter. Reloaded automatically when its contents change.",
    ] = None
    precision: Annotated[Precision, "int8 uses the smaller and faster network of the bundle."] = (
        "float32"
    )
    host: Annotated[str, "The address to listen on."] = "127.0.0.1"
    port: Annotated[int, "The port to listen on."] = 8000
    token_file: Annotated[
        Path | None, "The token file (`unveil token NAME`); required unless on loopback."
    ] = None
    allow_host: Annotated[tuple[str, ...], "A host name that clients use for this server."] = ()
    allow_origin: Annotated[
        tuple[str, ...], "An origin, https://..., whose pages may call it."
    ] = ()
    private: Annotated[
        bool, "Private mode: pages may load the network, and images stay on the device."
    ] = True
    certificate: Annotated[Path | None, "The PEM file of the TLS certificate; needs --key."] = None
    key: Annotated[Path | None, "The PEM file of the certificate's key."] = None
    max_bytes: Annotated[int, "Maximum size of a request body, in bytes."] = 8_000_000
    max_pixels: Annotated[int, "Maximum size of an image, in pixels."] = 25_000_000
    max_side: Annotated[int, "Maximum side of an image, in pixels."] = 20_000
    max_scans: Annotated[int, "Maximum number of scans of a JPEG; a typical file has 1 or 10."] = (
        100
    )
    max_batch_pixels: Annotated[int, "Maximum total pixels per batch."] = 48_000_000
    picture_seconds: Annotated[float, "Timeout for decoding an image, in seconds."] = 5.0
    batch_seconds: Annotated[float, "Timeout for decoding a batch, in seconds."] = 20.0
    body_seconds: Annotated[float, "Timeout for receiving a request, in seconds."] = 10.0
    waiting: Annotated[int, "Maximum number of images queued or in progress."] = 64
    patience: Annotated[
        float, "Maximum expected wait per image, in seconds; above it the server returns 429."
    ] = 0.05
    connections: Annotated[int, "Maximum number of connections."] = 256
    streams: Annotated[int, "Maximum number of connections that are video streams."] = 16
    watched: Annotated[int, "Number of recent faces for the drift measurement."] = 1000
    drain_seconds: Annotated[float, "Timeout for open requests after SIGTERM, in seconds."] = 20.0
    feedback: Annotated[Path | None, "The folder for user feedback; enables /v1/feedback."] = None
    feedback_pictures: Annotated[bool, "Also store faces, with people's consent."] = False
    feedback_most: Annotated[int, "Maximum number of feedback entries to store."] = 10_000
    audit: Annotated[Path, "The audit log, without personal data."] = AUDIT_LOG
    keep: Annotated[Path, "The folder for the last working bundle."] = LAST_GOOD

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names this server accepts, without ports."""
        return (*self.allow_host, self.host, *LOOPBACK[:1], "::1", "[::1]", "localhost")


def checked(settings: Settings) -> Settings:
    """Validate the settings and return them; ``UserError`` names what is wrong."""
    if settings.host not in LOOPBACK and settings.token_file is None:
        raise UserError(f"--host {settings.host} is not loopback: name a --token-file")
    if (settings.certificate is None) != (settings.key is None):
        raise UserError("--certificate and --key go together")
    if settings.feedback_pictures and settings.feedback is None:
        raise UserError("--feedback-pictures needs --feedback FOLDER")
    for name, (least, most) in RANGES.items():
        value, option = getattr(settings, name), f"--{name.replace('_', '-')}"
        if fault := _fault(value, least, most):
            raise UserError(f"{option} {value} {fault}; choose {least:,} to {most:,}")
    for path in (settings.certificate, settings.key):
        if path and not path.is_file():
            raise UserError(f"{path} does not exist")
    refuse_other_content(settings.keep)
    return settings


def _fault(value: float, least: float, most: float) -> str | None:
    if least <= value <= most:
        return None
    if math.isnan(value):
        return "is not a number"
    if value <= 0 < least:
        return "is not positive"
    return f"is less than {least:g}" if value < least else f"is more than {most:g}"
