"""The designer of coding schemes: K words, as far apart as can be, columns as equal as can be (appendix A).

The paper goes through a lexicographic list and picks greedily. Here every search knows the proven bound on the
distance (`bounds.py`) and stops where nothing better exists. The ways to a scheme, cheapest first:

* all words of the weight, where K needs them all;
* the words of one weight in an algebraic code (`algebraic.py`);
* annealing from random words (`annealing.py`), for all sizes with some room;
* an exact solver over all words (`choice.py`), where they are few;
* whole orbits of words under turns of the columns (`orbits.py`);
* the lexicographic list, enlarged by exchanges (`packing.py`).

Where a way gives more than K words, `choice.py` takes K of them with equal columns. Last, the pairs of
classes at the minimum distance are made few. Weights above N/2 are designed as complements: same distances.
"""

from __future__ import annotations

import logging
import math
from time import thread_time

import numpy as np

from ..errors import Refused
from . import algebraic, annealing, choice, orbits, packing
from .bounds import check_sizes, distance_bound, fewest_close_pairs
from .effort import Effort
from .scheme import CodingScheme

log = logging.getLogger(__name__)

LONGEST_WORD = 64  # a word is one 64-bit number
MOST_CLASSES = 2_000  # the K x K tables of the searches stay in the processor's cache up to here
FEW_WORDS = 500  # of the weight, which the exact solver may choose from

# Shares of the effort. A short round finds what is easy, and so a scheme to fall back on; a long one tries the larger
# distances; what is left makes the pairs at the minimum distance few.
SHORT_SHARE = 0.03
LONG_SHARE = 0.8
WORTH_IT = 0.75  # words for every class after a first look at a symmetry, from which a long look may reach K
ENOUGH = 1.4  # words of a packing for every class: columns can be made equal, and there is choice for more


def design_scheme(
    num_classes: int, num_branches: int, num_active: int, *, seed: int = 0, time_limit: float = 60.0
) -> CodingScheme:
    """K distinct codewords of length N and weight N_act: far apart, columns equal, few pairs at the minimum distance.

    The columns' sums differ by 0 where N divides K·N_act, else by 1. Among such schemes the distance is the
    largest that was reached; `certificate()` tells whether it is proven to be the largest there is. The same
    arguments give the same scheme whenever the search ends by itself, as it does on any machine at least half as
    fast as the one its work was measured on; else the best so far is returned and labelled `complete: False`.

    Args:
        num_classes: K, 2 … 2000, and at most C(N, N_act).
        num_branches: N, at most 64.
        num_active: N_act, 1 … N.
        seed: of all random choices, the order of the words included.
        time_limit: seconds of processor time for the search, which other programs on the machine do not use up. More
            of it buys more search, so it is an argument like any other. The bound on the distance is proven before,
            which takes seconds for 64 branches and much less for 32.
    Raises:
        TypeError, ValueError: sizes that cannot be, as `check_sizes`; more than 64 branches or 2000 classes; a time
            limit that is not positive and finite.
    """
    check_sizes(num_classes, num_branches, num_active)
    if num_branches > LONGEST_WORD or num_classes > MOST_CLASSES:
        raise Refused(
            f"schemes are designed for up to {LONGEST_WORD} branches and {MOST_CLASSES} classes, "
            f"got num_branches={num_branches}, num_classes={num_classes}"
        )
    if not 0 < time_limit < math.inf:
        raise Refused(f"time_limit is in seconds and must be positive and finite, got {time_limit!r}")
    started = thread_time()
    sizes = int(num_classes), int(num_branches), min(int(num_active), int(num_branches - num_active))
    bound = distance_bound(*sizes).value
    effort = Effort(time_limit)
    rows, construction = _Search(*sizes, seed, effort).run(bound)
    if sizes[2] < num_active:
        rows, construction = ~rows, f"complement of: {construction}"
    # In the paper chance decides which class gets which word; sorted first, the order depends on the words alone.
    rows = rows[np.argsort(packing.from_rows(rows))][np.random.default_rng(seed).permutation(len(rows))]
    provenance = {
        "construction": construction,
        "seed": seed,
        "time_limit": time_limit,
        "complete": effort.complete,
        "seconds": round(thread_time() - started, 1),
    }
    return CodingScheme(rows, provenance=provenance)


class _Search:
    """One design for weights up to N/2: the sizes, what is known by now, the ways to a scheme of a given distance."""

    def __init__(self, num_classes: int, num_branches: int, num_active: int, seed: int, effort: Effort) -> None:
        self.sizes = num_classes, num_branches, num_active
        self.seed = seed
        self.effort = effort
        self.lists: dict[int, packing.Words] = {}  # lexicographic packings by distance, grown as far as they are

    def run(self, bound: int) -> tuple[np.ndarray, str]:
        """(K, N) booleans, at this distance at most, and how they came about."""
        num_classes, num_branches, num_active = self.sizes
        if num_classes == math.comb(num_branches, num_active):
            return packing.to_rows(packing.words_of_weight(num_branches, num_active), num_branches), "all words"
        log.info("%d classes, %d branches, %d active: distance at most %d", *self.sizes, bound)
        distance, found = 2, (self._spread_words(), "distinct words")
        short = SHORT_SHARE * self.effort.left
        for way, seconds in ((self._algebraic, short), (self._try, short), (self._try, None)):
            for better in range(bound, distance, -2):
                if self.effort.spent:
                    break
                fair = LONG_SHARE * self.effort.left / ((better - distance) // 2)  # for each distance that is left
                if new := way(better, self.effort.part(seconds or fair)):
                    distance, found = better, new
                    break
        return self._thin(*found, distance)

    def _algebraic(self, distance: int, effort: Effort) -> tuple[np.ndarray, str] | None:
        """A scheme of this distance with equal columns and the way it was found, or None within this effort."""
        rng = np.random.default_rng([self.seed, distance, self.sizes[0], 2])
        rows = self._choose(algebraic.weight_class(*self.sizes[1:], distance), distance, effort, rng)
        return None if rows is None else (rows, "one weight of an extended BCH code, choice")

    def _try(self, distance: int, effort: Effort) -> tuple[np.ndarray, str] | None:
        """The same, by all ways."""
        log.info("distance %d: %.1f s of work", distance, effort.left)
        if found := self._algebraic(distance, effort.part(effort.left / 3)):
            return found
        rng = np.random.default_rng([self.seed, distance, self.sizes[0]])
        start = annealing.balanced_rows(*self.sizes, rng)
        if (rows := annealing.reach(start, distance, effort.part(effort.left / 3), rng)) is not None:
            return rows, "annealing"
        if math.comb(*self.sizes[1:]) <= FEW_WORDS:
            words = packing.to_rows(packing.words_of_weight(*self.sizes[1:]), self.sizes[1])
            if (rows := choice.solve(words, self.sizes[0], distance, effort.part(effort.left / 2))) is not None:
                return rows, "exact choice among all words"
        if found := self._symmetric(distance, effort.part(effort.left / 2), rng):
            return found
        words = self._packing(distance, effort.part(effort.left / 2), rng)
        if (rows := self._choose(words, distance, effort, rng)) is not None:
            return rows, "lexicographic packing, exchanges, choice"
        return None

    def _choose(
        self, words: packing.Words, distance: int, effort: Effort, rng: np.random.Generator
    ) -> np.ndarray | None:
        return choice.choose(packing.to_rows(words, self.sizes[1]), self.sizes[0], distance, effort, rng)

    def _symmetric(
        self, distance: int, effort: Effort, rng: np.random.Generator
    ) -> tuple[np.ndarray, str] | None:
        """K words out of an invariant packing: a first look at all symmetries, then the best one in earnest."""
        enough = int(ENOUGH * self.sizes[0])
        lengths = orbits.block_lengths(self.sizes[1])
        looks = [(length, orbits.FEW) for length in lengths]
        found: dict[int, int] = {}
        while looks and not effort.spent:
            length, most_orbits = looks.pop(0)
            part = effort.part(effort.left / (len(looks) + 1 + 2 * len(lengths) * (most_orbits == orbits.FEW)))
            words = orbits.orbit_packing(
                *self.sizes[1:], distance, length, most_orbits, enough, part.part(0.7 * part.left), rng
            )
            if (rows := self._choose(words, distance, part, rng)) is not None:
                return rows, f"orbits under turns of {length} columns, choice"
            log.info("  turns of %d columns: %d words", length, len(words))
            found[length] = len(words)
            if not looks and most_orbits == orbits.FEW and max(found.values()) > WORTH_IT * self.sizes[0]:
                looks = [(max(found, key=lambda length: found[length]), orbits.MANY)]
        return None

    def _packing(self, distance: int, effort: Effort, rng: np.random.Generator) -> packing.Words:
        """The largest packing known at this distance, enlarged as far as the effort goes."""
        num_classes, num_branches, num_active = self.sizes
        known = self.lists.get(distance)
        if known is None:
            known = algebraic.weight_class(num_branches, num_active, distance)
            if packing.listable(num_branches, num_active):
                listing = effort.part(effort.left / 2)
                known = max(packing.lexicographic_packing(*self.sizes[1:], distance, listing), known, key=len)
                if listing.spent:  # broken off: all its words begin with zeros, which nothing can balance
                    return known
        if math.comb(num_branches, num_active) <= packing.LARGEST_TABLE:
            words = packing.words_of_weight(num_branches, num_active)
        else:
            words = algebraic.weight_class(num_branches, num_active, 2)
        enough = int(ENOUGH * num_classes)
        self.lists[distance] = packing.grow(known, words, *self.sizes[1:], distance, enough, effort, rng)
        log.info("  packing by exchanges: %d words", len(self.lists[distance]))
        return self.lists[distance]

    def _spread_words(self) -> np.ndarray:
        """(K, N) distinct words with equal columns, always possible.

        While one column has two ones more than another, more words have only its 1 than only the other's, so some
        word may exchange the two digits without becoming one that is there already; the columns get closer each time.
        """
        num_classes, num_branches, num_active = self.sizes
        rng = np.random.default_rng([self.seed, num_classes])
        if math.comb(num_branches, num_active) <= packing.LARGEST_TABLE:
            words = packing.words_of_weight(num_branches, num_active)
            rows = packing.to_rows(words[rng.choice(len(words), num_classes, replace=False)], num_branches)
        else:
            rows = annealing.balanced_rows(num_classes, num_branches, num_active, rng)
            present: set[bytes] = set()
            for row in rows:  # one that is there already is drawn anew; the columns are made equal below
                while row.tobytes() in present:
                    row[:] = rng.permutation(row)
                present.add(row.tobytes())
        present = {row.tobytes() for row in rows}
        while np.ptp(columns := rows.sum(axis=0)) > 1:
            full, empty = int(columns.argmax()), int(columns.argmin())
            for row in rows[rows[:, full] & ~rows[:, empty]]:
                moved = row.copy()
                moved[[full, empty]] = False, True
                if moved.tobytes() not in present:
                    break
            index = np.flatnonzero((rows == row).all(axis=1))[0]
            present.remove(row.tobytes())
            present.add(moved.tobytes())
            rows[index] = moved
        return rows

    def _thin(self, rows: np.ndarray, construction: str, distance: int) -> tuple[np.ndarray, str]:
        """Fewer pairs at the minimum distance: a choice among more words, where there are, and annealing."""
        fewest = fewest_close_pairs(*self.sizes, distance)
        rng = np.random.default_rng([self.seed, distance, self.sizes[0], 1])
        log.info("distance %d: %d pairs, at least %d", distance, annealing.close_pairs(rows, distance), fewest)
        if distance in self.lists:
            words = self._packing(distance, self.effort.part(0.3 * self.effort.left), rng)
            again = self._choose(words, distance, self.effort.part(0.6 * self.effort.left), rng)
            if again is not None and annealing.close_pairs(again, distance) < annealing.close_pairs(rows, distance):
                rows = again
        thinner = annealing.thin(rows, distance, fewest, self.effort, rng)
        if thinner is not rows and not construction.endswith("annealing"):
            construction += ", annealing"
        log.info("distance %d: %d pairs", distance, annealing.close_pairs(thinner, distance))
        return thinner, construction
