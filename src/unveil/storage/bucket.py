"""Create or check a bucket, and verify that it can be used."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from unveil.common.errors import UserError
from unveil.storage.client import client, error_code, s3_errors
from unveil.storage.location import StorageLocation
from unveil.storage.settings import apply_settings

UNNAMED = (None, "us-east-1", "aws-global")
"""Regions in which a bucket is created without a location constraint."""


def create(
    location: StorageLocation, *, keys: Mapping[str, str], retention_days: int | None
) -> Iterator[str]:
    """Create or check the bucket, and verify that objects can be written, read and deleted.

    Yields one line for each step. Idempotent.

    Args:
        location: The bucket and its server.
        keys: DVC's configuration of this remote: credentials, a profile.
        retention_days: Days for which deleted objects can be restored; ``None`` keeps the setting.

    Raises:
        UserError: S3 refuses a step or cannot be reached; the message has no credentials.
    """
    s3 = client(location, keys)
    with s3_errors(location, "read the bucket"):
        there = _is_there(s3, location)
    if not there:
        with s3_errors(location, "create the bucket, which does not exist"):
            _create_bucket(s3, location)
    yield f"bucket {location.bucket}: {'exists' if there else 'created'}"
    with s3_errors(location, "configure the bucket"):
        yield from apply_settings(s3, location, retention_days)
    yield f"probe: {_probe(s3, location)}"


def _is_there(s3: Any, location: StorageLocation) -> bool:
    try:
        # Not HEAD: its error response has no body, and so no reason.
        s3.list_objects_v2(Bucket=location.bucket, Prefix=location.key_prefix, MaxKeys=1)
    except ClientError as error:
        if error_code(error) != "NoSuchBucket":
            raise
        return False
    return True


def _create_bucket(s3: Any, location: StorageLocation) -> None:
    region = s3.meta.region_name
    where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=location.bucket, **({} if region in UNNAMED else where))
    except ClientError as error:
        if error_code(error) != "BucketAlreadyOwnedByYou":
            raise


def _probe(s3: Any, location: StorageLocation) -> str:
    key, content = f"{location.key_prefix}unveil-probe-{uuid4()}", b"unveil"
    with s3_errors(location, "write to it"):
        put = s3.put_object(Bucket=location.bucket, Key=key, Body=content)
    try:
        with s3_errors(location, "read from it"):
            read = s3.get_object(Bucket=location.bucket, Key=key)["Body"].read()
    finally:
        deleted = _delete(s3, location.bucket, key, put.get("VersionId"))
    if read != content:
        raise UserError(f"{location.url}: returned other bytes than were written")
    return f"written, read, {deleted}"


def _delete(s3: Any, bucket: str, key: str, version: str | None) -> str:
    # Credentials may allow deleting objects but no versions, or nothing; DVC needs neither.
    attempts = [({"VersionId": version}, "deleted")] if version else []
    for exactly, outcome in [*attempts, ({}, "hidden until it expires" if version else "deleted")]:
        try:
            s3.delete_object(Bucket=bucket, Key=key, **exactly)
        except ClientError:
            continue
        return outcome
    return f"NOT DELETED, these credentials may not: {key}"
