"""Faces are followed from frame to frame; lost and new ones are found in the whole frame."""

import numpy as np
import pytest
from tests.support import scenes

from unveil.inference import face_following
from unveil.inference.face_crop import Detection
from unveil.inference.face_detector import FaceDetector
from unveil.inference.face_following import INTERVAL, MOST, FollowedFaces
from unveil.inference.picture_sizes import MOVING


class Counted(FaceDetector):
    """A real detector that counts its looks at a whole frame."""

    everywhere = 0

    def __call__(self, picture: np.ndarray) -> list[Detection]:
        """Count, and detect."""
        Counted.everywhere += 1
        return super().__call__(picture)


@pytest.fixture
def detector(monkeypatch):
    monkeypatch.setattr(Counted, "everywhere", 0)
    return Counted(MOVING)


def seen(detector: Counted, frames: list[np.ndarray], rate: float = 100.0) -> list[list[Detection]]:
    followed, result = FollowedFaces(), []
    for number, frame in enumerate(frames):
        found = face_following.detect(detector, frame, followed.near(number / rate))
        followed.update(found)
        result.append(found)
    return result


def test_a_moving_face_is_followed_with_one_look_at_the_whole_frame(detector):
    places = [(60 + 12 * step, 90, 200) for step in range(20)]
    found = seen(detector, [scenes.scene(one) for one in places])
    assert Counted.everywhere == 1
    for (x, y, side), (one,) in zip(places, found, strict=True):
        assert one.square is not None
        assert abs(one.square.x - x - side / 2) < side / 8
        assert abs(one.square.y - y - side / 2) < side / 8


def test_a_followed_face_is_placed_as_in_the_whole_frame(detector):
    frame = scenes.scene((150, 80, 220), (420, 60, 150))
    first, second = seen(detector, [frame, frame])
    assert Counted.everywhere == 1
    for own, other in zip(second, first, strict=True):
        assert own.square.x == pytest.approx(other.square.x, abs=own.square.side / 15)
        assert own.square.side == pytest.approx(other.square.side, rel=0.1)


def test_a_new_face_is_found_within_the_interval(detector):
    alone, both = scenes.scene((60, 90, 200)), scenes.scene((60, 90, 200), (400, 60, 160))
    found = seen(detector, [alone, *[both] * 30])
    assert [len(one) for one in found[:2]] == [1, 1]
    assert len(found[round(INTERVAL * 100) + 1]) == 2


def test_a_lost_face_is_searched_for_in_the_whole_frame(detector):
    found = seen(detector, [scenes.scene((60, 90, 180)), scenes.scene((420, 250, 180))])
    assert Counted.everywhere == 2
    assert [len(one) for one in found] == [1, 1]


def test_without_a_face_every_frame_is_searched(detector):
    empty = np.full((480, 640), 120, np.uint8)
    assert seen(detector, [empty] * 4) == [[]] * 4
    assert Counted.everywhere == 4


def test_more_faces_than_are_followed_are_searched_for_everywhere(detector):
    places = [(20 + 150 * step, 100, 140) for step in range(MOST + 1)]
    found = seen(detector, [scenes.scene(*places)] * 3)
    assert [len(one) for one in found] == [MOST + 1] * 3
    assert Counted.everywhere == 3


def test_a_frame_of_another_size_is_searched(detector):
    found = seen(
        detector, [scenes.scene((300, 150, 200)), scenes.scene((10, 5, 150), size=(160, 160))]
    )
    assert [len(one) for one in found] == [1, 1]
