"""Predicting a long video takes no more memory than predicting a short one."""

from dataclasses import replace
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from tests.support import bundles, films, scenes

from unveil.common.paths import BUNDLE
from unveil.inference import bundle, face_detector, picture_sizes, video
from unveil.inference.predict import PredictionSettings
from unveil.inference.predict_video import predict_video

SIDE = 128
SMALL = replace(picture_sizes.MOVING, most=64, least=64)
"""The detector's input is small, so that the test is short."""
WARM = 500
"""Frames after which all buffers are there."""
MOST = 24 * 2**20
"""Bytes; a frame has 49 KB, so that keeping each third one of 2,000 would be more."""


LONG = pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


@pytest.mark.parametrize("frames", [2000, LONG])
def test_the_memory_does_not_grow_with_the_frames(place, frames):
    bundles.made(BUNDLE)
    settings = PredictionSettings(bundle.load(BUNDLE), face_detector.detector(SMALL))
    with_face = cv2.resize(scenes.scene((180, 100, 280)), (SIDE, SIDE))
    path = films.h264(Path("film.mp4"), repeat(np.repeat(with_face[..., None], 3, 2), frames))
    process, count, begun = psutil.Process(), 0, 0
    with video.opened(path) as stream:
        for seen in predict_video(stream, "film.mp4", settings, Path("shown/film.mp4")):
            count += 1
            assert [one.face for one in seen] == [0]
            if count == WARM:
                begun = process.memory_info().rss
    assert count == frames
    assert process.memory_info().rss - begun < MOST
