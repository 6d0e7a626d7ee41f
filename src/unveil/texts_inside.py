"""What a text holds besides words: numbers in a row, and bytes written in letters.

Bytes are base64, base32, base85, hexadecimal, literals of Python or JSON, or a URI's percents.
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

AT_ONCE = 1 << 20  # numbers
OVERLAP = 1 << 18
"""So many numbers are looked at again, with those behind them: a face may lie on both sides."""
LEAST = 128  # letters
_NUMBER = rb"(?>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_BETWEEN = rb"(?>(?:[\s,;|\[\](){}\"'\\]|-(?=\s))+)"
_APART = re.compile(_BETWEEN)
NUMBERS = re.compile(
    rb"(?<![\w.+-])" + _NUMBER + rb"(?:" + _BETWEEN + _NUMBER + rb"){0,%d}+" % (AT_ONCE - 1)
)
_SIGNS = bytes(one if chr(one) in "0123456789.eE+-" else 32 for one in range(256))
_LINE = rb"\r?\n[ \t]*"
BASE64 = re.compile(
    rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-](?:[A-Za-z0-9+/_-]|"
    + _LINE
    + rb"(?=[A-Za-z0-9+/=])){90,}+={0,2}"
)
HEX = re.compile(
    rb"(?<![0-9A-Fa-f])[0-9A-Fa-f](?:[0-9A-Fa-f]|" + _LINE + rb"(?=[0-9A-Fa-f])){200,}+"
)


def numbers(words: bytes) -> Iterator[NDArray[Any]]:
    """Give numbers that stand in a row, in pieces; where they are many, pieces overlap."""
    tail, end = np.empty(0), -1
    for found in NUMBERS.finditer(words):
        run = found[0]
        goes_on = 0 < found.start() - end < LEAST and _APART.fullmatch(words, end, found.start())
        if len(run) < LEAST and not goes_on:
            continue
        plain = re.sub(rb"-(?=\s)", b" ", run).translate(_SIGNS)
        values = np.fromstring(plain, sep=" ")
        if goes_on and tail.size:
            values = np.concatenate([tail, values])
        end, tail = found.end(), values[-OVERLAP:] if values.size >= AT_ONCE else np.empty(0)
        yield values


def encoded(words: bytes) -> Iterator[bytes]:
    """Give what may be bytes, decoded; of what is none, anything."""
    plain = _plain(words)
    for known, decoded in CODES:
        for found in known.finditer(plain if known in ESCAPED else words):
            # What stands in the line before may be a word, and not the beginning of it.
            whole = found[found.lastindex or 0]
            for run in {whole, whole.partition(b"\n")[2]}:
                if len(run) >= LEAST // 2:
                    with suppress(ValueError, SyntaxError, binascii.Error, RecursionError):
                        yield decoded(run)


def _plain(words: bytes) -> bytes:
    """Undo what JSON, HTML and URLs do to the letters of base64."""
    if b"\\" in words:
        words = words.replace(b"\\r", b"").replace(b"\\n", b"\n").replace(b"\\/", b"/")
        words = re.sub(rb"\\u00(2[bBfF]|3[dD])", lambda one: bytes.fromhex(one[1].decode()), words)
    if b"base64" in words and b"%2" in words:
        words = unquote_to_bytes(words)
    return ENTITY.sub(lambda one: html.unescape(one[0].decode()).encode(), words)


ENTITY = re.compile(rb"&(?:#0*(?:43|47|61|10|13)|#[xX]0*(?:2[bB]|2[fF]|3[dD]|[aA]|[dD])"
                    rb"|plus|sol|equals|NewLine);")  # fmt: skip


def _base64(run: bytes) -> bytes:
    written = re.sub(rb"[\s=]", b"", run).replace(b"+", b"-").replace(b"/", b"_")
    return base64.urlsafe_b64decode(written + b"=" * (-len(written) % 4))


def _base85(run: bytes) -> bytes:
    # Each run of base64 is one of base85, too.
    return b"" if BASE64.fullmatch(run) else base64.b85decode(run)


def _hex(run: bytes) -> bytes:
    written = re.sub(rb"\s", b"", run)
    return bytes.fromhex(written[len(written) % 2 :].decode())


def _cells(run: bytes) -> bytes:
    return bytes(int(one, 16) for one in re.findall(rb"0[xX]([0-9a-fA-F]{1,2})", run))


def _literal(run: bytes) -> bytes:
    return bytes(ast.literal_eval(run.decode("latin-1")))


def _quoted(run: bytes) -> bytes:
    """Read a literal in a cell of CSV, which doubles its quotes."""
    return _literal(run.replace(b'""', b'"'))


def _string(run: bytes) -> bytes:
    text = json.loads(run)
    return b"" if text.isascii() else bytes(text.encode("latin-1"))


CODES: tuple[tuple[re.Pattern[bytes], Callable[[bytes], bytes]], ...] = (
    (BASE64, _base64),
    (HEX, _hex),
    (re.compile(rb"(?<![A-Z2-7])[A-Z2-7]{200,}+={0,6}"), lambda run: base64.b32decode(run)),
    (re.compile(rb"(?<![!#-&(-+;-Z^-~0-9-])[!#-&(-+;-Z^-~0-9-]{200,}+"), _base85),
    (
        re.compile(rb"(?<![!-uz])[!-uz]{200,}+(?=~>|\s|$)"),
        lambda run: base64.a85decode(run.lstrip(b"<~")),
    ),
    (
        re.compile(rb"(?<!\w)(?:0[xX][0-9a-fA-F]{1,2}[\s,;]{1,9}){64,}+0[xX][0-9a-fA-F]{1,2}"),
        _cells,
    ),
    (re.compile(rb"(?<!\")b'(?:[^'\\\n]|\\.){64,}+'"), _literal),
    (re.compile(rb"(?<=\")b'(?:[^'\\\n]|\\.){64,}+'"), _quoted),
    (re.compile(rb'b"(?:[^"\\\n]|\\.){64,}+"'), _literal),
    (re.compile(rb'(?=("(?:[^"\\\n]|\\.){64,}+"))'), _string),
    (re.compile(rb"(?<=,)[^\s\"'<>()]*%[89a-fA-F][^\s\"'<>()]{64,}+"), unquote_to_bytes),
)
"""How each is written, and what makes bytes of it."""
ESCAPED = (BASE64, HEX)
"""Whose letters may be written as JSON, HTML or URLs do; in the others these are letters."""
