"""Who may do what in a bucket, as docs/operations.md gives it, and servers that know less S3."""

import http.client
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

OBJECTS = "arn:aws:s3:::faces/unveil/*"


def policy(*objects: str) -> dict:
    """Allow to list the bucket ``faces``, and this with objects below its prefix ``unveil``."""
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::faces"}
    acting = {"Effect": "Allow", "Action": list(objects), "Resource": OBJECTS}
    return {"Version": "2012-10-17", "Statement": [listing, acting]}


SETTINGS = (
    *("BucketPublicAccessBlock", "BucketOwnershipControls", "EncryptionConfiguration"),
    *("BucketVersioning", "LifecycleConfiguration"),
)


def founder(bucket: str) -> dict:
    """Allow creating and configuring a bucket, and using it below the prefix ``unveil``."""
    here = f"arn:aws:s3:::{bucket}"
    setting = [f"s3:{verb}{name}" for name in SETTINGS for verb in ("Get", "Put")]
    making = ["s3:CreateBucket", "s3:ListBucket", *setting]
    using = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    using += ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    statements = [
        {"Effect": "Allow", "Action": making, "Resource": here},
        {"Effect": "Allow", "Action": using, "Resource": f"{here}/unveil/*"},
    ]
    return {"Version": "2012-10-17", "Statement": statements}


EVERYTHING = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
POLICIES = {
    "owner": {"Version": "2012-10-17", "Statement": [EVERYTHING]},
    "worker": policy("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"),
    "reader": policy("s3:GetObject"),
    "founder": founder("founded"),
    "stranger": {
        "Version": "2012-10-17",
        "Statement": [{**EVERYTHING, "Resource": "arn:aws:s3:::else"}],
    },
}

ENVIRONMENT = {
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}
Answer = tuple[int, str]


def forget_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no AWS settings but what a test gives: neither this machine's nor its user's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


class Server(ThreadingHTTPServer):
    def handle_error(self, *request) -> None:
        # Clients are killed on purpose.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*request)


@contextmanager
def in_front_of(endpoint: str, answer: Callable[[str, str], Answer | None]) -> Iterator[str]:
    """Run a server that passes all on to another, but what ``answer(method, query)`` answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            own = answer(self.command, urlsplit(self.path).query)
            status, headers, content = own_answer(*own) if own else self.passed_on(body)
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answered = connection.getresponse()
            content = answered.read()
            connection.close()
            dropped = {"transfer-encoding", "connection"}
            if self.command != "HEAD":
                dropped.add("content-length")
            kept = [pair for pair in answered.getheaders() if pair[0].lower() not in dropped]
            if self.command != "HEAD":
                kept.append(("Content-Length", str(len(content))))
            return answered.status, kept, content

        def log_message(self, *_) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def own_answer(status: int, code: str) -> tuple[int, list[tuple[str, str]], bytes]:
    content = f"<Error><Code>{code}</Code><Message>-</Message></Error>" if code else ""
    return status, [("Content-Length", str(len(content)))], content.encode()
