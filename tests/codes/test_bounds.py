"""Bounds: never below a code that exists, exact where the truth is known, and proofs whatever the solver says."""

from itertools import combinations
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest

from coded_resnext import CodingScheme, distance_upper_bound, load_scheme
from coded_resnext.codes import bounds
from coded_resnext.codes.algebraic import weight_class
from coded_resnext.codes.bounds import check_sizes, distance_bound, fewest_close_pairs, size_bound, size_upper_bound
from coded_resnext.codes.packing import words_of_weight

# Steiner systems and their kin, where A(n, d, w) is known exactly (Brouwer, Shearer, Sloane and Smith 1990, table I).
EXACT = {
    (7, 4, 3): 7, (8, 4, 4): 14, (9, 4, 3): 12, (10, 4, 5): 36, (10, 6, 5): 6, (11, 6, 5): 11, (12, 4, 6): 132,
    (12, 6, 6): 22, (13, 4, 3): 26, (13, 6, 4): 13, (16, 6, 6): 112, (16, 8, 8): 30, (22, 8, 6): 77, (23, 8, 7): 253,
    (24, 8, 8): 759, (24, 8, 12): 2576,
}  # fmt: skip

NETWORKS = {
    (10, 10, 5): "A(10, 6, 5) <= 6 < 10 by counting",
    (10, 10, 3): "A(10, 6, 3) <= 3 < 10 by counting",
    (100, 20, 8): "A(20, 10, 8) <= 20 < 100 by Johnson's recursion",
    (100, 20, 4): "A(20, 6, 4) <= 30 < 100 by Johnson's recursion",
    (1000, 32, 16): "A(32, 14, 16) <= 295 < 1000 by Delsarte's linear program",
    (1000, 32, 8): "A(32, 10, 8) <= 428 < 1000 by Johnson's recursion",
}


def greedy(words, distance):
    """The words that are at this distance from all that were kept before them."""
    kept = []
    while len(words):
        kept.append(words[0])
        words = words[np.bitwise_count(words ^ words[0]) >= distance]
    return kept


def largest_packing(words, distance):
    """Its size, by trying all: with the first word, and without it."""
    if len(words) == 0:
        return 0
    rest = words[1:]
    compatible = rest[np.bitwise_count(rest ^ words[0]) >= distance]
    found = 1 + largest_packing(compatible, distance)
    if found > len(rest) or len(compatible) == len(rest):
        return found
    return max(found, largest_packing(rest, distance))


@pytest.mark.parametrize("size", EXACT, ids=str)
def test_known_exact_sizes_are_met(size):
    assert size_upper_bound(*size) == EXACT[size]


def test_small_sizes_are_exact():
    """All n up to 6, against trying all packings."""
    for n in range(1, 7):
        for w in range(n + 1):
            for d in range(1, 2 * n + 1):
                assert size_upper_bound(n, d, w) == largest_packing(words_of_weight(n, w), d), (n, d, w)


def test_triples_where_a_formula_is_known():
    """A(n, 4, 3) is Johnson's bound, but one less for n = 5 modulo 6 (Spencer 1968); A(n, 2w, w) is n // w."""
    for n in range(6, 33):
        johnson = n * ((n - 1) // 2) // 3
        assert johnson - (n % 6 == 5) <= size_upper_bound(n, 4, 3) <= johnson
        for w in range(1, n // 2 + 1):
            assert size_upper_bound(n, 2 * w, w) == n // w


@pytest.mark.parametrize("seed", range(5))
def test_no_random_code_exceeds_the_bound(seed):
    """80 sizes a seed: one greedy packing in lexicographic order and one in a random order each."""
    rng = np.random.default_rng(seed)
    for _ in range(80):
        n = int(rng.integers(2, 17))
        w, d = int(rng.integers(1, n + 1)), int(rng.integers(1, n + 1))
        words = words_of_weight(n, w)
        for code in (greedy(words, d), greedy(rng.permutation(words), d)):
            assert len(code) <= size_upper_bound(n, d, w), (n, d, w)


@pytest.mark.parametrize("n", [15, 16, 23, 24, 31, 32])
def test_no_algebraic_code_exceeds_the_bound(n):
    """Lengths where the weight classes of BCH and Reed-Muller codes are large, some of them optimal."""
    for d in (8, 12, 16):
        for w in (d // 2, n // 4, n // 2):
            assert len(weight_class(n, w, d)) <= size_upper_bound(n, d, w), (n, d, w)


def test_no_random_scheme_exceeds_its_bounds():
    """300 schemes: the minimum distance, and the number of pairs at it, which has a bound from below."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(2, 13))
        w = int(rng.integers(1, n + 1))
        if (most := comb(n, w)) < 2:
            continue
        k = int(rng.integers(2, min(most, 60) + 1))
        words = rng.permutation(np.array([[i in ones for i in range(n)] for ones in combinations(range(n), w)]))[:k]
        scheme = CodingScheme(words)
        assert scheme.min_distance <= distance_upper_bound(k, n, w)
        pairs = scheme.distance_distribution()[scheme.min_distance]
        assert pairs >= fewest_close_pairs(k, n, w, scheme.min_distance), (k, n, w)


@pytest.mark.parametrize("sizes", [(10, 10, 5), (100, 20, 8), (1000, 32, 16), (1000, 32, 8)], ids=str)
def test_shipped_schemes_have_more_close_pairs_than_the_least(sizes):
    scheme = load_scheme(*sizes)
    pairs = scheme.distance_distribution()[scheme.min_distance]
    assert 1 < fewest_close_pairs(*sizes, scheme.min_distance) <= pairs


@pytest.mark.parametrize("sizes", NETWORKS, ids=str)
def test_the_networks_proofs(sizes):
    """A scheme that is two further apart is impossible, and the proof is named."""
    bound = distance_bound(*sizes)
    assert bound.proof == NETWORKS[sizes]
    assert bound.value == distance_upper_bound(*sizes) == load_scheme(*sizes).min_distance


def test_proofs_are_named():
    assert size_bound(7, 4, 3).proof == "counting"
    assert size_bound(8, 4, 4).proof == "Johnson's recursion"
    assert size_bound(24, 8, 12).proof == "Delsarte's linear program"
    assert size_bound(7, 2, 3) == (35, "all words of this weight")
    assert size_bound(7, 8, 3).value == 1
    assert distance_bound(3, 9, 3) == (6, "disjoint codewords are as far apart as words of this weight can be")


def test_bounds_are_monotone():
    """A larger distance or a shorter word never allows more codewords, nor more classes a larger distance."""
    for n in range(2, 25):
        for w in range(1, n // 2 + 1):
            sizes = [size_upper_bound(n, d, w) for d in range(1, 2 * w + 3)]
            assert sizes == sorted(sizes, reverse=True), (n, w)
            assert sizes == [size_upper_bound(n, d, n - w) for d in range(1, 2 * w + 3)]
            assert all(size_upper_bound(n, d - 1, w) == size_upper_bound(n, d, w) for d in range(2, 2 * w + 3, 2))
    for n, w in ((10, 5), (20, 8), (32, 8)):
        distances = [distance_upper_bound(k, n, w) for k in range(2, min(comb(n, w), 300))]
        assert distances == sorted(distances, reverse=True)
        assert min(distances) >= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_bound_is_a_proof_whatever_the_solver_answers(seed, monkeypatch):
    """The linear programs' solutions are checked exactly: a solver that answers at random can only loosen a bound."""
    rng = np.random.default_rng(seed)

    def guess(cost, **more):
        return SimpleNamespace(success=True, x=rng.exponential(size=len(cost)) * rng.integers(2, size=len(cost)))

    monkeypatch.setattr(bounds, "linprog", guess)
    for cached in (bounds._size_bound, bounds._around, fewest_close_pairs):
        cached.cache_clear()
    try:
        for (n, d, w), size in EXACT.items():
            assert size_upper_bound(n, d, w) >= size
        for sizes in NETWORKS:
            scheme = load_scheme(*sizes)
            pairs = scheme.distance_distribution()[scheme.min_distance]
            assert fewest_close_pairs(*sizes, scheme.min_distance) <= pairs
    finally:
        for cached in (bounds._size_bound, bounds._around, fewest_close_pairs):
            cached.cache_clear()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((10, 10, 0), "num_active must lie between 1 and num_branches = 10, got 0"),
        ((10, 10, 11), "num_active must lie between 1 and num_branches = 10, got 11"),
        ((10, 10, -3), "got -3"),
        ((121, 10, 3), "num_classes can be 120 at most, .* length 10 and weight 3, got 121"),
        ((2, 5, 5), "num_classes can be 1 at most.*got 2"),
        ((1, 10, 3), "num_classes must be at least 2, got 1"),
        ((0, 10, 3), "num_classes must be at least 2, got 0"),
    ],
)
def test_impossible_sizes_name_the_value_and_the_limit(sizes, message):
    for refuse in (check_sizes, distance_upper_bound):
        with pytest.raises(ValueError, match=message):
            refuse(*sizes)


@pytest.mark.parametrize(("place", "value"), [(0, 10.0), (1, "10"), (2, 2.5), (0, True), (1, None)])
def test_sizes_are_integers(place, value):
    sizes = [10, 10, 3]
    sizes[place] = value
    name = ("num_classes", "num_branches", "num_active")[place]
    with pytest.raises(TypeError, match=f"{name} must be an integer, got {value!r}"):
        check_sizes(*sizes)


@pytest.mark.parametrize("size", [(0, 2, 0), (5, 0, 2), (5, 2, 6), (5, 2, -1)])
def test_sizes_of_codes_are_checked(size):
    n, d, w = size
    with pytest.raises(ValueError, match=f"got n={n}, d={d}, w={w}"):
        size_upper_bound(n, d, w)
