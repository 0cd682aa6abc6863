"""Ways to many words that are far apart: what each gives is a packing, and the quick ways are the plain ones."""

import math

import numpy as np
import pytest

from coded_resnext import lexicographic_scheme, load_scheme
from coded_resnext.codes.algebraic import weight_class
from coded_resnext.codes.annealing import balanced_rows
from coded_resnext.codes.effort import Effort
from coded_resnext.codes.orbits import block_lengths, orbit_packing
from coded_resnext.codes.packing import from_rows, grow, lexicographic_packing, to_rows, words_of_weight
from coded_resnext.reproduction.records import paper as numbers

ENDLESS = Effort(math.inf)
SIZES = [(10, 5, 4), (12, 4, 4), (13, 6, 6), (14, 7, 8), (16, 3, 2), (15, 8, 8)]


def is_packing(words, num_branches, num_active, distance):
    """Distinct words of this length and weight at this distance, ascending."""
    apart = np.bitwise_count(words[:, None] ^ words)[np.triu_indices(len(words), k=1)]
    assert (np.bitwise_count(words) == num_active).all()
    assert len(words) == 0 or int(words.max()) < 1 << num_branches
    assert (np.diff(words.astype(object)) > 0).all()
    assert len(apart) == 0 or apart.min() >= distance
    return True


def plain_list(n, w, d):
    kept = []
    for word in words_of_weight(n, w).tolist():
        if all((word ^ other).bit_count() >= d for other in kept):
            kept.append(word)
    return kept


def plain_choice(words, n, size):
    """The first word, each time, that leaves the smallest sum of squared columns."""
    columns, left, picked = np.zeros(n, dtype=int), list(to_rows(np.array(words, dtype=np.uint64), n)), []
    for _ in range(size):
        best = min(range(len(left)), key=lambda i: ((columns + left[i]) ** 2).sum())
        columns = columns + left[best]
        picked.append(left.pop(best))
    return np.array(picked)


@pytest.mark.parametrize(("n", "w"), [(5, 0), (5, 5), (8, 3), (13, 6)])
def test_words_of_weight(n, w):
    words = words_of_weight(n, w)
    assert len(words) == math.comb(n, w)
    assert is_packing(words, n, w, 2)


def test_words_are_numbers_in_lexicographic_order():
    rows = np.random.default_rng(0).integers(2, size=(50, 64)).astype(bool)
    assert (to_rows(from_rows(rows), 64) == rows).all()
    written = ["".join("01"[bit] for bit in row) for row in rows.tolist()]
    assert [written[i] for i in np.argsort(from_rows(rows))] == sorted(written)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_lexicographic_list_is_the_plain_one(size):
    assert lexicographic_packing(*size, ENDLESS).tolist() == plain_list(*size)


def test_a_list_that_breaks_off_is_a_beginning():
    whole = lexicographic_packing(20, 8, 8, ENDLESS)
    begun = lexicographic_packing(20, 8, 8, Effort(0.01))
    assert 0 < len(begun) < len(whole)
    assert begun.tolist() == whole[: len(begun)].tolist()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_growth(size):
    """Never smaller than what it starts from, and a packing again."""
    n, w, d = size
    start = lexicographic_packing(*size, ENDLESS)[::2]
    grown = grow(start, words_of_weight(n, w), n, w, d, 2 * len(start), Effort(0.1), np.random.default_rng(0))
    assert is_packing(grown, n, w, d)
    assert len(grown) > len(start)


@pytest.mark.parametrize("n", [8, 15, 21, 32])
def test_weights_of_algebraic_codes(n):
    for w in {n // 4, n // 3, n // 2}:
        for d in (2, 4, 6, 8, 12):
            assert is_packing(weight_class(n, w, d)[:1500], n, w, d)


@pytest.mark.parametrize(
    ("n", "w", "d", "size"), [(8, 4, 4, 14), (16, 8, 8, 30), (32, 16, 12, 1054), (32, 16, 16, 62)]
)
def test_famous_weight_classes(n, w, d, size):
    """Reed-Muller codes and the extended BCH code [32, 11, 12]: 1,054 words and their complements."""
    words = weight_class(n, w, d)
    assert len(words) == size
    assert np.isin(~words & np.uint64((1 << n) - 1), words).all()


@pytest.mark.parametrize("size", [(12, 4, 4), (13, 6, 6), (14, 7, 8), (21, 5, 6)], ids=str)
def test_orbits_are_packings_that_turns_leave_alone(size):
    n, w, d = size
    for length in block_lengths(n):
        words = orbit_packing(n, w, d, length, 500, 40, Effort(0.3), np.random.default_rng(0))
        assert is_packing(words, n, w, d)
        rows = to_rows(words, n)
        for start in range(n - length, -1, -length):
            rows[:, start : start + length] = np.roll(rows[:, start : start + length], -1, axis=1)
        assert set(from_rows(rows).tolist()) == set(words.tolist())


def test_balanced_rows():
    rng = np.random.default_rng(0)
    for k, n, w in ((10, 10, 5), (7, 12, 5), (100, 21, 1), (30, 9, 9)):
        rows = balanced_rows(k, n, w, rng)
        assert (rows.sum(axis=1) == w).all()
        assert np.ptp(rows.sum(axis=0)) <= 1


# The paper's search


@pytest.mark.parametrize("sizes", [(10, 10, 5), (20, 12, 4), (9, 14, 7), (25, 16, 3)], ids=str)
def test_the_papers_search_is_the_plain_one(sizes):
    """List and greedy choice, at the largest distance whose list is long enough."""
    k, n, w = sizes
    lists = {d: plain_list(n, w, d) for d in range(2, 2 * w + 1, 2)}
    distance = max(d for d, words in lists.items() if len(words) >= k)
    scheme = lexicographic_scheme(*sizes)
    assert (scheme.words == plain_choice(lists[distance], n, k)).all()
    assert scheme.min_distance >= distance
    nearer = lexicographic_scheme(*sizes, distance=2)
    assert (nearer.words == plain_choice(lists[2], n, k)).all()


def test_the_papers_search_reaches_what_was_published():
    """(100, 20, 8): distance 8, every column 40."""
    sizes = numbers.Sizes(100, 20, 8)
    scheme, reached = lexicographic_scheme(*sizes), numbers.published()[sizes]
    assert scheme.min_distance == reached["minimum distance"]
    assert {*scheme.column_sums} == {reached["smallest column sum"], reached["largest column sum"]}


@pytest.mark.parametrize(
    ("arguments", "distance", "message"),
    [
        ((10, 10, 11), None, "num_active must lie between 1 and num_branches = 10, got 11"),
        ((300, 10, 5), None, "num_classes can be 252 at most"),
        ((10, 64, 32), None, "lists are made of up to 1000000000: use design_scheme"),
        ((30, 10, 5), 4, "list at distance 4 has 22 words, num_classes is 30.* 4 is the largest"),
    ],
)
def test_the_papers_search_refuses(arguments, distance, message):
    with pytest.raises(ValueError, match=message):
        lexicographic_scheme(*arguments, distance=distance)


# What ships


def test_networks_and_transcriptions():
    for sizes in (*numbers.NETWORK_SIZES, *numbers.ABLATION_SIZES):
        assert load_scheme(*sizes).certificate()["optimal"]
    for sizes in numbers.TRANSCRIBED:
        assert load_scheme(*sizes).provenance["source"].startswith("table 3")


def test_an_odd_distance_counts_as_the_next_even_one():
    assert lexicographic_scheme(10, 10, 5, distance=3).min_distance >= 4
    for distance in (0, -2):
        with pytest.raises(ValueError, match=f"distance must be at least 1, got {distance}"):
            lexicographic_scheme(10, 10, 5, distance=distance)
