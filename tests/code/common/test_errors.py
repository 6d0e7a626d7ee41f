"""Secrets are masked in error messages, and nothing else is."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.common.errors import UserError, mask_secrets, reason, unknown_choice

LETTERS = string.ascii_letters + string.digits
SECRETS = st.text(LETTERS + "-_.~!$*()+%", min_size=8, max_size=40).map(lambda text: f"Zq7{text}")
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=12)
WORDS = st.text(string.ascii_lowercase + " .,;()'`/", max_size=30)
SCHEMES = st.sampled_from(["http", "https", "postgresql", "mysql+pymysql", "s3", "ssh", "redis"])
KEYS = st.sampled_from(
    [
        *("token", "access_token", "X-Amz-Signature", "X-Amz-Security-Token", "AWSAccessKeyId"),
        *("sig", "password", "api_key", "client_secret", "X-Amz-Credential"),
    ]
)
SAYINGS = (
    "{scheme}://{name}:{secret}@host:5000/path",
    "{scheme}://{secret}@host/path?page=2",
    "https://host/path?page=2&{key}={secret}&other=1",
    "https://host/path?{key}={secret}#part",
    "Authorization: Bearer {secret}",
    "{{'Authorization': 'Basic {secret}'}}",
    '{{"{key}": "{secret}"}}',
    "host=db user={name} password={secret} dbname=x",
    "aws_secret_access_key = {secret}",
    "aws_secret_access_key: {secret}",
    "password: {secret}",
    "x-api-key: {secret}",
    "psql --password {secret} now",
    "PGPASSWORD={secret}",
    'password="a\\"{secret}"',
    '{{"password": "a\\"{secret}"}}',
    "export AWS_SESSION_TOKEN={secret}",
    "git remote https://x-access-token:{secret}@github.com/a/b.git",
)


@given(
    before=WORDS, after=WORDS, saying=st.sampled_from(SAYINGS), secret=SECRETS, scheme=SCHEMES,
    name=NAMES, key=KEYS,
)  # fmt: skip
def test_secrets_are_masked(before, after, saying, secret, scheme, name, key):
    said = saying.format(secret=secret, scheme=scheme, name=name, key=key)
    text = f"{before} {said} {after}"
    shown = mask_secrets(text)
    assert secret not in shown
    assert shown.startswith(f"{before} ") and shown.endswith(f" {after}")
    assert mask_secrets(shown) == shown
    assert secret not in str(UserError(text))
    assert secret not in reason(OSError(text))


@given(secret=SECRETS, cut=st.integers(3, 200))
def test_truncated_urls_show_no_part_of_the_password(secret, cut):
    text = f"no answer from http://worker:{secret}"[: 30 + cut]
    assert "Zq7" not in mask_secrets(text)


@pytest.mark.parametrize("secret", ["p/ss?w#rd:4", "with@sign", "with:colon"])
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_unquoted_passwords_are_masked(scheme, secret):
    assert mask_secrets(f"{scheme}://u:{secret}@host/x y") == f"{scheme}://***@host/x y"


def test_secrets_of_the_environment_are_masked(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://worker:s3cr%40et@127.0.0.1:5000")
    monkeypatch.setenv("PREFECT_API_KEY", "plain-value")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other/value")
    monkeypatch.setenv("PGPASSWORD", "of-postgres")
    monkeypatch.setenv("PWD", "/srv/project")
    text = "s3cr%40et s3cr@et plain-value other/value of-postgres /srv/project"
    assert mask_secrets(text) == "*** *** *** *** *** /srv/project"


@pytest.mark.parametrize(
    "text",
    [
        "unknown architecture 'vgg61'; choose from cnn3, cnn4",
        "unknown token 'kiosk'; choose from a, b",
        "tokens.json is readable by others; chmod 600 tokens.json",
        "MLflow at http://127.0.0.1:5000: no answer",
        "http://[::1]:4200/api",
        "s3://bucket/prefix/file@1",
        "faces.zip@sha256, detector FILE@" + "a" * 64,
        "cannot listen on 127.0.0.1:8000: address already in use",
        "sqlite:////srv/mlflow/state/mlflow.db",
        "a valid token is required",
        "wrong password: try again",
        "unknown token: choose from kiosk, door",
        "set --token-file tokens1.json",
        "https://host:8443/path?page=2&size=3",
    ],
)
def test_other_values_are_unchanged(text):
    assert mask_secrets(text) == text


@given(WORDS)
def test_words_are_unchanged(text):
    assert mask_secrets(text) == text


def test_an_error_is_one_line():
    assert str(UserError("first\nsecond")) == "first second"


@pytest.mark.parametrize(
    ("value", "hint"), [("vgg61", "; did you mean 'vgg16'?"), ("theano", ""), ("", "")]
)
def test_an_unknown_choice_that_is_close_to_one_has_a_hint(value, hint):
    error = unknown_choice("architecture", value, ["cnn3", "vgg16"])
    assert str(error) == f"unknown architecture {value!r}; choose from cnn3, vgg16{hint}"
