"""Distillation: views of the faces, the teachers' answers as targets, teachers that do not fit."""

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support import bundles, training

from unveil.common.errors import UserError
from unveil.config import provenance
from unveil.config.distillation import Distillation
from unveil.data import unlabelled
from unveil.dataset import arrays
from unveil.experiments import teachers, tracked_training
from unveil.training import checkpoint, train
from unveil.training.batches import ViewBatches
from unveil.training.distillation import Views, views

KEY = "cnn3_gray"
COUNT = 48


@pytest.fixture
def teacher(packed):
    return bundles.made(packed / "teacher")


@pytest.fixture
def loaded(teacher):
    return training.distilled(KEY, training.toy(KEY), teacher)


@pytest.fixture
def made(packed, loaded):
    images, taught = arrays.load("train").images, teachers.teaching(KEY, loaded)
    return Views(images, taught.teacher, loaded.training, mix=0.0, folder=packed / "views")


def test_a_view_has_the_teachers_answers_to_the_augmented_faces(made):
    images, answers = made.view(0)
    assert images.shape == (COUNT, 48, 48, 1) and images.dtype == np.uint8
    assert (images != made.faces).any(axis=(1, 2, 3)).all()
    assert answers == pytest.approx(made.teacher(np.asarray(images)), abs=1e-6)


def test_views_differ_from_each_other_and_are_the_same_again(made, tmp_path):
    first, second = (np.array(made.view(number)[0]) for number in (0, 1))
    assert (first != second).any(axis=(1, 2, 3)).all()
    again = dataclasses.replace(made, folder=tmp_path / "again").view(1)
    assert np.array_equal(again[0], second)


def test_a_share_of_the_faces_is_mixed_with_another(made, tmp_path):
    still = dataclasses.replace(
        made.training.augmentation,
        **dict.fromkeys(("rotation", "shift", "zoom", "contrast", "blur", "erasing"), 0),
        flip=False,
    )
    settings = dataclasses.replace(made.training, augmentation=still)
    mixed = dataclasses.replace(made, training=settings, mix=0.5, folder=tmp_path / "mixed")
    images, answers = mixed.view(0)
    changed = np.asarray(images != made.faces).any(axis=(1, 2, 3))
    assert 0.2 < changed.mean() < 0.8
    own = np.abs(images.astype(int) - made.faces).mean(axis=(1, 2, 3))
    between = np.abs(made.faces.astype(int) - np.roll(made.faces, 1, 0)).mean()
    assert own.max() < between, "the face itself has at least half of the weight"
    assert answers == pytest.approx(made.teacher(np.asarray(images)), abs=1e-6)


def test_a_kept_view_is_read_and_a_damaged_one_is_made_again(made):
    whole = np.array(made.view(0)[0])
    path = made.folder / "000.npz"
    kept = path.stat()
    made.view(0)
    assert path.stat().st_mtime_ns == kept.st_mtime_ns
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert np.array_equal(made.view(0)[0], whole)


def test_the_answers_are_the_same_for_either_side(made):
    mirrored = made.teacher(made.faces[:, :, ::-1])
    assert mirrored == pytest.approx(made.teacher(made.faces), abs=1e-6)


def test_each_epoch_has_another_view_in_turns():
    one, other = np.arange(10), np.arange(10) + 100
    batches = ViewBatches((one,), (other,), batch_size=4, seed_and_epoch=(0, 0))
    epochs = [
        np.sort(np.concatenate([batches[at + epoch * 3][0] for at in range(3)]))
        for epoch in range(3)
    ]
    assert [epoch.tolist() for epoch in epochs] == [one.tolist(), other.tolist(), one.tolist()]


def test_a_student_learns_what_its_teacher_answers_and_not_the_labels(packed, loaded):
    faces = arrays.load("train")
    images, labels = np.array(faces.images), np.array(faces.labels)
    del faces  # the file is mapped into memory
    np.savez(packed / "data/03_packed/train.npz", images=images, labels=(labels + 2) % 4)
    schedule = loaded.schedules[KEY]
    stages = tuple(
        dataclasses.replace(stage, epochs=40, patience=40, learning_rate=0.01, ema=0)
        for stage in schedule.stages
    )
    schedules = {KEY: dataclasses.replace(schedule, stages=stages)}
    network = tracked_training.train(KEY, dataclasses.replace(loaded, schedules=schedules)).network
    answers = network.predict(images, verbose=0).argmax(1)
    # The teacher's answer to either side is one for the upper or the lower half.
    assert (answers // 2 == labels // 2).mean() > 0.7


def zipped(path: Path, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def test_unlabelled_faces_are_answered_too_each_once_and_none_of_the_test(packed, loaded, teacher):
    own, other = (np.full((48, 48), value, np.uint8) for value in (40, 90))
    other[:24] = 10
    held_out = arrays.load("test").images[0, ..., 0]
    archive = packed / "more.zip"
    zipped(
        archive,
        **{
            "train/angry/a.png": png(own),
            "train/fear/again.png": png(own),
            "train/fear/b.png": png(other),
            "train/fear/held_out.png": png(held_out),
            "train/fear/held_out_again.jpg": png(held_out, "JPEG"),
            "train/fear/mirrored.png": png(np.ascontiguousarray(held_out[:, ::-1])),
            "train/fear/broken.png": b"no image",
            "test/angry/c.png": png(other.T),
        },
    )
    with zipfile.ZipFile(archive, "a") as added:  # as `unveil ingest` keeps an unreadable image
        unreadable = zipfile.ZipInfo("train/fear/unreadable.png")
        unreadable.comment = b"damaged"
        added.writestr(unreadable, b"")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    faces = unlabelled.load(archive, digest, loaded)
    assert sorted(face.tobytes() for face in faces) == sorted((own.tobytes(), other.tobytes()))
    schedule = loaded.schedules[KEY]
    settings = dataclasses.replace(schedule.distillation, unlabelled={str(archive): digest})
    schedules = {KEY: dataclasses.replace(schedule, distillation=settings)}
    taught = teachers.teaching(KEY, dataclasses.replace(loaded, schedules=schedules))
    assert len(taught.with_unlabelled(arrays.load("train").images)) == COUNT + 2
    with pytest.raises(UserError, match=r"more\.zip is not the pinned archive: .* pinned is 0"):
        unlabelled.load(archive, "0" * 64, loaded)
    with pytest.raises(UserError, match=r"none\.zip cannot be read"):
        unlabelled.load(packed / "none.zip", digest, loaded)


def test_an_archive_without_another_face_is_one_line(packed, loaded):
    held_out = arrays.load("test").images[0, ..., 0]
    digest = zipped(packed / "more.zip", **{"train/fear/held_out.png": png(held_out)})
    with pytest.raises(UserError, match=r"more\.zip has no face that is not in validation or test"):
        unlabelled.load(packed / "more.zip", digest, loaded)


def test_a_teacher_that_was_not_pinned_is_one_line(loaded, teacher):
    other = training.distilled(KEY, loaded, teacher, digest="0" * 64)
    with pytest.raises(UserError, match=f"teacher {teacher} is not the pinned one: .* pinned is 0"):
        tracked_training.train(KEY, other)


def test_the_folder_of_a_teacher_may_end_with_a_slash(loaded, teacher):
    schedule = loaded.schedules[KEY]
    ((folder, digest),) = schedule.distillation.teachers.items()
    settings = dataclasses.replace(schedule.distillation, teachers={f"{folder}/": digest})
    schedules = {KEY: dataclasses.replace(schedule, distillation=settings)}
    assert teachers.teaching(KEY, dataclasses.replace(loaded, schedules=schedules))


def test_a_distillation_without_teachers_does_not_learn_from_labels(packed, loaded):
    with checkpoint.opened(KEY, loaded) as kept, pytest.raises(ValueError, match="no teaching"):
        train.train(KEY, loaded, kept, lambda row: None)


def test_runs_are_told_apart_by_their_distillation(loaded):
    settings = loaded.schedules[KEY].distillation
    described = provenance.parameters(KEY, loaded)
    assert described["distillation.views"] == settings.views
    assert described["distillation.teachers"] == settings.teachers


def test_a_teacher_of_other_classes_is_one_line(packed, loaded, teacher):
    other = dataclasses.replace(loaded, classes=("calm", "neutral", "sad", "surprise"))
    expected = (
        f"teacher {teacher} has the classes happy, neutral, sad, surprise; "
        "this project has calm, neutral, sad, surprise"
    )
    with pytest.raises(UserError, match=expected):
        teachers.teaching(KEY, other)


def test_a_teacher_of_another_size_is_one_line(packed, loaded):
    small = bundles.made(packed / "small", size=32)
    with pytest.raises(UserError, match=r"takes faces of 32 pixels; data\.image_size is 48"):
        teachers.teaching(KEY, training.distilled(KEY, loaded, small))


def test_a_missing_teacher_is_one_line(packed, loaded):
    missing = training.distilled(KEY, loaded, packed / "nowhere", digest="0" * 64)
    with pytest.raises(UserError, match="nowhere"):
        teachers.teaching(KEY, missing)


def test_a_stage_of_the_head_alone_is_refused(made, loaded):
    schedule = loaded.schedules[KEY]
    head = dataclasses.replace(schedule.stages[0], trainable_from="head")
    with pytest.raises(UserError, match="trainable_from cannot be head"):
        views(made, dataclasses.replace(schedule, stages=(head, schedule.stages[1])))


def test_without_distillation_there_is_no_teacher(packed):
    assert teachers.teaching(KEY, training.toy(KEY)) is None


@pytest.mark.parametrize(
    ("key", "value"), [("views", 0), ("mix", 1.5), ("teachers", {}), ("unlabelled", {"a": "b"})]
)
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(ValueError, match=key):
        Distillation(**{"teachers": {"a": "0" * 64}, "views": 1, key: value})
