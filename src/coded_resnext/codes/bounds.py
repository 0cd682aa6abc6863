"""How far apart codewords can be: proven upper bounds (appendix A asks for the largest, these say when to stop).

A(n, d, w) is the largest number of words of length n and weight w at pairwise distance d or more. Whoever
proves A(N, d, N_act) < K has proven that no scheme of K classes reaches distance d. Three proofs are tried:

* counting of shared ones, column by column (Johnson 1962);
* Johnson's recursion, which fixes one column to 1 or to 0 and bounds what is left;
* Delsarte's linear program in the Johnson scheme (Delsarte 1973), with the local bounds that Agrell, Vardy
  and Zeger (2000) add for the words around a codeword.

All of them hold for every constant-weight code, balanced columns or not. A linear program is solved in floating
point but believed only after its dual solution was checked in rational arithmetic: a bound here is a proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from math import ceil, comb, floor
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from ..errors import Refused, WrongType

SOLVER_ERROR = 1e-7  # HiGHS keeps constraints to this absolute tolerance


class Bound(NamedTuple):
    """A proven limit and the name of the proof that reached it."""

    value: int
    proof: str


def check_sizes(num_classes: int, num_branches: int, num_active: int) -> None:
    """Refuse sizes for which there is no coding scheme.

    Raises:
        TypeError: a size that is no integer.
        ValueError: fewer than two classes, no active branch, more active branches than branches, more
            classes than there are words of this weight.
    """
    for name, value in (("num_classes", num_classes), ("num_branches", num_branches), ("num_active", num_active)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise WrongType(f"{name} must be an integer, got {value!r}")
    if num_classes < 2:
        raise Refused(f"a scheme tells classes apart: num_classes must be at least 2, got {num_classes}")
    if not 1 <= num_active <= num_branches:
        raise Refused(
            f"num_active must lie between 1 and num_branches = {num_branches}, got {num_active}: "
            f"every class needs branches, and there are no more than that"
        )
    if num_classes > (most := comb(num_branches, num_active)):
        raise Refused(
            f"num_classes can be {most} at most, the number of words of length {num_branches} and weight {num_active}, "
            f"got {num_classes}: take more branches or a ratio nearer to one half"
        )


def distance_upper_bound(num_classes: int, num_branches: int, num_active: int) -> int:
    """A distance that no scheme of these sizes exceeds; often one reaches it.

    Args:
        num_classes: K, number of codewords.
        num_branches: N, their length.
        num_active: N_act, their weight.
    Raises:
        TypeError, ValueError: as `check_sizes`.
    """
    return distance_bound(num_classes, num_branches, num_active).value


def distance_bound(num_classes: int, num_branches: int, num_active: int) -> Bound:
    """`distance_upper_bound` with its proof: why distance `value` + 2 is out of reach."""
    check_sizes(num_classes, num_branches, num_active)
    n, w = int(num_branches), min(int(num_active), int(num_branches - num_active))
    low, high = 2, 2 * w  # words of equal weight are an even distance apart, 2w when they share nothing
    while low < high:  # A(n, d, w) falls as d grows
        middle = 2 * ((low + high + 2) // 4)
        if size_upper_bound(n, middle, w) >= num_classes:
            low = middle
        else:
            high = middle - 2
    if low == 2 * w:
        return Bound(low, "disjoint codewords are as far apart as words of this weight can be")
    limit = size_bound(n, low + 2, w)
    return Bound(low, f"A({n}, {low + 2}, {w}) <= {limit.value} < {num_classes} by {limit.proof}")


def size_upper_bound(n: int, d: int, w: int) -> int:
    """No more than so many words of length n and weight w are at pairwise distance d or more.

    Args:
        n: length, at least 1.
        d: distance, at least 1; an odd one counts as the next even one.
        w: weight, 0 … n.
    Raises:
        ValueError: a negative size or a weight beyond the length.
    """
    return size_bound(n, d, w).value


def size_bound(n: int, d: int, w: int) -> Bound:
    """`size_upper_bound` with the name of the proof that decided."""
    if n < 1 or d < 1 or not 0 <= w <= n:
        raise Refused(f"A(n, d, w) needs n >= 1, d >= 1 and 0 <= w <= n, got n={n}, d={d}, w={w}")
    return _size_bound(n, (d + 1) // 2, min(w, n - w))  # complementing every word keeps the distances


@cache
def _size_bound(n: int, half: int, w: int) -> Bound:
    """A(n, 2·half, w) for w <= n/2: the smallest of the bounds, the simplest proof first among equals."""
    if half > w:
        return Bound(1, "words of this weight are never that far apart")
    if half == 1:
        return Bound(comb(n, w), "all words of this weight")
    return min(_proofs(n, half, w), key=lambda bound: bound.value)


def _proofs(n: int, half: int, w: int) -> Iterator[Bound]:
    yield Bound(_counting(n, half, w), "counting")
    # Each column holds at most A(n-1, d, w-1) ones and A(n-1, d, w) zeros; n columns hold w ones a word.
    yield Bound(n * size_upper_bound(n - 1, 2 * half, w - 1) // w, "Johnson's recursion")
    yield Bound(n * size_upper_bound(n - 1, 2 * half, w) // (n - w), "Johnson's recursion")
    yield Bound(_delsarte(n, half, w), "Delsarte's linear program")


def _counting(n: int, half: int, w: int) -> int:
    """Largest M whose columns, as equal as can be, do not force two words to share more than w − half ones.

    M words hold M·w ones; columns with c ones make Σ c(c−1) ordered pairs share a one, fewest when the columns
    are equal, and M(M−1) ordered pairs of words may share w − half ones each. Once an M fails, so does every
    larger code, as it contains one of that size. With w² <= n(w − half) no M ever fails.
    """
    share = w - half
    if w * w <= n * share:
        return comb(n, w)
    size = 1
    while True:
        full, rest = divmod((size + 1) * w, n)
        if n * full * (full - 1) + 2 * rest * full > (size + 1) * size * share:
            return size
        size += 1


@cache
def _zonal(n: int, w: int) -> tuple[tuple[Fraction, ...], ...]:
    """[k][i], k, i = 0 … w: the k-th eigenfunction of the Johnson scheme at distance 2i, 1 at 0 (Delsarte 1973).

    As Eberlein's integer over the number of words at distance 2i.
    """
    around = [comb(w, i) * comb(n - w, i) for i in range(w + 1)]
    return tuple(
        tuple(
            Fraction(
                sum((-1) ** j * comb(k, j) * comb(w - k, i - j) * comb(n - w - k, i - j) for j in range(min(k, i) + 1)),
                around[i],
            )
            for i in range(w + 1)
        )
        for k in range(w + 1)
    )


def _delsarte(n: int, half: int, w: int) -> int:
    """Delsarte's linear program: at most 1 + Σ a_i words, where a_i of them are at distance 2i from an average word.

    Maximise Σ a_i over a >= 0 with Σ a_i q_k(i) >= −1 for k = 1 … w and a_i <= `_around`. Its dual is: minimise
    Σ y_k + Σ z_i T_i over y, z >= 0 with z_i >= 1 + Σ_k y_k q_k(i). Any y whatsoever, the z it needs taken with it,
    bounds the code from above, so a rounding error of the solver can loosen the bound but never make it false.
    """
    zonal = _zonal(n, w)
    steps = range(half, w + 1)
    around = [_around(i, w, i, n - w, half) for i in steps]
    table = np.array([[float(zonal[k][i]) for i in steps] for k in range(1, w + 1)])  # (w, number of distances)
    cost = np.concatenate([np.ones(w), np.array(around, dtype=float)])
    solution = linprog(cost, A_ub=np.hstack([table.T, -np.eye(len(steps))]), b_ub=-np.ones(len(steps)), method="highs")
    if not solution.success:
        return comb(n, w)
    dual = [Fraction(max(0.0, y)) for y in solution.x[:w]]
    # The solver meets Σ y_k q_k(i) <= −1 up to about 1e-9. Where T_i is large, that error times T_i would spoil the
    # bound, so y is first stretched until the cheapest distances, those with z_i = 0, meet it exactly.
    excess = [1 + sum((y * zonal[k][i] for k, y in enumerate(dual, start=1)), Fraction(0)) for i in steps]
    slack = max([e for e, z in zip(excess, solution.x[w:], strict=True) if z < SOLVER_ERROR], default=Fraction(0))
    stretch = 1 / (1 - max(slack, Fraction(0))) if slack < 1 else Fraction(1)
    total = 1 + sum((y * stretch for y in dual), Fraction(0))
    for e, limit in zip(excess, around, strict=True):
        total += max(Fraction(0), 1 + (e - 1) * stretch) * limit
    return floor(total)


@cache
def fewest_close_pairs(num_classes: int, num_branches: int, num_active: int, distance: int) -> int:
    """At least so many pairs of any scheme of this minimum distance are at exactly that distance.

    A linear program over the numbers P_i of pairs at distance 2i, with Delsarte's inequalities for this K and
    with counts: sets of k branches (k active together, or k silent together) are used by whole numbers of classes: so
    that Σ P_i C(w − i, k) is smallest when these numbers differ by one at most. Again its dual is
    checked exactly.

    Args:
        distance: even, one that a scheme of these sizes can have.
    """
    n, w = num_branches, min(num_active, num_branches - num_active)
    pairs = comb(num_classes, 2)
    steps = range(distance // 2, w + 1)
    rows: list[list[Fraction]] = []
    least: list[Fraction] = []
    for k in range(1, w + 1):
        rows.append([_zonal(n, w)[k][i] * Fraction(2, num_classes) for i in steps])
        least.append(Fraction(-1))
    for ones in (w, n - w):
        for k in range(1, ones + 1):
            full, rest = divmod(num_classes * comb(ones, k), comb(n, k))
            together = comb(n, k) * full * (full - 1) // 2 + rest * full
            if together:
                rows.append([Fraction(comb(ones - i, k), together) for i in steps])
                least.append(Fraction(1))
    # Minimise P_first with Σ P = pairs and rows · P >= least. Dual: y >= 0 and a free μ <= [first] − Σ y·row for
    # each step; whatever y is, the largest such μ gives the valid bound y·least + μ·pairs.
    table = np.array(rows, dtype=float)
    first = np.zeros(len(steps))
    first[0] = 1.0
    solution = linprog(
        np.append(-np.array(least, dtype=float), [-pairs]),
        A_ub=np.hstack([table.T, np.ones((len(steps), 1))]),
        b_ub=first,
        bounds=[(0, None)] * len(rows) + [(None, None)],
        method="highs",
    )
    if not solution.success:
        return 1
    dual = [Fraction(max(0.0, y)) for y in solution.x[:-1]]
    free = min(
        int(j == 0) - sum((y * row[j] for y, row in zip(dual, rows, strict=True) if y), Fraction(0))
        for j in range(len(steps))
    )
    value = sum((y * m for y, m in zip(dual, least, strict=True)), Fraction(0)) + free * pairs
    return max(1, ceil(value))


@cache
def _around(w1: int, n1: int, w2: int, n2: int, half: int) -> int:
    """T(w1, n1, w2, n2, 2·half): at most so many words with w1 ones among n1 columns and w2 among n2 others.

    The codewords at distance 2i from a given one, read from it: i of its w ones are dropped, i of its n − w zeros set.
    Recursion on one column, as Johnson's; two words differ in at most 2·w1 + 2·w2 places.
    """
    w1, w2 = min(w1, n1 - w1), min(w2, n2 - w2)
    if w1 + w2 < half:
        return 1
    if w1 == 0:
        return size_upper_bound(n2, 2 * half, w2)
    if w2 == 0:
        return size_upper_bound(n1, 2 * half, w1)
    best = comb(n1, w1) * comb(n2, w2)
    if w1 + w2 == half:  # any two words are disjoint in both parts
        return min(n1 // w1, n2 // w2)
    best = min(best, n1 * _around(w1 - 1, n1 - 1, w2, n2, half) // w1, n2 * _around(w1, n1, w2 - 1, n2 - 1, half) // w2)
    if n1 > w1:
        best = min(best, n1 * _around(w1, n1 - 1, w2, n2, half) // (n1 - w1))
    if n2 > w2:
        best = min(best, n2 * _around(w1, n1, w2, n2 - 1, half) // (n2 - w2))
    return best
