"""What a file is made of is counted before it is decoded, and bounded."""

import time

import numpy as np
import pytest
from tests.bundles import quarter
from tests.costly import (
    COSTLY,
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
from tests.hostile import HOSTILE, encoded

from unveil.containers import Counts, counted
from unveil.images import FORMATS, Limits, UnreadableImage, decode, measured
from unveil.strip import strip

MOST = 1000


@pytest.mark.fault("pictures that are small as files and ask for much work")
@pytest.mark.parametrize("name", COSTLY)
def test_a_picture_that_asks_for_much_work_is_refused_with_its_reason_at_once(name):
    content, reason = COSTLY[name]
    began = time.process_time()
    with pytest.raises(UnreadableImage, match=reason):
        decode(content)
    with pytest.raises(UnreadableImage, match=reason):
        measured(content)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("kind", FORMATS)
def test_an_ordinary_picture_has_one_frame_and_few_parts(kind):
    content = encoded(SMALL, kind)
    counts = counted(content, MOST)
    assert counts.frames <= 1
    assert counts.scans <= 1
    assert counts.parts < 100
    assert measured(content).width == 48


@pytest.mark.parametrize(
    ("content", "counts"),
    [
        (encoded(SMALL, "JPEG", progressive=True), Counts(1, 6, 18)),
        (encoded(SMALL.convert("RGB"), "JPEG", progressive=True), Counts(1, 10, 27)),
        (encoded(SMALL, "JPEG"), Counts(1, 1, 7)),
        (paged(2), Counts(2, 1, 22)),
    ],
    ids=["gray", "color", "baseline", "pages"],
)
def test_frames_scans_and_parts_are_counted(content, counts):
    found = counted(content, MOST)
    assert (found.frames, found.scans) == (counts.frames, counts.scans)
    assert found.parts == pytest.approx(counts.parts, abs=5)


def test_the_limits_are_those_that_are_given():
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
def test_what_cameras_and_editors_write_besides_the_pixels_is_let_in(content):
    assert decode(content).pixels.shape == (48, 48)
    assert measured(content).width == 48


def test_tags_are_parts_and_texts_cost_what_they_may():
    with pytest.raises(UnreadableImage, match="more than 1000 segments"):
        decode(tagged(2000), Limits(max_parts=MOST))
    assert np.array_equal(decode(noted_png(3)).pixels, quarter(0))


@pytest.mark.parametrize("name", [name for name in HOSTILE if len(HOSTILE[name][0]) < 100_000])
def test_counting_raises_nothing_for_what_is_damaged(name):
    content = HOSTILE[name][0]
    for cut in range(0, len(content), 7):
        assert counted(content[:cut], MOST).parts <= MOST + 1


def test_a_costly_picture_is_taken_in_as_unreadable():
    with pytest.raises(UnreadableImage, match="segments"):
        strip(COSTLY["segments"][0])
