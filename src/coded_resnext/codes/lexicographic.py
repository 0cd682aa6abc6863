"""The paper's own search for a coding scheme (appendix A), to set beside the designer's.

List the words of weight N_act in lexicographic order, keep each that is at distance H_min or more from all kept, then
pick K of the kept ones greedily, the columns as equal as each pick can make them.
"""

from __future__ import annotations

import math
from time import thread_time

import numpy as np

from ..errors import Refused
from . import packing
from .bounds import check_sizes, distance_bound
from .effort import Effort
from .scheme import CodingScheme


def lexicographic_scheme(
    num_classes: int, num_branches: int, num_active: int, *, distance: int | None = None
) -> CodingScheme:
    """K codewords as the paper finds them. No random choice is made; the words come in the order they are picked.

    Args:
        num_classes: K.
        num_branches: N, at most 32 or so: all C(N, N_act) words are gone through.
        num_active: N_act.
        distance: H_min, at least 1; an odd one counts as the next even one, for words of one weight have even
            distances. None takes the largest at which the list has K words.
    Raises:
        TypeError, ValueError: sizes that cannot be, as `check_sizes`; too many words to list; fewer than K words in the
            list at this distance.
    """
    check_sizes(num_classes, num_branches, num_active)
    if not packing.listable(num_branches, num_active):
        raise Refused(
            f"there are {math.comb(num_branches, num_active)} words of length {num_branches} and weight {num_active}, "
            f"and lists are made of up to {packing.LARGEST_LIST}: use design_scheme"
        )
    if distance is not None:
        if distance < 1:
            raise Refused(f"distance must be at least 1, got {distance}")
        distance += distance % 2
    started = thread_time()
    bound = distance_bound(num_classes, num_branches, num_active).value
    tried = range(bound, 0, -2) if distance is None else (distance,)
    for at_least in tried:
        listed = packing.lexicographic_packing(num_branches, num_active, at_least, Effort(math.inf))
        if len(listed) >= num_classes:
            rows = packing.to_rows(listed, num_branches)
            provenance = {
                "construction": f"{len(listed)} words in lexicographic order at distance {at_least}, greedy choice",
                "seconds": round(thread_time() - started, 1),
            }
            return CodingScheme(rows[_pick(rows, num_classes)], provenance=provenance)
    raise Refused(
        f"the lexicographic list at distance {distance} has {len(listed)} words, num_classes is {num_classes}: "
        f"ask for a smaller distance; {bound} is the largest that any scheme could have"
    )


def _pick(rows: np.ndarray, size: int) -> np.ndarray:
    """Indices of `size` words, each the first of those that raise the squared column sums least."""
    ones = rows.astype(np.float32)
    load = np.zeros(len(rows), dtype=np.float32)  # ones picked before in the columns of each word
    picked = []
    for _ in range(size):
        index = int(load.argmin())
        picked.append(index)
        load += ones @ ones[index]
        load[index] = np.inf
    return np.array(picked)
