"""Packings with a symmetry: whole orbits of words under turns of the columns, found by exchanges.

Many of the best packings known are invariant under a group. Asking for one makes the search smaller by the size
of the group: an orbit is in or out. Here the columns form blocks of equal length, every block turns by one column at
a time, and columns that are left over stay in place. An orbit under turns of the whole word has equal columns.
"""

from __future__ import annotations

from math import comb

import numpy as np

from .effort import CALL, ELEMENT, Effort
from .packing import Words, exchange, to_rows, words_of_weight

MOST_WORDS = 1_000_000  # words that are sorted into orbits; where there are more, as many at random
SAMPLE = 100_000
FEW, MANY = 1_000, 6_000  # orbits to choose from, for a first look and in earnest; their table of conflicts is square


def block_lengths(num_branches: int) -> list[int]:
    """Lengths of the blocks worth trying: the whole word, all but one column, and halves, thirds, quarters of both."""
    lengths = {(num_branches - fixed) // blocks for fixed in (0, 1) for blocks in (1, 2, 3, 4)}
    return sorted((length for length in lengths if length >= 3), reverse=True)


def orbit_packing(
    num_branches: int,
    num_active: int,
    distance: int,
    length: int,
    most_orbits: int,
    target: int,
    effort: Effort,
    rng: np.random.Generator,
) -> Words:
    """A packing that is invariant under turns of all blocks of this length.

    Args:
        most_orbits: to choose from, drawn at random where there are more.
        target: enough words.
    Returns:
        (M,) words, ascending; the largest met, no larger than needed for `target`.
    """
    most = num_active - distance // 2
    if comb(num_branches, num_active) <= MOST_WORDS:
        words = words_of_weight(num_branches, num_active)
    else:
        places = np.argsort(rng.random((SAMPLE, num_branches)), axis=1)[:, :num_active]
        words = (np.uint64(1) << places.astype(np.uint64)).sum(axis=1, dtype=np.uint64)
    effort.spend(length * (10 * CALL + 12 * ELEMENT * len(words)))
    first = words
    for steps in range(1, length):
        first = np.minimum(first, _turn(words, steps, length, num_branches))
    first = np.unique(first)
    for steps in range(1, length):
        shared = np.bitwise_count(first & _turn(first, steps, length, num_branches))
        first = first[(shared <= most) | (shared == num_active)]
    if len(first) > most_orbits:
        first = np.sort(first[rng.permutation(len(first))[:most_orbits]])
    if not len(first):
        return first
    turned = np.stack([_turn(first, steps, length, num_branches) for steps in range(length)])  # (length, orbits)
    conflict = np.eye(len(first), dtype=bool)
    for images in turned:
        effort.spend(3 * CALL + 3 * ELEMENT * conflict.size)
        conflict |= np.bitwise_count(images[:, None] & first) > most
        if effort.spent:
            return first[:0]
    np.fill_diagonal(conflict, True)
    sizes = (np.diff(np.sort(turned, axis=0), axis=0) > 0).sum(axis=0) + 1
    ones = sum(to_rows(images, num_branches).astype(int) for images in turned) * sizes[:, None] // length
    member = exchange(lambda index: conflict[index], sizes, ones, np.zeros(0, dtype=int), target, effort, rng)
    return np.unique(turned[:, member])


def _turn(words: Words, steps: int, length: int, num_branches: int) -> Words:
    """Every whole block of `length` columns turned by `steps` columns; blocks start at the last column."""
    stay = (1 << num_branches) - 1
    high = low = 0  # the digits that move up, and those that come round from the top of their block
    for start in range(0, num_branches - length + 1, length):
        low |= ((1 << steps) - 1) << start
        high |= ((1 << length) - (1 << steps)) << start
    stay &= ~(high | low)
    up = words << np.uint64(steps) & np.uint64(high)
    round_ = words >> np.uint64(length - steps) & np.uint64(low)
    return up | round_ | words & np.uint64(stay)
