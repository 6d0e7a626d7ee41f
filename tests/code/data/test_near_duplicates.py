"""Near duplicates within the distance are all found, in nearly linear time."""

import time
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.data import fingerprints, near_duplicates


def scattered(count: int, seed: int = 0) -> near_duplicates.Codes:
    """Draw hashes far from one another; the last bit is 0, as in every perceptual hash."""
    drawn = np.random.default_rng(seed).integers(0, 2**64, (count, 4), dtype=np.uint64)
    drawn[:, 3] &= ~np.uint64(1)
    return drawn


def turned(code: np.ndarray, bits: list[int]) -> np.ndarray:
    """Flip bits of a hash, counted from the lowest frequency."""
    code = code.copy()
    for bit in bits:
        code[bit // 64] ^= np.uint64(1 << (63 - bit % 64))
    return code


def hexadecimal(codes: near_duplicates.Codes) -> list[str]:
    return ["".join(f"{word:016x}" for word in code.tolist()) for code in codes]


def found(codes: near_duplicates.Codes, distance: int) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in near_duplicates.pairs(codes, distance=distance)}


def table(codes: near_duplicates.Codes) -> pd.DataFrame:
    digests = [f"{place:064x}" for place in range(len(codes))]
    return pd.DataFrame({"sha256": digests, "phash": hexadecimal(codes)})


def test_hashes_are_parsed():
    codes = scattered(5)
    assert (near_duplicates.parse_hashes(np.array(hexadecimal(codes))) == codes).all()


@given(st.lists(st.integers(0, 63), max_size=7), st.lists(st.integers(64, 254), max_size=40))
@settings(deadline=None, max_examples=40)
def test_a_near_duplicate_that_differs_in_seven_low_bits_is_found(longest, others):
    codes = scattered(50)
    bits = sorted({*longest, *others})
    codes = np.concatenate([codes, turned(codes[7], bits)[None]])
    if bits:
        assert found(codes, distance=47) == {(7, 50)}
        assert found(codes, distance=len(bits) - 1) == set()


@given(st.integers(0, 2**32), st.integers(0, 60))
@settings(deadline=None, max_examples=30)
def test_only_pairs_within_the_distance_are_found_mirrored_or_not(seed, distance):
    generator = np.random.default_rng(seed)
    codes = scattered(12, seed)
    near = [turned(code, list(generator.integers(0, 255, 25))) for code in codes]
    codes = np.unique(np.concatenate([codes, near, near ^ near_duplicates.MIRROR]), axis=0)
    for first, second in found(codes, distance):
        differing = codes[first] ^ codes[second]
        least = min(
            np.bitwise_count(bits).sum() for bits in (differing, differing ^ near_duplicates.MIRROR)
        )
        assert first < second and least <= distance


def test_a_mirrored_duplicate_is_found():
    codes = scattered(3)
    mirrored = turned(codes[1], [3, 77, 200]) ^ near_duplicates.MIRROR
    assert found(np.concatenate([codes, mirrored]), distance=3) == {(1, 3)}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_hashes_have_no_pair(count):
    assert near_duplicates.pairs(scattered(count), distance=56).shape == (0, 2)


def test_groups_are_named_by_their_smallest_digest():
    codes = scattered(6)
    codes[4] = turned(codes[1], list(range(100, 140)))
    codes[5] = turned(codes[4], list(range(140, 180)))
    faces = pd.concat([table(codes), pd.DataFrame({"sha256": [""], "phash": [""]})])
    faces.index = list("abcdefg")
    grouped = near_duplicates.groups(faces, distance=40)
    digests = faces["sha256"]
    assert list(grouped[["b", "e", "f"]]) == [digests["b"]] * 3
    for alone in "acdg":
        assert grouped[alone] == digests[alone]


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_groups_do_not_depend_on_the_order_of_rows(random):
    codes = scattered(30)
    codes = np.concatenate([codes, [turned(code, list(range(64, 90))) for code in codes[::3]]])
    faces = table(codes)
    order = random.sample(range(len(faces)), len(faces))
    there = near_duplicates.groups(faces, distance=30)
    back = near_duplicates.groups(faces.iloc[order], distance=30)
    pd.testing.assert_series_equal(there, back.sort_index())
    assert there.nunique() == 30


def test_linked_groups_are_connected_by_any_column():
    faces = pd.DataFrame(
        {
            "member": list("abcdef"),
            "sha256": ["5", "4", "3", "2", "", "1"],
            "twins": ["4", "4", "3", "2", "e", "1"],
            "subject": [None, "x", "x", "y", None, "y"],
        }
    )
    assert list(near_duplicates.linked_groups(faces, ["twins", "subject"])) == [
        "3",
        "3",
        "3",
        "1",
        "e",
        "1",
    ]
    assert list(near_duplicates.linked_groups(faces.iloc[::-1], ["twins", "subject"])) == list(
        "1e1333"
    )


@pytest.mark.slow
def test_a_million_faces_are_searched_in_seconds(capsys):
    codes, generator = scattered(1_000_000), np.random.default_rng(1)
    planted = 10_000
    for twin, code in zip(range(planted), codes[planted : 2 * planted], strict=True):
        longest = generator.permutation(64)[: generator.integers(0, 10)]
        others = 64 + generator.permutation(191)[: generator.integers(0, 47)]
        codes[twin] = turned(code, [*longest, *others])
    began = time.process_time()
    pairs = found(codes, distance=56)
    seconds = time.process_time() - began
    wanted = {(twin, twin + planted) for twin in range(planted)}
    with capsys.disabled():
        recall = len(pairs & wanted) / planted
        print(
            f"\n1,000,000 hashes: {seconds:.1f} s, recall {recall:.4f} of {planted:,} planted pairs"
        )
    assert pairs <= wanted
    assert recall > 0.98
    assert seconds < 120


def test_the_mirror_of_a_face_differs_in_known_bits():
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    straight, mirrored = (
        near_duplicates.parse_hashes(np.array([fingerprints.phash(np.ascontiguousarray(face))]))
        for face in (pixels, pixels[:, ::-1])
    )
    assert np.bitwise_count(straight ^ mirrored ^ near_duplicates.MIRROR).sum() <= 2


def test_all_pairs_of_many_duplicates_are_found():
    code = scattered(1)[0]
    crowd = np.stack([turned(code, [100 + place]) for place in range(20)])
    assert found(crowd, distance=2) == set(combinations(range(20), 2))
