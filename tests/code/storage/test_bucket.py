"""Buckets are created and checked on a real S3 server; what S3 refuses is a one-line error."""

import contextlib
import socket
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.support import buckets, servers

from unveil import storage
from unveil.common.errors import UserError

EVERYONE = "arn:aws:s3:::*"
SET_NOW = [
    "public access blocked: yes, set now",
    "objects owned by the bucket's owner: yes, set now",
    "encrypted: yes, set now",
    "versions kept: yes, set now",
    "retention: versions expire 90 days after they are deleted or replaced",
    "probe: written, read, deleted",
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with servers.s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with servers.guarded_s3_server(folder, buckets.POLICIES) as given:
        yield given


@pytest.fixture(autouse=True)
def keys(monkeypatch) -> None:
    buckets.forget_credentials(monkeypatch)
    use(monkeypatch, servers.S3_KEYS)


def use(monkeypatch, keys) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)


def create(url: str, endpoint: str, *, days: int | None = None, **options) -> list[str]:
    place = storage.parse_location(url, endpoint=endpoint, **options)
    return list(storage.create(place, keys={}, retention_days=days))


def settings(endpoint: str, bucket: str) -> dict:
    """Return all settings of a bucket, None where not set."""
    found = {}
    for name in (
        "public_access_block",
        "bucket_ownership_controls",
        "bucket_encryption",
        "bucket_versioning",
        "bucket_lifecycle_configuration",
    ):
        try:
            found[name] = getattr(servers.s3(endpoint), f"get_{name}")(Bucket=bucket)
            del found[name]["ResponseMetadata"]
        except ClientError:
            found[name] = None
    return found


def test_a_bucket_is_private_encrypted_versioned_and_has_an_expiry(endpoint):
    assert create("s3://made/unveil", endpoint) == ["bucket made: created", *SET_NOW]
    found = settings(endpoint, "made")
    assert set(found["public_access_block"]["PublicAccessBlockConfiguration"].values()) == {True}
    owned = found["bucket_ownership_controls"]["OwnershipControls"]["Rules"]
    assert owned == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "AES256" in str(found["bucket_encryption"])
    assert found["bucket_versioning"] == {"Status": "Enabled"}
    (rule,) = found["bucket_lifecycle_configuration"]["Rules"]
    assert rule["Filter"] == {"Prefix": "unveil/"}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert "Days" not in rule["Expiration"]
    assert servers.s3(endpoint).list_object_versions(Bucket="made").get("Versions", []) == []


def test_a_second_time_nothing_changes(endpoint):
    create("s3://twice/unveil", endpoint, days=30)
    before = settings(endpoint, "twice")
    said = create("s3://twice/unveil", endpoint)
    assert settings(endpoint, "twice") == before
    assert said[0] == "bucket twice: exists"
    assert not [line for line in said if "set now" in line]
    assert "retention: versions expire 30 days after they are deleted or replaced" in said


def test_the_retention_is_set_on_request_and_for_each_prefix(endpoint):
    create("s3://days/one", endpoint, days=30)
    create("s3://days/two", endpoint)
    create("s3://days/one", endpoint, days=7)
    rules = settings(endpoint, "days")["bucket_lifecycle_configuration"]["Rules"]
    days = {
        rule["Filter"]["Prefix"]: rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in rules
    }
    assert days == {"one/": 7, "two/": 90}


def test_existing_settings_are_kept_and_reported(endpoint):
    client = servers.s3(endpoint)
    client.create_bucket(Bucket="shared", ObjectOwnership="ObjectWriter")
    suspended = {"Status": "Suspended"}
    client.put_bucket_versioning(Bucket="shared", VersioningConfiguration=suspended)
    by_key = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    rules = {"Rules": [by_key]}
    client.put_bucket_encryption(Bucket="shared", ServerSideEncryptionConfiguration=rules)
    harmful = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": ""}}
    harmful["Expiration"] = {"Days": 30}
    harmless = {**harmful, "ID": "logs", "Filter": {"Prefix": "logs/"}}
    configuration = {"Rules": [harmful, harmless]}
    client.put_bucket_lifecycle_configuration(Bucket="shared", LifecycleConfiguration=configuration)
    before = settings(endpoint, "shared")
    said = create("s3://shared/unveil", endpoint)
    after = settings(endpoint, "shared")
    assert after.pop("public_access_block") != before.pop("public_access_block")
    *others, ours = after["bucket_lifecycle_configuration"].pop("Rules")
    assert ours["Filter"] == {"Prefix": "unveil/"}
    assert others == before["bucket_lifecycle_configuration"].pop("Rules")
    assert after == before
    assert said[1:6] == [
        "public access blocked: yes, set now",
        "objects owned by the bucket's owner: DIFFERS, left as it is: ObjectWriter",
        "encrypted: yes, as before",
        "versions kept: DIFFERS, left as it is: Suspended",
        "retention: versions expire 90 days after they are deleted or replaced; "
        "DIFFERS, left as it is: rule 'tidy' deletes what is in use",
    ]


def test_a_public_bucket_is_refused(endpoint):
    client = servers.s3(endpoint)
    client.create_bucket(Bucket="open")
    client.put_public_access_block(
        Bucket="open",
        PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": True},
    )
    before = settings(endpoint, "open")
    reason = "BlockPublicPolicy, RestrictPublicBuckets off; block public access, or take another"
    with pytest.raises(UserError, match=f"s3://open/unveil: {reason}"):
        create("s3://open/unveil", endpoint)
    assert settings(endpoint, "open") == before


def test_unsupported_settings_are_reported_and_the_others_applied(endpoint):
    absent = ("publicAccessBlock", "ownershipControls", "lifecycle")
    not_there = dict.fromkeys(absent, (501, "NotImplemented"))
    with buckets.in_front_of(endpoint, lambda _, query: not_there.get(query)) as less:
        said = create("s3://less/unveil", less)
    words = "NOT SET, this server does not offer it (NotImplemented)"
    assert said == [
        "bucket less: created",
        f"public access blocked: {words}",
        f"objects owned by the bucket's owner: {words}",
        "encrypted: yes, set now",
        "versions kept: yes, set now",
        f"retention: {words}",
        "probe: written, read, deleted",
    ]


def test_settings_that_a_server_ignores_are_reported(endpoint):
    def answer(method, query):
        return (200, "") if (method, query) == ("PUT", "encryption") else None

    with buckets.in_front_of(endpoint, answer) as forgetful:
        said = create("s3://forgetful/unveil", forgetful)
    assert "encrypted: NOT SET, this server accepts it and forgets it" in said


def test_a_bucket_is_created_in_the_given_region(endpoint):
    create("s3://abroad/unveil", endpoint, region="eu-central-1")
    found = servers.s3(endpoint).get_bucket_location(Bucket="abroad")
    assert found["LocationConstraint"] == "eu-central-1"


@contextlib.contextmanager
def refused(*words: str, secrets=()):
    """Expect a one-line error with these words and, with its traceback, without secrets."""
    with pytest.raises(UserError) as caught:
        yield
    said = str(caught.value)
    assert "\n" not in said
    assert [word for word in words if word not in said] == []
    told = "".join(traceback.format_exception(caught.value))
    assert [secret for secret in secrets if secret in told] == []


@pytest.mark.fault("S3 credentials missing, wrong or insufficient")
@pytest.mark.parametrize(
    ("who", "change", "url", "words"),
    [
        ("owner", {"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "s3://faces/unveil", "InvalidAccessKeyId"),
        (
            "owner",
            {"AWS_SECRET_ACCESS_KEY": "another"},
            "s3://faces/unveil",
            "the secret key is not the one of this access key (SignatureDoesNotMatch)",
        ),
        (
            "reader",
            {},
            "s3://faces/unveil",
            "s3://faces/unveil: these credentials may not write to it",
        ),
        (
            "stranger",
            {},
            "s3://faces/unveil",
            "these credentials may not read the bucket",
        ),
        ("owner", {}, "s3://taken/unveil", "it belongs to someone else (AccessDenied)"),
    ],
)
def test_invalid_credentials_are_a_one_line_error(guarded, monkeypatch, who, change, url, words):
    endpoint, keys = guarded
    use(monkeypatch, keys["owner"])
    create("s3://faces/unveil", endpoint)
    asked = {**keys[who], **change}
    use(monkeypatch, asked)
    secrets = (asked["AWS_ACCESS_KEY_ID"], asked["AWS_SECRET_ACCESS_KEY"])
    with refused(words, secrets=secrets):
        create(url, endpoint)


def test_the_documented_permissions_suffice_to_create_a_bucket(guarded, monkeypatch):
    endpoint, keys = guarded
    use(monkeypatch, keys["founder"])
    made = create("s3://founded/unveil", endpoint)
    assert made == ["bucket founded: created", *SET_NOW]
    assert "NOT" not in " ".join(create("s3://founded/unveil", endpoint))
    with refused("AccessDenied"):
        create("s3://founded/elsewhere", endpoint)
    document = (ROOT / "docs/operations.md").read_text()
    for name in buckets.SETTINGS:
        assert f"`{name}`" in document


@pytest.mark.fault("two set up one bucket at once")
def test_concurrent_creations_both_succeed(endpoint):
    with ThreadPoolExecutor(4) as pool:
        urls = [f"s3://together/{prefix}" for prefix in ("one", "one", "two", "two")]
        said = list(pool.map(lambda url: create(url, endpoint), urls))
    assert all(lines[-1] == "probe: written, read, deleted" for lines in said)
    create("s3://together/one", endpoint)
    create("s3://together/two", endpoint)
    rules = settings(endpoint, "together")["bucket_lifecycle_configuration"]["Rules"]
    assert sorted(rule["Filter"]["Prefix"] for rule in rules) == ["one/", "two/"]
    assert servers.s3(endpoint).list_object_versions(Bucket="together").get("Versions", []) == []


def test_a_missing_bucket_without_permission_is_a_one_line_error(tmp_path, monkeypatch):
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": EVERYONE}
    policies = {"lister": {"Version": "2012-10-17", "Statement": [listing]}}
    with servers.guarded_s3_server(tmp_path, policies) as (endpoint, keys):
        use(monkeypatch, keys["lister"])
        with refused("may not create the bucket, which does not exist", "(AccessDenied)"):
            create("s3://absent/unveil", endpoint)


def test_a_worker_may_check_the_bucket_and_missing_permissions_are_named(guarded, monkeypatch):
    endpoint, keys = guarded
    use(monkeypatch, keys["owner"])
    create("s3://faces/unveil", endpoint)
    use(monkeypatch, keys["worker"])
    said = create("s3://faces/unveil", endpoint)
    assert "versions kept: NOT CHECKED, these credentials may not (AccessDenied)" in said
    assert said[-1].startswith("probe: written, read, NOT DELETED, these credentials may not: unv")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "s3://faces/unveil: no credentials; set AWS_ACCESS_KEY_ID and"),
        ({"AWS_ACCESS_KEY_ID": "AKIAHALF"}, "missing: AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
    ],
)
def test_missing_or_partial_credentials_are_a_one_line_error(endpoint, monkeypatch, env, words):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    use(monkeypatch, env)
    with refused(words):
        create("s3://faces/unveil", endpoint)


def test_a_key_with_a_line_break_is_refused_and_not_shown(endpoint, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRET\nX")
    with refused("s3://faces/unveil: cannot be used", secrets=["AKIASECRET"]):
        create("s3://faces/unveil", endpoint)


@pytest.mark.fault("S3 server refuses, is mute, or is none")
def test_an_unreachable_server_is_a_one_line_error_within_seconds():
    began = time.monotonic()
    with refused("cannot be connected to"):
        create("s3://faces/unveil", f"http://127.0.0.1:{servers.free_port()}")
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        refused("gives no answer within 20 seconds"),
    ):
        create("s3://faces/unveil", f"http://127.0.0.1:{mute.getsockname()[1]}")
    assert time.monotonic() - began < 60


def test_a_server_that_is_not_s3_is_a_one_line_error(endpoint):
    with (
        buckets.in_front_of(endpoint, lambda *_: (200, "<h1>Welcome")) as other,
        refused("s3://faces/unveil: could not read the bucket (500)"),
    ):
        create("s3://faces/unveil", other)


LABEL = st.from_regex(r"[a-z0-9][a-z0-9-]{1,20}[a-z0-9]", fullmatch=True)
NAME = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9!_.*'()-]{0,20}", fullmatch=True)


@given(LABEL, LABEL, st.lists(NAME, max_size=4))
def test_a_remote_url_is_parsed(one, two, names):
    url = "/".join([f"s3://{one}.{two}", *names])
    read = storage.parse_location(f"{url}/")
    assert (read.bucket, read.prefix, read.url) == (f"{one}.{two}", "/".join(names), url)


@pytest.mark.parametrize(
    "url",
    [
        *("faces", "s3:/faces", "s3://", "s3://ab/x", "S3://faces/x", "http://faces/x"),
        *("s3://Faces/x", "s3://fa_ces/x", "s3://-faces/x", "s3://faces-/x", "s3://fa..ces/x"),
        *(
            "s3://10.0.0.1/x",
            "s3://faces//x",
            "s3://faces/../x",
            "s3://faces/x y",
            "s3://faces/a?b",
        ),
        *("s3://faces/ä", "s3://faces/x\n", f"s3://{'a' * 64}/x", f"s3://faces/{'a' * 999}"),
    ],
)
def test_an_invalid_remote_url_is_refused_with_the_expected_form(url):
    with refused("is not a valid remote URL; expected s3://BUCKET/PREFIX: "):
        storage.parse_location(url)


SECRET = st.text(st.characters(categories=["L", "N"]), min_size=8).map("Zq{}".format)


@given(SECRET, st.sampled_from(["s3://k:{}@faces/x", "s3://faces/x?k={}", "s3://faces/x#{}"]))
def test_a_secret_in_a_url_is_refused_and_not_repeated(secret, shape):
    with pytest.raises(UserError) as caught:
        storage.parse_location(shape.format(secret))
    assert secret not in str(caught.value)
    with pytest.raises(UserError) as caught:
        storage.parse_location(
            "s3://faces/x", endpoint=shape.format(secret).replace("s3:", "https:")
        )
    assert secret not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["host:80", "ftp://host", "http://", "http://h:99999", "x y"])
def test_an_invalid_endpoint_is_refused_with_the_expected_form(endpoint):
    with refused(
        repr(endpoint), "is not a valid endpoint; expected https://HOST or http://HOST:PORT"
    ):
        storage.parse_location("s3://faces/x", endpoint=endpoint)
