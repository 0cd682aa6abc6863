"""Packings: sets of equal-weight words at pairwise distance d or more, as large as can be had (appendix A).

A codeword of N <= 64 branches is one uint64, branch n the bit N − 1 − n, so that the order of the numbers
is the lexicographic order of the written words. Two words of weight w are at distance 2(w − shared ones): one AND
and one bit count for a pair.

Two ways to a packing are here, the lexicographic list of the paper and growth of any packing by exchanges;
`algebraic.py` has a third.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

from .effort import CALL, ELEMENT, Effort

Words = np.ndarray  # (M,) uint64

HEADS = 5_000  # beginnings that a lexicographic list is split into
LARGEST_TABLE = 20_000_000  # words that are written down at once: 160 MB
LARGEST_LIST = 1_000_000_000  # words a lexicographic list may have: 16 of 32, the paper's largest, are 0.6e9
LARGEST_POOL = 100_000  # words that growth looks at in every step
POOL_CONFLICTS = 2  # words of the packing that a word of the pool may conflict with
MEMBER = 1_000  # added to a word's conflicts while it is in the packing, so that no search meets it
SOME = 4  # that could enter, drawn at random, of which one does
STALLED = 20_000  # steps without a larger packing that end a growth


def to_rows(words: Words, num_branches: int) -> np.ndarray:
    """(M,) numbers to (M, N) booleans, branch 0 first."""
    shifts = np.arange(num_branches - 1, -1, -1, dtype=np.uint64)
    return (words[:, None] >> shifts & np.uint64(1)).astype(bool)


def from_rows(rows: np.ndarray) -> Words:
    """(M, N) booleans to (M,) numbers; the inverse of `to_rows`."""
    shifts = np.arange(rows.shape[1] - 1, -1, -1, dtype=np.uint64)
    return (rows.astype(np.uint64) << shifts).sum(axis=1, dtype=np.uint64)


def words_of_weight(length: int, weight: int) -> Words:
    """All words of this length and weight, ascending: C(length, weight) numbers."""
    by_weight = {0: np.zeros(1, dtype=np.uint64)}
    for digit in range(length):
        lightest = max(0, weight - (length - 1 - digit))  # lighter ones cannot become heavy enough
        none = np.zeros(0, dtype=np.uint64)
        by_weight = {
            w: np.concatenate([by_weight.get(w, none), by_weight.get(w - 1, none) | np.uint64(1 << digit)])
            for w in range(lightest, min(weight, digit + 1) + 1)
        }
    return by_weight[weight]


def listable(num_branches: int, num_active: int) -> bool:
    """Whether `lexicographic_packing` can go through all words of these sizes."""
    tail = num_branches - _head_length(num_branches, num_active)
    table = max(comb(tail, weight) for weight in range(num_active + 1))
    return comb(num_branches, num_active) <= LARGEST_LIST and table <= LARGEST_TABLE


def lexicographic_packing(num_branches: int, num_active: int, distance: int, effort: Effort) -> Words:
    """The paper's list: go through all words in lexicographic order, keep each that is `distance` from all kept.

    Same result as the plain double loop, without most of its work: words that share their first branches are
    tried together. What the kept words allow them on the remaining branches follows from the beginning, and a
    beginning that cannot be completed is skipped whole. When the effort is spent the list breaks off.
    """
    most = num_active - distance // 2  # ones that two words may share
    split = _head_length(num_branches, num_active)
    tail = num_branches - split
    tables = {weight: words_of_weight(tail, weight) for weight in range(min(num_active, tail) + 1)}
    beginnings = [words_of_weight(split, weight) for weight in range(min(num_active, split) + 1)]
    heads, tails = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64)  # the kept words, split
    for head in np.sort(np.concatenate(beginnings)):
        begun = int(np.bitwise_count(head))
        weight = num_active - begun  # ones left for the tail
        if weight > tail:
            continue
        room = most - np.bitwise_count(heads & head).astype(int)  # ones that the tails may still share
        kept = np.bitwise_count(tails).astype(int)
        effort.spend(20 * CALL + 20 * ELEMENT * len(tails))
        if effort.spent:
            break
        if (room < np.maximum(0, weight + kept - tail)).any():
            continue
        binding = np.flatnonzero(room < np.minimum(weight, kept))
        tightest_first = binding[np.argsort(room[binding] - weight * kept[binding] / tail, kind="stable")]
        left = tables[weight]
        for index in tightest_first:
            effort.spend(4 * CALL + 3 * ELEMENT * len(left))
            left = left[np.bitwise_count(left & tails[index]) <= room[index]]
            if not len(left):
                break
        new = []
        while len(left):
            new.append(left[0])
            left = left[np.bitwise_count(left & left[0]) <= most - begun]
        tails = np.append(tails, np.array(new, dtype=np.uint64))
        heads = np.append(heads, np.full(len(new), head, dtype=np.uint64))
    return heads << np.uint64(tail) | tails


def grow(
    packing: Words,
    words: Words,
    num_branches: int,
    num_active: int,
    distance: int,
    target: int,
    effort: Effort,
    rng: np.random.Generator,
) -> Words:
    """Enlarge a packing by exchanges, word by word.

    Args:
        packing: (M,) words at this distance, to start from; may be empty.
        words: what to choose from; only those in conflict with at most two words of the packing are looked at.
        target: enough.
    Returns:
        The largest packing met, ascending.
    """
    most = num_active - distance // 2
    pool = _nearly_free(packing, words, most, effort)
    if len(pool) > LARGEST_POOL:
        pool = pool[rng.permutation(len(pool))[:LARGEST_POOL]]
    pool = np.union1d(pool, packing)
    member = exchange(
        lambda index: np.bitwise_count(pool & pool[index]) > most,
        np.ones(len(pool), dtype=int),
        to_rows(pool, num_branches),
        np.flatnonzero(np.isin(pool, packing)),
        target,
        effort,
        rng,
    )
    return pool[member]


def exchange(
    conflicting: Callable[[int], np.ndarray],
    sizes: np.ndarray,
    ones: np.ndarray,
    start: np.ndarray,
    target: int,
    effort: Effort,
    rng: np.random.Generator,
) -> np.ndarray:
    """Choose as much as possible without conflicts: put in what fits, else exchange one for one until something fits.

    Of several that could enter, the one whose columns are emptiest does: K words with equal columns are to be found
    in the choice.

    Args:
        conflicting: index to (M,) booleans, what it cannot be together with; itself included.
        sizes: (M,) what each counts.
        ones: (M, N) how many ones each has in each column.
        start: indices without conflicts, to start from.
        target: enough.
    Returns:
        (M,) mask of the largest choice met.
    """
    conflicts = np.zeros(len(sizes), dtype=np.int32)
    member = np.zeros(len(sizes), dtype=bool)
    waits = np.zeros(len(sizes), dtype=np.int64)  # the step before which one that left may not come back

    columns = np.zeros(ones.shape[1], dtype=np.int64)

    def put(index: int, inside: bool) -> None:
        change = 1 if inside else -1
        conflicts[conflicting(index)] += change
        conflicts[index] += change * MEMBER
        member[index] = inside
        columns[:] += change * ones[index]

    def emptiest(among: np.ndarray) -> int:
        some = among[rng.integers(len(among), size=SOME)]
        return int(some[np.argmin(ones[some] @ columns / sizes[some])])

    for index in start:
        put(index, True)
    best, size, step, improved = member.copy(), int(sizes[member].sum()), 0, 0
    most = size
    while most < target and step - improved < STALLED and not effort.spent:
        step += 1
        if len(free := np.flatnonzero(conflicts == 0)):
            entering = emptiest(free)
        else:
            ready = waits < step
            for allowed in (1, 2, 3):
                if len(near := np.flatnonzero((conflicts == allowed) & ready)):
                    break
            else:
                break
            entering = emptiest(near)
            for leaving in np.flatnonzero(member & conflicting(entering)):
                put(leaving, False)
                waits[leaving] = step + 10 + rng.integers(10)
                size -= int(sizes[leaving])
        put(entering, True)
        size += int(sizes[entering])
        effort.spend(40 * CALL + 18 * ELEMENT * len(sizes))
        if size > most:
            best, most, improved = member.copy(), size, step
    return best


def _nearly_free(packing: Words, words: Words, most: int, effort: Effort) -> Words:
    """Words that share more than `most` ones with at most `POOL_CONFLICTS` words of the packing."""
    kept = []
    for start in range(0, len(words), 1 << 17):  # pieces that stay in the processor's cache
        piece = words[start : start + (1 << 17)]
        conflicts = np.zeros(len(piece), dtype=np.uint8)
        for index, word in enumerate(packing):
            conflicts += np.bitwise_count(piece & word) > most
            effort.spend(4 * CALL + 0.8 * ELEMENT * len(piece))
            if index % 64 == 63:  # long before a count of 255
                few = conflicts <= POOL_CONFLICTS
                piece, conflicts = piece[few], conflicts[few]
        kept.append(piece[conflicts <= POOL_CONFLICTS])
        if effort.spent:
            break
    return np.concatenate(kept)


def _head_length(num_branches: int, num_active: int) -> int:
    """Branches at the front that a lexicographic list is split at: about `HEADS` beginnings, half the word at most."""
    split = 0
    while (
        split < num_branches // 2 and sum(comb(split + 1, weight) for weight in range(num_active + 1)) <= HEADS
    ):
        split += 1
    return split
