"""What a bucket for faces has set, and how it comes to be so.

Takes a bucket that is there; makes it private, encrypted and versioned, and lets it forget what
was deleted. What somebody has set otherwise is left as it is, and said.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from unveil.common.errors import UserError
from unveil.storage.client import code
from unveil.storage.location import Place

RETENTION_DAYS = 90
ABORT_DAYS = 7
NOT_OFFERED = {"NotImplemented", "MethodNotAllowed", "NotSupported", "UnsupportedOperation"}
FORBIDDEN = {"AccessDenied", "403"}
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """One setting of a bucket, by the names boto3 has for it."""

    name: str
    operation: str
    argument: str
    wanted: Found
    otherwise: Callable[[Found], str]
    """What somebody has set otherwise than wanted; empty where it is right."""
    needed: bool = False
    """Whether faces may lie nowhere where it is otherwise."""


def _open_blocks(found: Found) -> str:
    lacking = [name for name in BLOCKS if not found.get(name)]
    return f"{', '.join(lacking)} off" if lacking else ""


def _ownership(found: Found) -> str:
    rule = str(found["Rules"][0].get("ObjectOwnership"))
    return "" if rule == "BucketOwnerEnforced" else rule


def _encryption(_: Found) -> str:
    return ""  # whatever is set encrypts


def _versioning(found: Found) -> str:
    return "" if found.get("Status") == "Enabled" else str(found.get("Status"))


AES256 = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
SETTINGS = (
    Setting(
        "public access blocked",
        "public_access_block",
        "PublicAccessBlockConfiguration",
        dict.fromkeys(BLOCKS, True),
        _open_blocks,
        needed=True,
    ),
    Setting(
        "objects owned by the bucket's owner",
        "bucket_ownership_controls",
        "OwnershipControls",
        {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        _ownership,
    ),
    Setting(
        "encrypted",
        "bucket_encryption",
        "ServerSideEncryptionConfiguration",
        {"Rules": [AES256]},
        _encryption,
    ),
    Setting(
        "versions kept",
        "bucket_versioning",
        "VersioningConfiguration",
        {"Status": "Enabled"},
        _versioning,
    ),
)


def bring_up(client: Any, place: Place, retention_days: int | None) -> Iterator[str]:
    """Set what a bucket lacks; yields one line for each setting.

    Args:
        client: Of S3.
        place: The bucket; what is deleted below its prefix is forgotten after a while.
        retention_days: Days until then; ``None`` keeps what is set, else 90.

    Raises:
        UserError: somebody has opened the bucket to the public.
    """
    for setting in SETTINGS:
        yield f"{setting.name}: {_tried(partial(_bring_up, client, place, setting))}"
    yield f"retention: {_tried(partial(_retain, client, place, retention_days))}"


def _tried(act: Callable[[], str]) -> str:
    try:
        return act()
    except ClientError as error:
        name = code(error)
        if name in NOT_OFFERED:
            return f"NOT SET, this server does not offer it ({name})"
        if name in FORBIDDEN:
            return f"NOT CHECKED, these credentials may not ({name})"
        return f"NOT SET, refused ({name})"


def _bring_up(client: Any, place: Place, setting: Setting) -> str:
    found = _read(client, place, setting.operation, setting.argument)
    if found:
        differs = setting.otherwise(found)
        if differs and setting.needed:
            raise UserError(f"{place.url}: {differs}; block public access, or take another bucket")
        return f"DIFFERS, left as it is: {differs}" if differs else "yes, as before"
    write = getattr(client, f"put_{setting.operation}")
    write(Bucket=place.bucket, **{setting.argument: setting.wanted})
    # Some servers say yes to what they do not know.
    kept = _read(client, place, setting.operation, setting.argument)
    return "yes, set now" if kept else "NOT SET, this server accepts it and forgets it"


def _read(client: Any, place: Place, operation: str, argument: str) -> Found:
    """Give a setting, empty where there is none."""
    try:
        answer = getattr(client, f"get_{operation}")(Bucket=place.bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return {}
    found: Found = answer.get(argument, answer)
    beside = ("ResponseMetadata", "MFADelete")
    return {name: value for name, value in found.items() if name not in beside and value != []}


def _retain(client: Any, place: Place, days: int | None) -> str:
    answer = dict(_read(client, place, "bucket_lifecycle_configuration", ""))
    rules = answer.pop("Rules", [])
    ours = _rule(place, days or RETENTION_DAYS)
    before = [rule for rule in rules if rule.get("ID") == ours["ID"]]
    others = [rule for rule in rules if rule.get("ID") != ours["ID"]]
    kept = before and _days(before[0])
    if not kept or (days and days != kept):
        # One document for the whole bucket: what others wrote into it goes along.
        document = {"Rules": [*others, ours]}
        client.put_bucket_lifecycle_configuration(
            Bucket=place.bucket, LifecycleConfiguration=document, **answer
        )
        kept = _days(ours)
    said = f"versions expire {kept} days after they are deleted or replaced"
    return "; ".join([said, *(_deletes(rule, place) for rule in others if _deletes(rule, place))])


def _rule(place: Place, days: int) -> dict[str, Any]:
    return {
        "ID": f"unveil {place.below or '/'}"[:255],
        "Status": "Enabled",
        "Filter": {"Prefix": place.below},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
    }


def _days(rule: Found) -> int | None:
    if rule.get("Status") != "Enabled":
        return None
    found: int | None = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    return found


def _deletes(rule: Found, place: Place) -> str:
    """Say where another's rule deletes versions that somebody may still need."""
    chosen = rule.get("Filter", {})
    chosen = chosen.get("And", chosen)
    prefix = str(chosen.get("Prefix", rule.get("Prefix", "")))
    meets = prefix.startswith(place.below) or place.below.startswith(prefix)
    tagged = {"Tag", "Tags"} & set(chosen)  # DVC's objects have no tags
    expires = {"Days", "Date"} & set(rule.get("Expiration", {}))
    if rule.get("Status") != "Enabled" or tagged or not (meets and expires):
        return ""
    return f"DIFFERS, left as it is: rule {str(rule.get('ID'))[:80]!r} deletes what is in use"
