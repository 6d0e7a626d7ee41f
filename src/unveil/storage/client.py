"""An S3 client with short timeouts, and one-line error messages."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore import exceptions as known
from botocore.config import Config

from unveil.common.errors import UserError
from unveil.storage.location import StorageLocation

CONNECT, READ, ATTEMPTS = 5, 10, 2
"""Connect and read timeouts in seconds, and the number of attempts."""
DVC_TIMEOUTS = {"connect_timeout": 10, "read_timeout": 20}
"""Timeouts of DVC's transfers in seconds; each request is tried six times."""
REFUSED = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key is not the one of this access key",
    "InvalidToken": "the session token is not valid",
    "ExpiredToken": "the session token has expired",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "AccessDenied": "these credentials may not {act}, or it belongs to someone else",
    "BucketAlreadyExists": "the name is taken by someone else; choose another",
    "NoSuchBucket": "there is no such bucket",
}


def client(location: StorageLocation, keys: Mapping[str, str]) -> Any:
    """Create an S3 client with the credentials that DVC would use.

    Args:
        location: The bucket and its server.
        keys: DVC's configuration of the remote; missing credentials are looked up by boto3.
    """
    # Default checksums, as DVC uses: a probe with other settings would prove nothing.
    patience = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
    with s3_errors(location, "use it"):
        session = boto3.Session(
            aws_access_key_id=keys.get("access_key_id"),
            aws_secret_access_key=keys.get("secret_access_key"),
            aws_session_token=keys.get("session_token"),
            profile_name=keys.get("profile"),
            region_name=location.region,
        )
        config = Config(connect_timeout=CONNECT, read_timeout=READ, retries=patience)
        return session.client("s3", endpoint_url=location.endpoint, config=config)


def error_code(error: known.ClientError) -> str:
    """Return the error code of S3, such as ``NoSuchBucket``."""
    word = str(error.response.get("Error", {}).get("Code", ""))
    return re.sub(r"\W", "", word, flags=re.ASCII)[:60] or "unknown"


@contextmanager
def s3_errors(location: StorageLocation, act: str) -> Iterator[None]:
    """Turn S3 errors into a one-line ``UserError``; ``act`` completes "these credentials may not".

    The server's own text is not repeated, and the cause is dropped: a traceback would show the
    request, whose headers contain the access key.
    """
    try:
        yield
    except known.ClientError as error:
        name = error_code(error)
        reason = REFUSED.get("AccessDenied" if name == "403" else name, "could not {act}")
        raise UserError(f"{location.url}: {reason.format(act=act)} ({name})") from None
    except (known.BotoCoreError, ValueError) as error:
        raise UserError(
            f"{location.url}: {_connection_error(error, location.endpoint or 'S3')}"
        ) from None


def _connection_error(error: Exception, server: str) -> str:
    match error:
        case known.NoCredentialsError():
            return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        case known.PartialCredentialsError() | known.ProfileNotFound():
            return " ".join(str(error).split())
        case known.ConnectTimeoutError() | known.ReadTimeoutError():
            return f"{server} gives no answer within {ATTEMPTS * READ} seconds"
        case known.SSLError():
            return f"{server} has no certificate that is trusted here"
        case known.EndpointConnectionError() | known.ConnectionClosedError():
            return f"{server} cannot be connected to"
    return f"cannot be used ({type(error).__name__})"
