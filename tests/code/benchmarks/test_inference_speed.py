"""`unveil bench serve` measures what it says, and leaves nothing behind."""

import os

from tests.support import bundles

from unveil.benchmarks import inference
from unveil.common.paths import BUNDLE
from unveil.inference import face_detector


def test_a_bundle_is_measured_and_told_of(place):
    bundles.made(BUNDLE)
    cores = os.sched_getaffinity(0)
    paces = inference.measure(BUNDLE, calls=12)
    assert os.sched_getaffinity(0) == cores
    assert [one.what.split(",")[0] for one in paces] == [
        "one face of 48x48",
        "one face of 48x48",
        "frame of 640x480 to answer",
        "batch of 64 faces",
        "files from disk",
    ]
    assert all(0 < one.p50 <= one.p99 and one.rate > 0 for one in paces)
    said = inference.table(paces)
    assert len(said.splitlines()) == 2 + len(paces) + 2
    assert "a face found in" in said
    assert sorted(path.name for path in place.iterdir()) == ["data", "params.yaml"]


def test_the_frames_have_faces_that_are_found_while_moving():
    find = face_detector.detector(reach=face_detector.MOVING)
    frames = inference.scenes(12)
    assert {frame.shape for frame in frames} == {(480, 640)}
    assert sum(bool(find(frame)) for frame in frames) >= 6
