"""Decode texts, and extract the number sequences and the encoded bytes in them.

Encodings: base64, base32, base85, Ascii85, hexadecimal, literals of Python or C, JSON strings and
percent-encoded URIs.
"""

import ast
import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from unveil.privacy.file_parts import Buffer

CHUNK_SIZE = 1 << 20
"""How many numbers are parsed at once."""
OVERLAP = 1 << 18
"""How many numbers of a chunk are repeated in the next one: a face may cross the boundary."""
MIN_LENGTH = 128
"""Shortest sequence of numbers that is searched, in characters."""
_NUMBER = rb"(?>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_SEPARATOR = rb"(?>(?:[\s,;|\[\](){}\"'\\]|-(?=\s))+)"
SEPARATOR = re.compile(_SEPARATOR)
NUMBERS = re.compile(
    rb"(?<![\w.+-])" + _NUMBER + rb"(?:" + _SEPARATOR + _NUMBER + rb"){0,%d}+" % (CHUNK_SIZE - 1)
)
_NUMBER_CHARACTERS = bytes(one if chr(one) in "0123456789.eE+-" else 32 for one in range(256))
_NEW_LINE = rb"\r?\n[ \t]*"
BASE64 = re.compile(
    rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-](?:[A-Za-z0-9+/_-]|"
    + _NEW_LINE
    + rb"(?=[A-Za-z0-9+/=])){90,}+={0,2}"
)
HEX = re.compile(
    rb"(?<![0-9A-Fa-f])[0-9A-Fa-f](?:[0-9A-Fa-f]|" + _NEW_LINE + rb"(?=[0-9A-Fa-f])){200,}+"
)
ENTITY = re.compile(
    rb"&(?:#0*(?:43|47|61|10|13)|#[xX]0*(?:2[bB]|2[fF]|3[dD]|[aA]|[dD])|plus|sol|equals|NewLine);"
)
"""The HTML escapes of the characters of base64."""


def to_utf8(content: Buffer) -> bytes | None:
    """Return a text in UTF-8; ``None`` if the file is no text."""
    whole = bytes(content)
    if whole.startswith((b"\xff\xfe", b"\xfe\xff")):
        with suppress(UnicodeDecodeError):
            return whole.decode("utf-16").encode()
    if b"\0" in whole:
        return None
    try:
        whole.decode()
        return whole
    except UnicodeDecodeError:
        odd = re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", whole)
        return None if odd else whole.decode("latin-1").encode()


def number_sequences(words: bytes) -> Iterator[NDArray[Any]]:
    """Yield each long sequence of numbers in a text; very long ones in chunks that overlap."""
    tail, end = np.empty(0), -1
    for found in NUMBERS.finditer(words):
        run = found[0]
        gap = found.start() - end
        continues = 0 < gap < MIN_LENGTH and SEPARATOR.fullmatch(words, end, found.start())
        if len(run) < MIN_LENGTH and not continues:
            continue
        plain = re.sub(rb"-(?=\s)", b" ", run).translate(_NUMBER_CHARACTERS)
        values = np.fromstring(plain, sep=" ")
        if continues and tail.size:
            values = np.concatenate([tail, values])
        end, tail = found.end(), values[-OVERLAP:] if values.size >= CHUNK_SIZE else np.empty(0)
        yield values


def encoded_bytes(words: bytes) -> Iterator[bytes]:
    """Yield everything in a text that an encoding accepts, decoded; some of it is not meant so."""
    unescaped = _unescape(words)
    for pattern, decode in DECODERS:
        for found in pattern.finditer(unescaped if pattern in ESCAPED else words):
            # The first line may end in an ordinary word, so the rest is decoded without it too.
            whole = found[found.lastindex or 0]
            for run in {whole, whole.partition(b"\n")[2]}:
                if len(run) >= MIN_LENGTH // 2:
                    with suppress(ValueError, SyntaxError, binascii.Error, RecursionError):
                        yield decode(run)


def _unescape(words: bytes) -> bytes:
    """Undo the escapes of JSON, HTML and URLs for the characters of base64."""
    if b"\\" in words:
        words = words.replace(b"\\r", b"").replace(b"\\n", b"\n").replace(b"\\/", b"/")
        words = re.sub(rb"\\u00(2[bBfF]|3[dD])", lambda one: bytes.fromhex(one[1].decode()), words)
    if b"base64" in words and b"%2" in words:
        words = unquote_to_bytes(words)
    return ENTITY.sub(lambda one: html.unescape(one[0].decode()).encode(), words)


def _from_base64(run: bytes) -> bytes:
    written = re.sub(rb"[\s=]", b"", run).replace(b"+", b"-").replace(b"/", b"_")
    return base64.urlsafe_b64decode(written + b"=" * (-len(written) % 4))


def _from_base85(run: bytes) -> bytes:
    # Every base64 text is valid base85 too.
    return b"" if BASE64.fullmatch(run) else base64.b85decode(run)


def _from_hex(run: bytes) -> bytes:
    written = re.sub(rb"\s", b"", run)
    return bytes.fromhex(written[len(written) % 2 :].decode())


def _from_hex_literals(run: bytes) -> bytes:
    return bytes(int(one, 16) for one in re.findall(rb"0[xX]([0-9a-fA-F]{1,2})", run))


def _from_python_literal(run: bytes) -> bytes:
    return bytes(ast.literal_eval(run.decode("latin-1")))


def _from_csv_literal(run: bytes) -> bytes:
    """Decode a Python literal in a CSV cell, which doubles its quotes."""
    return _from_python_literal(run.replace(b'""', b'"'))


def _from_json_string(run: bytes) -> bytes:
    text = json.loads(run)
    return b"" if text.isascii() else bytes(text.encode("latin-1"))


DECODERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], bytes]], ...] = (
    (BASE64, _from_base64),
    (HEX, _from_hex),
    (re.compile(rb"(?<![A-Z2-7])[A-Z2-7]{200,}+={0,6}"), lambda run: base64.b32decode(run)),
    (re.compile(rb"(?<![!#-&(-+;-Z^-~0-9-])[!#-&(-+;-Z^-~0-9-]{200,}+"), _from_base85),
    (
        re.compile(rb"(?<![!-uz])[!-uz]{200,}+(?=~>|\s|$)"),
        lambda run: base64.a85decode(run.lstrip(b"<~")),
    ),
    (
        re.compile(rb"(?<!\w)(?:0[xX][0-9a-fA-F]{1,2}[\s,;]{1,9}){64,}+0[xX][0-9a-fA-F]{1,2}"),
        _from_hex_literals,
    ),
    (re.compile(rb"(?<!\")b'(?:[^'\\\n]|\\.){64,}+'"), _from_python_literal),
    (re.compile(rb"(?<=\")b'(?:[^'\\\n]|\\.){64,}+'"), _from_csv_literal),
    (re.compile(rb'b"(?:[^"\\\n]|\\.){64,}+"'), _from_python_literal),
    (re.compile(rb'(?=("(?:[^"\\\n]|\\.){64,}+"))'), _from_json_string),
    (re.compile(rb"(?<=,)[^\s\"'<>()]*%[89a-fA-F][^\s\"'<>()]{64,}+"), unquote_to_bytes),
)
"""The pattern of each encoding, and its decoder."""
ESCAPED = (BASE64, HEX)
"""Encodings without escape characters: JSON, HTML and URLs may escape their characters."""
