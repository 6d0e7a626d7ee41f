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
from hashlib import sha256
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from urllib.parse import quote

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from tests.conftest import ROOT

from unveil.common import csv_writer
from unveil.data.decoding import decode, resize
from unveil.privacy import array_search, flattened_face_match, search, sqlite_search
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
    assert search.search_file(path, person) == search.SearchResult(found=False)


def other(seed: int) -> bytes:
    """The same image in another file, which has no bytes in common with the person's file."""
    return picture(np.stack([pixels(seed)] * 3, -1), "PNG")


def flat(seed: int) -> list[int]:
    return pixels(seed).ravel().tolist()


def joined(seed: int) -> str:
    return " ".join(map(str, flat(seed)))


def in_base64(seed: int) -> str:
    return base64.b64encode(other(seed)).decode()


def byte_values(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def saved(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savetxt(buffer, values)
    return buffer.getvalue()


def table(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def arrow(writer: Callable, **columns: object) -> bytes:
    content, buffer = pa.table(columns), io.BytesIO()
    with writer(buffer, content.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_table(content)
    return buffer.getvalue()


def hdf5_with(fill: Callable[[h5py.File], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def ragged(seed: int, kind: type) -> Callable[[h5py.File], object]:
    def fill(file: h5py.File) -> None:
        cells = file.create_dataset("x", (2,), dtype=h5py.vlen_dtype(kind))
        cells[1] = byte_values(other(seed)) if kind is np.uint8 else pixels(seed).ravel()

    return fill


def fer2013(seed: int) -> str:
    return f"emotion,pixels,Usage\n0,{joined(9)},Training\n1,{joined(seed)},Training\n"


def folded(text: str, indent: str = "") -> str:
    return "\n".join(indent + text[at : at + 60] for at in range(0, len(text), 60))


ENCODED: dict[str, Callable[[int], str | bytes]] = {
    "CSV of FER2013": fer2013,
    "CSV of FER2013, gzip": lambda seed: gzip.compress(fer2013(seed).encode()),
    "CSV, one pixel per column": lambda seed: "x\n3," + ",".join(map(str, flat(seed))),
    "CSV, one pixel per row": lambda seed: pd.Series(flat(seed)).to_csv(),
    "CSV of 0..1": lambda seed: "1," + ",".join(str(one / 255) for one in flat(seed)),
    "CSV of Python literals": lambda seed: pd.DataFrame({"x": [other(9), other(seed)]}).to_csv(),
    "savetxt": lambda seed: saved(pixels(seed)),
    "JSON": lambda seed: json.dumps({"a": {"b": flat(seed)}}),
    "JSON, indented": lambda seed: json.dumps([{"a": [pixels(seed).tolist()]}], indent=2),
    "JSON of 0..1": lambda seed: json.dumps((pixels(seed) / 255).tolist()),
    "JSON of -1..1": lambda seed: json.dumps((pixels(seed) / 127.5 - 1).tolist()),
    "JSON of colour": lambda seed: json.dumps(np.stack([pixels(seed)] * 3, -1).tolist()),
    "JSON, in a string": lambda seed: json.dumps({"pixels": joined(seed)}),
    "JSON of a file's bytes": lambda seed: json.dumps(list(other(seed))),
    "JSON of Latin-1": lambda seed: json.dumps({"a": other(seed).decode("latin-1")}),
    "JSON of base64, escaped": lambda seed: json.dumps(in_base64(seed)).replace("+", "\\u002b"),
    "JSON of pixels in base64": lambda seed: json.dumps(
        base64.b64encode(pixels(seed).tobytes()).decode()
    ),
    "JSON of 0..1 in base64": lambda seed: json.dumps(
        base64.b64encode((pixels(seed) / np.float32(255)).tobytes()).decode()
    ),
    "JSONL": lambda seed: "\n".join(json.dumps({"pixels": flat(one)}) for one in (9, seed)),
    "JSON in another size": lambda seed: json.dumps(resize(pixels(seed), 64).tolist()),
    "YAML": lambda seed: yaml.safe_dump({"a": flat(seed)}),
    "YAML, binary": lambda seed: yaml.safe_dump({"a": {"b": [other(seed)]}}, indent=4),
    "YAML, binary pixels": lambda seed: yaml.safe_dump({"a": pixels(seed).tobytes()}),
    "base64, indented": lambda seed: "word\n" + folded(in_base64(seed), "  "),
    "base64, one image per line": lambda seed: f"{in_base64(9)}\n{in_base64(seed)}\n",
    "base85": lambda seed: base64.b85encode(other(seed)),
    "Ascii85": lambda seed: base64.a85encode(other(seed)),
    "base32": lambda seed: base64.b32encode(other(seed)),
    "HTML, escaped": lambda seed: f"<img src='data:;base64,{in_base64(seed)}'>".replace(
        "+", "&#43;"
    ),
    "a percent-encoded URI": lambda seed: f"<img src='data:image/png,{quote(other(seed))}'>",
    "SQL of X''": lambda seed: f"INSERT INTO t VALUES (1, X'{other(seed).hex()}');",
    "SQL of 0x": lambda seed: f"INSERT INTO t VALUES (1, 0x{other(seed).hex().upper()});",
    "SQL of Postgres": lambda seed: f"1\t\\\\x{pixels(seed).tobytes().hex()}\n",
    "hexadecimal": lambda seed: folded(other(seed).hex()),
    "C literals": lambda seed: ", ".join(f"0x{one:02x}" for one in other(seed)),
    "Python literal": lambda seed: f"x = {other(seed)!r}",
    "parquet of Hugging Face": lambda seed: table(
        image=[{"bytes": other(one), "path": "x"} for one in (9, seed)]
    ),
    "parquet of lists": lambda seed: table(x=[flat(9), flat(seed)]),
    "parquet of lists of lists": lambda seed: table(x=[pixels(9).tolist(), pixels(seed).tolist()]),
    "parquet of lists of different lengths": lambda seed: table(x=[[1, 2], flat(seed), None]),
    "parquet of bytes in lists": lambda seed: table(x=[list(other(9)), list(other(seed))]),
    "parquet of fixed lists": lambda seed: table(
        x=pa.array([flat(seed)], pa.list_(pa.float32(), 48 * 48))
    ),
    "parquet of pixels": lambda seed: table(x=[pixels(9).tobytes(), pixels(seed).tobytes()]),
    "parquet, one pixel per column": lambda seed: table(
        **{f"p{n}": list(two) for n, two in enumerate(zip(flat(9), flat(seed), strict=True))}
    ),
    "parquet, one pixel per row": lambda seed: table(x=flat(seed), y=flat(8)),
    "parquet of base64": lambda seed: table(x=[in_base64(9), in_base64(seed)]),
    "parquet of maps": lambda seed: table(
        x=pa.array([[("a", other(seed))]], pa.map_(pa.string(), pa.binary()))
    ),
    "parquet of dictionaries": lambda seed: table(x=pa.array([other(seed)]).dictionary_encode()),
    "Feather": lambda seed: arrow(pa.ipc.new_file, x=[{"bytes": other(seed)}]),
    "Arrow stream": lambda seed: arrow(pa.ipc.new_stream, x=[{"bytes": other(seed)}]),
    "npz of a file": lambda seed: arrays(x=byte_values(other(seed))),
    "npz of files": lambda seed: arrays(
        x=np.concatenate([*map(byte_values, (other(9), other(seed)))])
    ),
    "npz of files, padded": lambda seed: arrays(
        x=np.stack([np.pad(byte_values(other(seed)), 9)[9:]])
    ),
    "npz of a file as numbers": lambda seed: arrays(x=byte_values(other(seed)).astype(np.int64)),
    "npz of a file, signed": lambda seed: arrays(x=byte_values(other(seed)).view(np.int8)),
    "npz of void": lambda seed: arrays(x=np.void(other(seed))),
    "npz of bytes": lambda seed: arrays(x=np.array([other(9), other(seed)])),
    "npz of base64": lambda seed: arrays(x=np.array([in_base64(9), in_base64(seed)])),
    "npz, 1-D": lambda seed: arrays(x=np.array([7, *flat(9), *flat(seed)])),
    "npz of complex": lambda seed: arrays(x=pixels(seed)[None].astype(np.complex64)),
    "HDF5 of a file": lambda seed: hdf5(byte_values(other(seed))),
    "HDF5 of files": lambda seed: hdf5_with(ragged(seed, np.uint8)),
    "HDF5 of different lengths": lambda seed: hdf5_with(ragged(seed, np.float32)),
    "HDF5 of void": lambda seed: hdf5_with(lambda file: file.update({"x": np.void(other(seed))})),
    "HDF5, an attribute": lambda seed: hdf5_with(
        lambda file: file.create_group("g").attrs.update({"x": pixels(seed).astype(np.float32)})
    ),
    "HDF5, an attribute of void": lambda seed: hdf5_with(
        lambda file: file.attrs.update({"x": np.void(other(seed))})
    ),
    "HDF5, an attribute of base64": lambda seed: hdf5_with(
        lambda file: file.attrs.update({"x": in_base64(seed)})
    ),
    "database of base64": lambda seed: database(in_base64(seed)),
    "database of hexadecimal": lambda seed: database(other(seed).hex()),
    "database of JSON": lambda seed: database(json.dumps(flat(seed))),
    "write-ahead log": lambda seed: wal(other(seed))[1],
}


def wal(cell: bytes, before: bytes = b"") -> tuple[bytes, bytes]:
    """Return a database and its write-ahead log with the last rows."""
    with TemporaryDirectory() as folder:
        base = sqlite3.connect(place := Path(folder) / "x.db", isolation_level=None)
        base.execute("pragma journal_mode = wal")
        base.execute("create table notes (cell)")
        base.execute("insert into notes values (?)", (before,))
        if before:
            base.execute("pragma wal_checkpoint(truncate)")
        base.execute("insert into notes values (?)", (cell,))
        found = place.read_bytes(), Path(f"{place}-wal").read_bytes()
        base.close()
        return found


@pytest.mark.parametrize("kind", ENCODED)
def test_only_the_persons_face_is_found_in_every_encoding(tmp_path, person, kind):
    path = tmp_path / "object"
    for seed in (0, 1):
        content = ENCODED[kind](seed)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        assert search.search_file(path, person) == search.SearchResult(found=not seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_write_ahead_log_is_read_with_its_database_only(tmp_path, person, seed):
    base, written = wal(other(seed), before=other(9))
    (tmp_path / "x.db-wal").write_bytes(written)
    result = search.search_file(tmp_path / "x.db-wal", person)
    assert "of its database is missing" in result.unsearched[0]
    (tmp_path / "x.db").write_bytes(base)
    assert search.search_file(tmp_path / "x.db-wal", person) == search.SearchResult(found=not seed)


def test_a_write_ahead_log_with_older_pages_is_reported(tmp_path, person):
    base, written = wal(other(1), before=other(9))
    (tmp_path / "x.db").write_bytes(base)
    size = 24 + int.from_bytes(written[8:12], "big")
    older = bytearray(written[-size:])
    older[8] ^= 1
    (tmp_path / "x.db-wal").write_bytes(written + older)
    result = search.search_file(tmp_path / "x.db-wal", person)
    assert "older than its last restart" in result.unsearched[0]


@pytest.mark.parametrize("with_database", [True, False])
@pytest.mark.parametrize("content", [b"", bytes(8), bytes(40), bytes(90), b"\xff" * 90], ids=len)
def test_an_invalid_write_ahead_log_is_named(tmp_path, person, content, with_database):
    if with_database:
        (tmp_path / "x.db").write_bytes(wal(other(1), before=other(9))[0])
    (tmp_path / "x.db-wal").write_bytes(sqlite_search.WAL_SIGNATURES[0] + content)
    result = search.search_file(tmp_path / "x.db-wal", person)
    assert not result.found
    assert bool(result.unsearched) == (len(content) > 52)


def test_a_link_to_another_file_is_reported(tmp_path, person):
    (path := tmp_path / "x.h5").write_bytes(
        hdf5_with(lambda file: file.update({"x": h5py.ExternalLink("o.h5", "/x")}))
    )
    assert "stored in another file" in search.search_file(path, person).unsearched[0]


def test_a_face_across_two_chunks_is_found(tmp_path, person, monkeypatch):
    monkeypatch.setattr(flattened_face_match, "CHUNK_SIZE", 1000)
    monkeypatch.setattr(array_search, "CHUNK_BYTES", 1000)
    line = [*flat(9), *flat(0), *flat(8)]
    np.savez_compressed(tmp_path / "x.npz", x=np.array(line))
    assert search.search_file(tmp_path / "x.npz", person).found


ORDINARY: dict[str, Callable[[], str]] = {
    "metrics": lambda: json.dumps({f"f1_{n}": n / 7 for n in range(900)}),
    "history": lambda: pd.DataFrame(np.random.default_rng(0).random((500, 9))).to_csv(),
    "digests": lambda: "".join(f"{sha256(bytes([n % 256])).hexdigest()}\n" for n in range(900)),
    "a curve": lambda: "<path d='M" + " ".join(f"{n}.5,{n * n % 255}" for n in range(3000)) + "'>",
    "a table of numbers": lambda: json.dumps(np.arange(9000).reshape(-1, 9).tolist()),
    "a script": lambda: "x=" + "function(a,b){return a+b*2%3;}" * 500,
    "a public key": lambda: f"ssh-ed25519 {'AAAA' * 90} me\n",
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_an_ordinary_text_is_searched_completely(tmp_path, person, kind):
    path = tmp_path / "object"
    path.write_text(ORDINARY[kind]())
    assert search.search_file(path, person) == search.SearchResult(found=False)


def test_the_projects_own_text_files_are_searched_completely(person):
    listed = run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    texts = [ROOT / name for name in listed.stdout.split("\0") if "." in name]
    files = [one for one in texts if one.is_file() and "uv.lock" not in one.name]
    assert files
    results = {str(one): search.search_file(one, person, names=False) for one in files}
    clean = search.SearchResult(found=False)
    assert {name: one for name, one in results.items() if one != clean} == {}


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
    assert search.search_file(ROOT / path, person) == search.SearchResult(found=False)


def test_a_saved_network_is_not_read_as_an_archive_of_arrays(tmp_path, person):
    import keras

    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.save(tmp_path / "model.keras")
    assert search.search_file(tmp_path / "model.keras", person) == search.SearchResult(found=False)
