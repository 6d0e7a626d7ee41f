"""Frames, scans and parts of an image file are counted and limited before it is decoded."""

import time

import numpy as np
import pytest
from tests.support.bundles import quarter
from tests.support.costly_images import (
    COSTLY_IMAGES,
    SMALL,
    commented_gif,
    noted_jpeg,
    noted_png,
    paged,
    profiled_png,
    scanned,
    segmented,
    tagged,
)
from tests.support.invalid_images import INVALID_IMAGES, encoded

from unveil.data.decoding import FORMATS, Limits, UnreadableImage, decode, inspect
from unveil.data.image_limits import PartCounts, count_parts
from unveil.data.metadata_stripping import strip_metadata

MOST = 1000


@pytest.mark.fault("pictures that are small as files and ask for much work")
@pytest.mark.parametrize("name", COSTLY_IMAGES)
def test_expensive_pictures_are_refused_at_once_with_a_reason(name):
    content, reason = COSTLY_IMAGES[name]
    began = time.process_time()
    with pytest.raises(UnreadableImage, match=reason):
        decode(content)
    with pytest.raises(UnreadableImage, match=reason):
        inspect(content)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("kind", FORMATS)
def test_an_ordinary_picture_has_one_frame_and_few_parts(kind):
    content = encoded(SMALL, kind)
    counts = count_parts(content, MOST)
    assert counts.frames <= 1
    assert counts.scans <= 1
    assert counts.parts < 100
    assert inspect(content).width == 48


@pytest.mark.parametrize(
    ("content", "counts"),
    [
        (encoded(SMALL, "JPEG", progressive=True), PartCounts(1, 6, 18)),
        (encoded(SMALL.convert("RGB"), "JPEG", progressive=True), PartCounts(1, 10, 27)),
        (encoded(SMALL, "JPEG"), PartCounts(1, 1, 7)),
        (paged(2), PartCounts(2, 1, 22)),
    ],
    ids=["gray", "color", "baseline", "pages"],
)
def test_frames_scans_and_parts_are_counted(content, counts):
    found = count_parts(content, MOST)
    assert (found.frames, found.scans) == (counts.frames, counts.scans)
    assert found.parts == pytest.approx(counts.parts, abs=5)


def test_the_given_limits_apply():
    assert decode(scanned(64, 20)).pixels.shape == (64, 64)
    with pytest.raises(UnreadableImage, match="26 scans, more than 25"):
        decode(scanned(64, 20), Limits(max_scans=25))
    assert decode(segmented(500)).pixels.shape == (48, 48)
    with pytest.raises(UnreadableImage, match="more than 499 segments"):
        decode(segmented(500), Limits(max_parts=499))
    with pytest.raises(UnreadableImage, match="48x48 pixels, a side over 47"):
        decode(encoded(SMALL), Limits(max_side=47))


@pytest.mark.parametrize(
    "content",
    [
        profiled_png(1),
        noted_png(60),
        noted_jpeg(0xE1, 1, b"Exif\0\0"),
        noted_jpeg(0xE1, 600, b"http://ns.adobe.com/xmp/extension/\0"),
        noted_jpeg(0xE2, 255, b"ICC_PROFILE\0\1\1"),
        commented_gif(1000),
    ],
    ids=["profile", "texts", "exif", "extended XMP", "profile in parts", "comment"],
)
def test_usual_metadata_of_cameras_and_editors_is_accepted(content):
    assert decode(content).pixels.shape == (48, 48)
    assert inspect(content).width == 48


def test_tags_are_counted_as_parts_and_texts_are_limited():
    with pytest.raises(UnreadableImage, match="more than 1000 segments"):
        decode(tagged(2000), Limits(max_parts=MOST))
    assert np.array_equal(decode(noted_png(3)).pixels, quarter(0))


@pytest.mark.parametrize(
    "name", [name for name in INVALID_IMAGES if len(INVALID_IMAGES[name][0]) < 100_000]
)
def test_counting_damaged_files_raises_nothing(name):
    content = INVALID_IMAGES[name][0]
    for cut in range(0, len(content), 7):
        assert count_parts(content[:cut], MOST).parts <= MOST + 1


def test_an_expensive_picture_is_ingested_as_unreadable():
    with pytest.raises(UnreadableImage, match="segments"):
        strip_metadata(COSTLY_IMAGES["segments"][0])
