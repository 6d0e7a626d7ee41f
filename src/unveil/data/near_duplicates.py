"""manifest -> groups of near twins: one photograph, recompressed, resized, moved a little or lit.

Takes the perceptual hashes of faces, gives each the group it belongs to. Looked for as in G. S.
Manku, A. Jain, A. Das Sarma (2007, "Detecting Near-Duplicates for Web Crawling", 3): of the 64
bits with the longest waves in ``PARTS`` parts, two twins have ``WHOLE`` in common. For each choice
of parts faces are sorted by them, and only neighbours with the same are compared, in all bits.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unveil.data.fingerprints import MIRRORED

PARTS, WHOLE = 10, 3
"""Twins that differ in up to 7 of their first 64 bits are all found, most of the others too."""
CLOSE = 16
"""Codes that differ in more of the first 64 bits are not compared in the rest, for speed."""
GOLDEN, HIGH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFFFFFFFF00000000)

Codes = NDArray[np.uint64]
"""Distinct perceptual hashes, ``(n, 4)``."""
Pairs = NDArray[np.int64]
"""Two places each, ``(k, 2)``, the lower first."""


def groups(faces: pd.DataFrame, *, distance: int) -> pd.Series:
    """Give each face the smallest sha256 of its group: all that near twins connect.

    ``distance`` is the number of bits in which near twins may differ, mirrored or not. A face that
    cannot be read, without a perceptual hash, has no group: an empty text.
    """
    readable = faces[faces["phash"] != ""]
    hashes, places = np.unique(readable["phash"].to_numpy(dtype=str), return_inverse=True)
    linked = components(len(hashes), pairs(codes(hashes), distance=distance))
    first = readable["sha256"].groupby(linked[places]).transform("min")
    return first.reindex(faces.index, fill_value="")


def kin(faces: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Name what a chain of equal values in any of the columns connects, by its smallest digest."""
    places = pd.Series(np.arange(len(faces)), index=faces.index)
    links = [
        np.stack([places, places.groupby(faces[column]).transform("min").fillna(places)], axis=1)
        for column in columns
    ]
    linked = components(len(faces), np.concatenate(links).astype(np.int64))
    names = faces["sha256"].where(faces["sha256"] != "", faces["member"])
    return names.groupby(linked).transform("min")


def codes(hashes: NDArray[np.str_]) -> Codes:
    """Read hexadecimal hashes of 64 digits."""
    read = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=">u8")
    return read.reshape(-1, 4).astype(np.uint64)


def pairs(codes: Codes, *, distance: int) -> Pairs:
    """Find the pairs of codes that differ in no more than ``distance`` bits, mirrored or not."""
    count = len(codes)
    both = np.concatenate([codes, codes ^ MIRROR])
    near = [pair % count for mask in _masks() for pair in _alike(both, mask, distance)]
    found = np.sort(np.concatenate([np.empty((0, 2), np.int64), *near]), axis=1)
    found = np.unique(found[:, 0] * count + found[:, 1])
    first, second = np.divmod(found[found % (count + 1) != 0], max(1, count))
    return np.stack([first, second], axis=1)


def components(count: int, pairs: Pairs) -> NDArray[np.int32]:
    """Number the groups of what pairs connect."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    numbers: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return numbers


MIRROR = codes(np.array([MIRRORED]))


def _masks() -> Iterator[np.uint64]:
    # Every tenth bit: each part has long waves and short ones.
    parts = [sum(1 << bit for bit in range(part, 64, PARTS)) for part in range(PARTS)]
    for chosen in combinations(parts, WHOLE):
        yield np.uint64(sum(chosen))


def _alike(codes: Codes, mask: np.uint64, distance: int) -> Iterator[Pairs]:
    """Compare each code with all that have the same bits under the mask."""
    order, keys = _sorted(codes[:, 0] & mask)
    first = codes[order, 0]
    left = np.arange(len(codes))
    for step in range(1, len(codes)):
        left = left[: np.searchsorted(left, len(codes) - step)]
        left = left[keys[left] == keys[left + step]]
        if not len(left):
            return
        close = left[np.bitwise_count(first[left] ^ first[left + step]) <= CLOSE]
        pair = np.stack([order[close], order[close + step]], axis=1)
        differing = np.bitwise_count(codes[pair[:, 0]] ^ codes[pair[:, 1]]).sum(axis=1)
        yield pair[differing <= distance]


def _sorted(bits: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Give places in the order of 32-bit keys of the bits, and these keys.

    Keys are D. Knuth's multiplicative hashes. With its place in the same number a key is sorted
    four times as fast as by ``argsort``.
    """
    keyed = (bits * GOLDEN) & HIGH | np.arange(len(bits), dtype=np.uint64)
    keyed.sort()
    return (keyed & ~HIGH).astype(np.int64), keyed & HIGH
