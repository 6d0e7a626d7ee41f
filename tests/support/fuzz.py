"""Fuzzed requests for hypothesis: damaged pictures, malformed JSON, random bytes."""

import base64
import json

from hypothesis import strategies as st
from PIL import Image
from tests.support.bundles import CLASSES, quarter
from tests.support.invalid_images import INVALID_IMAGES, encoded

INFER = "/v2/models/facial-emotion/infer"
ROUTES = ("/v1/predict", "/v1/predict/batch", INFER, "/v1/feedback")
SEEN = ("/", "/docs", "/healthz", "/readyz", "/metrics", "/notice", "/samples/sad.png")
SEEN += ("/v2", "/v2/health/ready", "/static/x")
KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
PICTURES = [encoded(Image.fromarray(quarter(1)), kind) for kind in KINDS]
SMALL = [content for content, _ in INVALID_IMAGES.values() if len(content) < 100_000]
HEADS = [picture[:16] for picture in PICTURES] + [b"PK\3\4", b"%PDF-1.4", b"\x1f\x8b\x08", b"<svg"]
TYPES = ("image/png", "image/jpeg", "image/*", "application/json", "text/plain", "", "multipart/x")
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")

DAMAGES = st.sampled_from(["cut", "flip", "over", "into", "head"])

Asked = tuple[str, str, str, bytes]
"""Method, path, content type, body."""

places = st.floats(0, 1, exclude_max=True)


@st.composite
def damaged(draw) -> bytes:
    """Draw a picture file that is truncated, overwritten, extended, or has flipped bits."""
    content = bytearray(draw(st.sampled_from(PICTURES + SMALL)))
    for kind in draw(st.lists(DAMAGES, max_size=3)):
        place = int(draw(places) * len(content))
        if kind == "cut":
            del content[place:]
        elif kind == "flip" and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "head":
            head = draw(st.sampled_from(HEADS))
            content[: len(head)] = head
        else:
            noise = draw(st.binary(max_size=60))
            content[place : place + len(noise) * (kind == "over")] = noise
    return bytes(content)


text = damaged().map(lambda content: base64.b64encode(content).decode()) | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@st.composite
def mistaken(draw, content: st.SearchStrategy[dict]) -> bytes:
    """Draw the JSON of a message in which a value may be replaced or truncated."""
    made = draw(content)
    for name in draw(st.lists(st.sampled_from([*made, "other"]), max_size=1)):
        made[name] = draw(values)
    written = json.dumps(made).encode()
    return written[: int(draw(places) * len(written))] if draw(places) > 0.9 else written


@st.composite
def tensors(draw) -> dict:
    """Draw an input of the Open Inference Protocol, whose shape is mostly correct."""
    count, odd = draw(st.integers(0, 3)), draw(st.sampled_from(["", "", "shape", "data", "other"]))
    shape = draw(st.lists(st.integers(), max_size=5)) if odd == "shape" else [count, 48, 48, 1]
    value = draw(st.integers(-300, 300) if odd == "data" else st.integers(0, 255))
    data = [value] * count * 48 * 48
    tensor = {"name": "faces", "datatype": "UINT8", "shape": shape, "data": data}
    if odd == "other":
        tensor[draw(st.sampled_from(list(tensor)))] = draw(values)
    return tensor


batches = mistaken(st.fixed_dictionaries({"pictures": st.lists(text, max_size=4)}))
inferences = mistaken(
    st.fixed_dictionaries({"inputs": st.lists(tensors(), min_size=1, max_size=2)})
)
feedback = mistaken(
    st.fixed_dictionaries(
        {"emotion": st.sampled_from(CLASSES)},
        optional={
            "answered": st.sampled_from(CLASSES) | st.none(),
            "picture": text,
            "consent": st.booleans(),
        },
    )
)


def posted(path: str, kind: str, body: st.SearchStrategy[bytes]) -> st.SearchStrategy[Asked]:
    """Draw requests to a route, whose content type is mostly correct."""
    kinds = st.just(kind) | st.just(kind) | st.sampled_from(TYPES)
    return st.tuples(st.just("POST"), st.just(path), kinds, body)


anything = st.tuples(
    st.sampled_from(METHODS),
    st.sampled_from(ROUTES + SEEN) | st.text("abc/.%~é0", max_size=20).map("/".__add__),
    st.sampled_from(TYPES),
    st.binary(max_size=400) | values.map(lambda one: json.dumps(one).encode()),
)
SHARES = (
    (posted("/v1/predict", "image/png", damaged()), 0.3),
    (posted("/v1/predict/batch", "application/json", batches), 0.15),
    (posted(INFER, "application/json", inferences), 0.15),
    (posted("/v1/feedback", "application/json", feedback), 0.1),
    (anything, 0.1),
)
"""The kinds of requests and their shares; the rest are frames and requests from the OpenAPI."""
frames = damaged() | st.binary(max_size=200) | st.text(max_size=20)
