"""Packed faces are memory-mapped, and damaged files are named."""

import mmap
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.common.errors import UserError
from unveil.dataset import arrays


def drawn(count: int, size: int = 5, seed: int = 0) -> arrays.Faces:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, size, size, 1), dtype=np.uint8)
    return arrays.Faces(images=images, labels=generator.integers(0, 4, count))


def saved(folder: Path, faces: arrays.Faces) -> Path:
    path = folder / "train.npz"
    arrays.save(path, iter(faces.images), faces.labels, size=faces.images.shape[1])
    return path


def same(first: arrays.Faces, second: arrays.Faces) -> bool:
    return all(
        np.array_equal(one, other) and one.dtype == other.dtype
        for one, other in ((first.images, second.images), (first.labels, second.labels))
    )


@given(st.integers(0, 20), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_what_is_saved_is_loaded(count, size, seed):
    faces = drawn(count, size, seed)
    with tempfile.TemporaryDirectory() as folder:
        saved(Path(folder), faces)
        assert same(arrays.load("train", Path(folder)), faces)


def test_the_file_is_the_one_that_numpy_writes(tmp_path):
    faces = drawn(7)
    np.savez(tmp_path / "numpy.npz", images=faces.images, labels=faces.labels)
    assert saved(tmp_path, faces).read_bytes() == (tmp_path / "numpy.npz").read_bytes()


def test_images_are_memory_mapped(tmp_path):
    saved(tmp_path, drawn(7))
    images = arrays.load("train", tmp_path).images
    assert type(images) is np.ndarray
    assert not images.flags.writeable
    while isinstance(images, np.ndarray):
        images = images.base
    assert isinstance(images, mmap.mmap)


def test_a_memory_map_survives_the_replacement_of_its_file(tmp_path):
    faces = drawn(7)
    saved(tmp_path, faces)
    before = arrays.load("train", tmp_path)
    other = saved(tmp_path / "..", drawn(7, seed=1))
    other.rename(tmp_path / "train.npz")
    assert same(before, faces)
    assert not same(arrays.load("train", tmp_path), faces)


@pytest.mark.fault("packed file damaged", 4)
def test_a_damaged_file_is_named(tmp_path):
    path = saved(tmp_path, drawn(400))
    whole = path.read_bytes()
    middle = len(whole) // 2
    damages = {
        "Bad CRC-32": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "not a zip file": whole[:middle],
        "Bad magic": whole.replace(b"PK\x03\x04", b"PK\x03\x05", 1),
        "no item named": whole.replace(b"labels.npy", b"lapels.npy"),
    }
    for said, content in damages.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"train\.npz is damaged .*{said}.*`unveil pack`"):
            arrays.load("train", tmp_path)


def test_images_in_another_format_are_refused(tmp_path):
    faces = drawn(3)
    other = {"images": faces.images.astype(np.float32), "labels": faces.labels}
    np.savez(tmp_path / "train.npz", **other)
    with pytest.raises(UserError, match="not in the packed format"):
        arrays.load("train", tmp_path)
    np.savez_compressed(tmp_path / "train.npz", images=faces.images, labels=faces.labels)
    with pytest.raises(UserError, match="not in the packed format"):
        arrays.load("train", tmp_path)


def test_a_file_with_a_prefix_is_mapped_at_the_right_offset(tmp_path):
    # zipfile reads such a file too: offsets count from where the archive begins.
    faces = drawn(3)
    path = saved(tmp_path, faces)
    path.write_bytes(b"before" + path.read_bytes())
    assert zipfile.is_zipfile(path)
    assert same(arrays.load("train", tmp_path), faces)
