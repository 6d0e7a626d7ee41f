"""Group near duplicates: copies of one photograph, recompressed, resized, shifted or relit.

Compares perceptual hashes by the method of G. S. Manku, A. Jain, A. Das Sarma (2007, "Detecting
Near-Duplicates for Web Crawling", 3): the 64 bits of the lowest frequencies are divided into
``PARTS`` parts, of which two near duplicates have ``WHOLE`` in common. For each choice of parts
faces are sorted by these bits, and only those with equal bits are compared in all bits.
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
"""Finds all near duplicates that differ in up to 7 of their first 64 bits, and most others."""
CLOSE = 16
"""Hashes that differ in more of the first 64 bits are not compared in the rest, for speed."""
GOLDEN, HIGH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFFFFFFFF00000000)

Codes = NDArray[np.uint64]
"""Distinct perceptual hashes, ``(n, 4)``."""
Pairs = NDArray[np.int64]
"""Pairs of indices, ``(k, 2)``, the lower first."""


def groups(faces: pd.DataFrame, *, distance: int) -> pd.Series:
    """Return the group of each face: the smallest sha256 of its connected near duplicates.

    ``distance`` is the number of bits in which near duplicates may differ, mirrored or not. An
    unreadable face, without a perceptual hash, has an empty group.
    """
    readable = faces[faces["phash"] != ""]
    hashes, indices = np.unique(readable["phash"].to_numpy(dtype=str), return_inverse=True)
    linked = components(len(hashes), pairs(parse_hashes(hashes), distance=distance))
    first = readable["sha256"].groupby(linked[indices]).transform("min")
    return first.reindex(faces.index, fill_value="")


def linked_groups(faces: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Return the group of each face that is connected by equal values in any of the columns.

    A group is named by its smallest sha256.
    """
    indices = pd.Series(np.arange(len(faces)), index=faces.index)
    links = [
        np.stack([indices, indices.groupby(faces[column]).transform("min").fillna(indices)], axis=1)
        for column in columns
    ]
    linked = components(len(faces), np.concatenate(links).astype(np.int64))
    names = faces["sha256"].where(faces["sha256"] != "", faces["member"])
    return names.groupby(linked).transform("min")


def parse_hashes(hashes: NDArray[np.str_]) -> Codes:
    """Parse hexadecimal hashes of 64 digits."""
    read = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=">u8")
    return read.reshape(-1, 4).astype(np.uint64)


def pairs(codes: Codes, *, distance: int) -> Pairs:
    """Find the pairs of hashes that differ in at most ``distance`` bits, mirrored or not."""
    count = len(codes)
    both = np.concatenate([codes, codes ^ MIRROR])
    near = [pair % count for mask in _masks() for pair in _near_pairs(both, mask, distance)]
    keys = np.sort(np.concatenate([np.empty((0, 2), np.int64), *near]), axis=1)
    keys = np.unique(keys[:, 0] * count + keys[:, 1])
    first, second = np.divmod(keys[keys % (count + 1) != 0], max(1, count))
    return np.stack([first, second], axis=1)


def components(count: int, pairs: Pairs) -> NDArray[np.int32]:
    """Return the number of the connected component of each of ``count`` items ``(count,)``."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    numbers: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return numbers


MIRROR = parse_hashes(np.array([MIRRORED]))


def _masks() -> Iterator[np.uint64]:
    # Every tenth bit: each part has low and high frequencies.
    parts = [sum(1 << bit for bit in range(part, 64, PARTS)) for part in range(PARTS)]
    for chosen in combinations(parts, WHOLE):
        yield np.uint64(sum(chosen))


def _near_pairs(codes: Codes, mask: np.uint64, distance: int) -> Iterator[Pairs]:
    """Compare each hash with all that have the same bits under the mask."""
    order, keys = _sort_by_bits(codes[:, 0] & mask)
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


def _sort_by_bits(bits: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the indices that sort 32-bit keys of the bits, and the sorted keys.

    Keys are Knuth's multiplicative hashes. Sorting key and index in one number is four times as
    fast as ``argsort``.
    """
    keyed = (bits * GOLDEN) & HIGH | np.arange(len(bits), dtype=np.uint64)
    keyed.sort()
    return (keyed & ~HIGH).astype(np.int64), keyed & HIGH
