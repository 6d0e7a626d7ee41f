"""`unveil bench serve` measures a bundle, and leaves no files behind."""

import os

from tests.support import bundles

from unveil.benchmarks import inference
from unveil.common.paths import BUNDLE
from unveil.inference import face_detector, picture_sizes


def test_a_bundle_is_measured_and_reported(place):
    bundles.made(BUNDLE)
    cores = os.sched_getaffinity(0)
    results = inference.measure(BUNDLE, calls=12)
    assert os.sched_getaffinity(0) == cores
    assert [one.name.split(",")[0] for one in results] == [
        "one face of 48x48",
        "one face of 48x48",
        "frame of 640x480",
        "frame of 640x480",
        "batch of 64 faces",
        "files from disk",
    ]
    assert all(0 < one.p50 <= one.p99 and one.rate > 0 for one in results)
    table = inference.table(results)
    assert len(table.splitlines()) == 2 + len(results) + 2
    assert "a face found in" in table
    assert sorted(path.name for path in place.iterdir()) == ["data", "params.yaml"]


def test_faces_in_the_frames_are_detected():
    find = face_detector.detector(picture_sizes.MOVING)
    frames = inference.scenes(12)
    assert {frame.shape for frame in frames} == {(480, 640)}
    assert sum(bool(find(frame)) for frame in frames) >= 6
