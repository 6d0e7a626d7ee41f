"""Settings of a bucket for faces: private, encrypted, versioned, with an expiry of deleted objects.

Missing settings are applied to an existing bucket. Settings that differ are reported and left
unchanged.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from unveil.common.errors import UserError
from unveil.storage.client import error_code
from unveil.storage.location import StorageLocation

RETENTION_DAYS = 90
ABORT_DAYS = 7
NOT_OFFERED = {"NotImplemented", "MethodNotAllowed", "NotSupported", "UnsupportedOperation"}
FORBIDDEN = {"AccessDenied", "403"}
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")

Configuration = Mapping[str, Any]


@dataclass(frozen=True)
class BucketSetting:
    """One setting of a bucket, with its boto3 operation and argument."""

    name: str
    operation: str
    argument: str
    wanted: Configuration
    otherwise: Callable[[Configuration], str]
    """Returns how the current value differs from the wanted one; empty if it does not."""
    needed: bool = False
    """Whether a bucket with another value is refused."""


def _open_blocks(found: Configuration) -> str:
    lacking = [name for name in BLOCKS if not found.get(name)]
    return f"{', '.join(lacking)} off" if lacking else ""


def _ownership(found: Configuration) -> str:
    rule = str(found["Rules"][0].get("ObjectOwnership"))
    return "" if rule == "BucketOwnerEnforced" else rule


def _encryption(_: Configuration) -> str:
    return ""  # any value means encrypted


def _versioning(found: Configuration) -> str:
    return "" if found.get("Status") == "Enabled" else str(found.get("Status"))


AES256 = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
SETTINGS = (
    BucketSetting(
        "public access blocked",
        "public_access_block",
        "PublicAccessBlockConfiguration",
        dict.fromkeys(BLOCKS, True),
        _open_blocks,
        needed=True,
    ),
    BucketSetting(
        "objects owned by the bucket's owner",
        "bucket_ownership_controls",
        "OwnershipControls",
        {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        _ownership,
    ),
    BucketSetting(
        "encrypted",
        "bucket_encryption",
        "ServerSideEncryptionConfiguration",
        {"Rules": [AES256]},
        _encryption,
    ),
    BucketSetting(
        "versions kept",
        "bucket_versioning",
        "VersioningConfiguration",
        {"Status": "Enabled"},
        _versioning,
    ),
)


def apply_settings(
    client: Any, location: StorageLocation, retention_days: int | None
) -> Iterator[str]:
    """Apply the missing settings of a bucket; yields one line for each setting.

    Args:
        client: An S3 client.
        location: The bucket; deleted objects below its prefix expire.
        retention_days: Days until they expire; ``None`` keeps the current value, or sets 90.

    Raises:
        UserError: the bucket is open to the public.
    """
    for setting in SETTINGS:
        yield f"{setting.name}: {_status(partial(_apply, client, location, setting))}"
    yield f"retention: {_status(partial(_apply_retention, client, location, retention_days))}"


def _status(act: Callable[[], str]) -> str:
    try:
        return act()
    except ClientError as error:
        name = error_code(error)
        if name in NOT_OFFERED:
            return f"NOT SET, this server does not offer it ({name})"
        if name in FORBIDDEN:
            return f"NOT CHECKED, these credentials may not ({name})"
        return f"NOT SET, refused ({name})"


def _apply(client: Any, location: StorageLocation, setting: BucketSetting) -> str:
    found = _read(client, location, setting.operation, setting.argument)
    if found:
        differs = setting.otherwise(found)
        if differs and setting.needed:
            raise UserError(
                f"{location.url}: {differs}; block public access, or take another bucket"
            )
        return f"DIFFERS, left as it is: {differs}" if differs else "yes, as before"
    write = getattr(client, f"put_{setting.operation}")
    write(Bucket=location.bucket, **{setting.argument: setting.wanted})
    # Some servers accept settings that they do not support.
    kept = _read(client, location, setting.operation, setting.argument)
    return "yes, set now" if kept else "NOT SET, this server accepts it and forgets it"


def _read(client: Any, location: StorageLocation, operation: str, argument: str) -> Configuration:
    """Return the current value of a setting, empty if not set."""
    try:
        answer = getattr(client, f"get_{operation}")(Bucket=location.bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return {}
    found: Configuration = answer.get(argument, answer)
    beside = ("ResponseMetadata", "MFADelete")
    return {name: value for name, value in found.items() if name not in beside and value != []}


def _apply_retention(client: Any, location: StorageLocation, days: int | None) -> str:
    answer = dict(_read(client, location, "bucket_lifecycle_configuration", ""))
    rules = answer.pop("Rules", [])
    ours = _rule(location, days or RETENTION_DAYS)
    before = [rule for rule in rules if rule.get("ID") == ours["ID"]]
    others = [rule for rule in rules if rule.get("ID") != ours["ID"]]
    kept = before and _days(before[0])
    if not kept or (days and days != kept):
        # The lifecycle of a bucket is one document: the rules of others are kept.
        document = {"Rules": [*others, ours]}
        client.put_bucket_lifecycle_configuration(
            Bucket=location.bucket, LifecycleConfiguration=document, **answer
        )
        kept = _days(ours)
    line = f"versions expire {kept} days after they are deleted or replaced"
    return "; ".join(
        [
            line,
            *(
                _deletion_warning(rule, location)
                for rule in others
                if _deletion_warning(rule, location)
            ),
        ]
    )


def _rule(location: StorageLocation, days: int) -> dict[str, Any]:
    return {
        "ID": f"unveil {location.key_prefix or '/'}"[:255],
        "Status": "Enabled",
        "Filter": {"Prefix": location.key_prefix},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
    }


def _days(rule: Configuration) -> int | None:
    if rule.get("Status") != "Enabled":
        return None
    found: int | None = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    return found


def _deletion_warning(rule: Configuration, location: StorageLocation) -> str:
    """Return a warning if another lifecycle rule deletes objects in use, else an empty text."""
    chosen = rule.get("Filter", {})
    chosen = chosen.get("And", chosen)
    prefix = str(chosen.get("Prefix", rule.get("Prefix", "")))
    meets = prefix.startswith(location.key_prefix) or location.key_prefix.startswith(prefix)
    tagged = {"Tag", "Tags"} & set(chosen)  # DVC's objects have no tags
    expires = {"Days", "Date"} & set(rule.get("Expiration", {}))
    if rule.get("Status") != "Enabled" or tagged or not (meets and expires):
        return ""
    return f"DIFFERS, left as it is: rule {str(rule.get('ID'))[:80]!r} deletes what is in use"
