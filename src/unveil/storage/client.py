"""A client of S3 that gives up within seconds, and says in one line what S3 will not do."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore import exceptions as known
from botocore.config import Config

from unveil.common.errors import UserError
from unveil.storage.location import Place

CONNECT, READ, ATTEMPTS = 5, 10, 2
"""Seconds to reach a server and to wait for its answer, and how often it is asked."""
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


def client(place: Place, keys: Mapping[str, str]) -> Any:
    """Make a client, with the credentials DVC would take.

    Args:
        place: Where.
        keys: What DVC's configuration has of the remote; what it lacks boto3 looks for.
    """
    # Checksums as DVC has them, by default: a probe by other rules would prove nothing.
    patience = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
    with told(place, "use it"):
        session = boto3.Session(
            aws_access_key_id=keys.get("access_key_id"),
            aws_secret_access_key=keys.get("secret_access_key"),
            aws_session_token=keys.get("session_token"),
            profile_name=keys.get("profile"),
            region_name=place.region,
        )
        config = Config(connect_timeout=CONNECT, read_timeout=READ, retries=patience)
        return session.client("s3", endpoint_url=place.endpoint, config=config)


def code(error: known.ClientError) -> str:
    """Give the word S3 refused with."""
    word = str(error.response.get("Error", {}).get("Code", ""))
    return re.sub(r"\W", "", word, flags=re.ASCII)[:60] or "unknown"


@contextmanager
def told(place: Place, act: str) -> Iterator[None]:
    """Turn what S3 refuses into one line that says what these credentials may not.

    An answer's own words are not repeated, and the cause is cut off: with it a traceback would
    show a request, whose headers name the key.
    """
    try:
        yield
    except known.ClientError as error:
        name = code(error)
        reason = REFUSED.get("AccessDenied" if name == "403" else name, "could not {act}")
        raise UserError(f"{place.url}: {reason.format(act=act)} ({name})") from None
    except (known.BotoCoreError, ValueError) as error:
        raise UserError(f"{place.url}: {_unreached(error, place.endpoint or 'S3')}") from None


def _unreached(error: Exception, server: str) -> str:
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
