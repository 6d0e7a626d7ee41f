"""A bucket is made or checked, and proved to be of use."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from unveil.common.errors import UserError
from unveil.storage.client import client, code, told
from unveil.storage.location import Place
from unveil.storage.settings import bring_up

UNNAMED = (None, "us-east-1", "aws-global")
"""Regions in which a bucket is made without saying where."""


def create(place: Place, *, keys: Mapping[str, str], retention_days: int | None) -> Iterator[str]:
    """Make or check the bucket, and prove that objects can be written, read and deleted there.

    Yields one line for each thing as it is done; a second time it changes nothing.

    Args:
        place: Where.
        keys: What DVC's configuration has of this remote: credentials, a profile.
        retention_days: How long what was deleted can be had back; ``None`` keeps what is set.

    Raises:
        UserError: what a person can mend, without a word of the credentials.
    """
    s3 = client(place, keys)
    with told(place, "look into it"):
        there = _is_there(s3, place)
    if not there:
        with told(place, "make a bucket, and there is none of this name"):
            _make(s3, place)
    yield f"bucket {place.bucket}: {'is there' if there else 'made'}"
    with told(place, "set it up"):
        yield from bring_up(s3, place, retention_days)
    yield f"probe: {_prove(s3, place)}"


def _versions(page: Mapping[str, Any]) -> list[Any]:
    return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


def _is_there(s3: Any, place: Place) -> bool:
    try:
        # Not HEAD: its refusal has no body, and so no reason.
        s3.list_objects_v2(Bucket=place.bucket, Prefix=place.below, MaxKeys=1)
    except ClientError as error:
        if code(error) != "NoSuchBucket":
            raise
        return False
    return True


def _make(s3: Any, place: Place) -> None:
    region = s3.meta.region_name
    where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=place.bucket, **({} if region in UNNAMED else where))
    except ClientError as error:
        if code(error) != "BucketAlreadyOwnedByYou":
            raise


def _prove(s3: Any, place: Place) -> str:
    key, content = f"{place.below}unveil-probe-{uuid4()}", b"unveil"
    with told(place, "write to it"):
        put = s3.put_object(Bucket=place.bucket, Key=key, Body=content)
    try:
        with told(place, "read from it"):
            read = s3.get_object(Bucket=place.bucket, Key=key)["Body"].read()
    finally:
        deleted = _delete(s3, place.bucket, key, put.get("VersionId"))
    if read != content:
        raise UserError(f"{place.url}: gives back other bytes than were written")
    return f"written, read, {deleted}"


def _delete(s3: Any, bucket: str, key: str, version: str | None) -> str:
    # A worker may delete objects and no versions, or nothing at all; DVC needs neither.
    attempts = [({"VersionId": version}, "deleted")] if version else []
    for exactly, said in [*attempts, ({}, "hidden until it expires" if version else "deleted")]:
        try:
            s3.delete_object(Bucket=bucket, Key=key, **exactly)
        except ClientError:
            continue
        return said
    return f"NOT DELETED, these credentials may not: {key}"
