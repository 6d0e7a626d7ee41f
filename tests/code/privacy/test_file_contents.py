"""Every file type is searched or reported as unsearchable; none is skipped or raises."""

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from urllib.parse import quote

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.conftest import ROOT

from unveil.common import csv_writer
from unveil.data.decoding import decode
from unveil.privacy import search
from unveil.privacy.search import Person
from unveil.rendering import html as page

NAME = 'train/happy/=a "b"|é.png'


def face(seed: int) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(seed: int) -> np.ndarray:
    return decode(face(seed)).pixels


def stored(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def arrays(**named: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


def picture(values: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def sheet(seed: int, times: int = 1) -> np.ndarray:
    canvas = np.full((300, 400), 255, np.uint8)
    large = pixels(seed).repeat(times, 0).repeat(times, 1)
    canvas[17 : 17 + len(large), 31 : 31 + len(large)] = large
    return canvas


def parquet(**columns: list) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer)
    return buffer.getvalue()


def hdf5(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("deep/er", data=values, compression="gzip")
    return buffer.getvalue()


def tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def database(cell: object) -> bytes:
    base = sqlite3.connect(":memory:")
    base.execute("create table notes (cell)")
    base.execute("insert into notes values (?)", (cell,))
    base.commit()
    return base.serialize()


def uri(seed: int, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(face(seed)).decode()}"


def wrapped(seed: int) -> str:
    return base64.encodebytes(face(seed)).decode()


SHOWS: dict[str, Callable[[int], bytes]] = {
    "archive": lambda seed: stored({"a/other.png": face(seed)}),
    "archive in an archive": lambda seed: stored({"x.zip": stored({"a/b.png": face(seed)})}),
    "bitmap": lambda seed: picture(pixels(seed), "BMP"),
    "npz of floats": lambda seed: arrays(x=pixels(seed)[None, ..., None] / np.float32(255)),
    "npz of -1..1": lambda seed: arrays(x=pixels(seed)[None] / np.float32(127.5) - np.float32(1)),
    "npz of colour": lambda seed: arrays(x=np.stack([pixels(seed)] * 3, -1)[None]),
    "npz channels first": lambda seed: arrays(x=pixels(seed)[None, None]),
    "npz of flat rows": lambda seed: arrays(x=pixels(seed).reshape(1, -1).astype(np.int64)),
    "npz by column": lambda seed: arrays(x=np.asfortranarray(pixels(seed)[None])),
    "one face": lambda seed: arrays(x=pixels(seed)),
    "HDF5": lambda seed: hdf5(np.stack([pixels(9), pixels(seed)])),
    "a network of Keras": lambda seed: stored({"model.weights.h5": hdf5(pixels(seed)[None])}),
    "contact sheet": lambda seed: picture(sheet(seed), "PNG"),
    "contact sheet, enlarged": lambda seed: picture(sheet(seed, 3), "PNG"),
    "contact sheet in colour": lambda seed: picture(np.stack([sheet(seed)] * 3, -1), "PNG"),
    "frames": lambda seed: picture(
        pixels(9), "TIFF", save_all=True, append_images=[Image.fromarray(pixels(seed))]
    ),
    "HTML": lambda seed: f'<img src="{uri(seed)}">'.encode(),
    "HTML of our own": lambda seed: f"<img src='{page.png_base64(pixels(seed))}'>".encode(),
    "SVG": lambda seed: f'<svg><image href="{uri(seed)}"/></svg>'.encode(),
    "JSON of a notebook": lambda seed: json.dumps({"image/png": wrapped(seed)}).encode(),
    "a URI in a URI": lambda seed: quote(f"<img src='{uri(seed)}'>").encode(),
    "parquet with pictures": lambda seed: parquet(image=[face(9), face(seed)]),
    "database": lambda seed: database(face(seed)),
    "database with a page": lambda seed: database(f"<img src='{uri(seed)}'>"),
    "tar, gzip": lambda seed: gzip.compress(tar("x.png", picture(pixels(seed), "BMP"))),
    "bzip2": lambda seed: bz2.compress(picture(pixels(seed), "BMP")),
    "xz": lambda seed: lzma.compress(picture(pixels(seed), "BMP")),
}


@pytest.fixture
def person() -> Person:
    from unveil.data.fingerprints import digest

    return Person(frozenset({NAME}), {digest(pixels(0)): face(0)})


@pytest.mark.parametrize("kind", SHOWS)
def test_only_the_persons_face_is_found_in_every_file_type(tmp_path, person, kind):
    path = tmp_path / "object"
    path.write_bytes(SHOWS[kind](0))
    assert search.search_file(path, person).found
    path.write_bytes(SHOWS[kind](1))
    assert search.search_file(path, person) == search.SearchResult(held=False)


NAMES: dict[str, Callable[[str], bytes]] = {
    "text": str.encode,
    "UTF-16": lambda name: f"see {name}".encode("utf-16"),
    "JSON": lambda name: json.dumps({"first": [f"\n{name}"]}).encode(),
    "HTML": lambda name: f"<p>{html.escape(name)}</p>".encode(),
    "CSV": lambda name: csv_writer.to_lines([("member",), (name,)]).encode(),
    "Markdown": lambda name: f"| {csv_writer.markdown_cell(name)} |".encode(),
    "a URL": lambda name: f"<a href='#{quote(name)}'>".encode(),
    "zip": lambda name: stored({"notes.json": json.dumps([name]).encode()}),
    "tar": lambda name: tar(name, b"x"),
    "npz": lambda name: arrays(names=np.array([name])),
    "parquet": lambda name: parquet(member=[name], n=[1]),
    "database": database,
    "gzip": lambda name: gzip.compress(name.encode()),
    "unknown": lambda name: b"\x80\x05\0\0" + name.encode(),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_found_in_every_encoding(tmp_path, person, kind):
    path = tmp_path / "object"
    path.write_bytes(NAMES[kind](NAME))
    assert search.search_file(path, person).found
    path.write_bytes(NAMES[kind](f"x/{NAME}"))
    assert not search.search_file(path, person).found


def cut(content: bytes) -> bytes:
    return content[: len(content) - 200]


def altered(content: bytes) -> bytes:
    place = content.index(b"images.npy") + 2000
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


UNREAD: dict[str, Callable[[], bytes]] = {
    "damaged": lambda: cut(arrays(images=np.stack([pixels(3)] * 9))),
    "damaged: Bad CRC": lambda: altered(
        stored({"images.npy": np.random.default_rng(5).bytes(9000)}, zipfile.ZIP_STORED)
    ),
    "cannot be read": lambda: face(3)[:900],
    "Python objects": lambda: pickled(),
    "unsupported compression": lambda: stored({"a/b.png": face(3)}, zipfile.ZIP_LZMA),
    "unknown file type": lambda: b"\x80\x05\0\0pickled",
    "is damaged": lambda: parquet(member=["a"])[:40],
    "is damaged: ": lambda: gzip.compress(face(3))[:200],
    "damaged: file is not a database": lambda: database("x")[:20] + b"\xff" * 4000,
    "nested more than": lambda: nested(12),
}


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    content = b"\x89 deep"
    for _ in range(depth):
        content = gzip.compress(content)
    return content


@pytest.mark.parametrize("why", UNREAD)
def test_unsearchable_files_are_reported_with_the_reason(tmp_path, person, why):
    path = tmp_path / "object"
    path.write_bytes(UNREAD[why]())
    verdict = search.search_file(path, person)
    assert not verdict.found
    assert len(verdict.unsearched) == 1 and "\n" not in verdict.unsearched[0]


@pytest.mark.parametrize(
    "path", ["models/starter/model.onnx", "models/starter/model.int8.onnx", "docs/sample.png"]
)
def test_the_projects_own_files_have_known_types(person, path):
    assert search.search_file(ROOT / path, person) == search.SearchResult(held=False)


def test_a_saved_network_is_not_read_as_an_archive_of_arrays(tmp_path, person):
    import keras

    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.save(tmp_path / "model.keras")
    assert search.search_file(tmp_path / "model.keras", person) == search.SearchResult(held=False)
