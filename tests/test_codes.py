"""Coding schemes: what they say of themselves, and what is refused."""

import numpy as np
import pytest

from coded_resnext import CodingScheme, design_scheme, distance_upper_bound, load_scheme
from coded_resnext.codes import SCHEMES, assign_classes

# (K, N, N_act): the networks of the paper, and the distance proven to be the largest, see the bounds
OPTIMAL = {
    (10, 10, 5): 4, (10, 10, 3): 4, (100, 20, 8): 8, (100, 20, 4): 4, (1000, 32, 16): 12, (1000, 32, 8): 8,
}  # fmt: skip


@pytest.mark.parametrize("sizes", OPTIMAL)
def test_shipped_schemes_are_the_best_there_are(sizes):
    scheme = load_scheme(*sizes)
    assert (scheme.num_classes, scheme.num_branches, scheme.num_active) == sizes
    assert scheme.min_distance == OPTIMAL[sizes] == distance_upper_bound(*sizes)
    assert set(scheme.column_sums.tolist()) == {sizes[0] * sizes[2] // sizes[1]}


def test_table_3():
    """First and last row of both of the paper's CIFAR-10 schemes; 20 pairs at distance 4 in the first."""
    half, third = load_scheme(10, 10, 5).to_text().split(), load_scheme(10, 10, 3).to_text().split()
    assert (half[0], half[-1], third[0], third[-1]) == ("1010100011", "0100110011", "1001001000", "1100000010")
    assert load_scheme(10, 10, 5).distance_distribution()[4] == 20


@pytest.mark.parametrize("path", sorted(SCHEMES.glob("*.txt")), ids=lambda path: path.stem)
def test_files_survive_reading_and_writing(path, tmp_path):
    scheme = CodingScheme.load(path)
    scheme.save(tmp_path / "again.txt")
    assert CodingScheme.load(tmp_path / "again.txt") == scheme


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([[1, 0, 0], [1, 1, 0]], "equal weights.*word 0 has 1 ones, word 1 has 2"),
        ([[1, 0], [0, 1], [1, 0]], "classes 0 and 2 have the same codeword 10"),
        ([[1, 0, 2], [0, 1, 0]], "zeros and ones"),
        ([[0, 0], [0, 0]], "at least one 1"),
        ([[1, 0]], r"at least 2 codewords.*\(1, 2\)"),
    ],
)
def test_bad_words(words, message):
    with pytest.raises(ValueError, match=message):
        CodingScheme(words)


@pytest.mark.parametrize(
    ("text", "message"),
    [("10\n010\n", "here, line 2: 3 digits, the lines above have 2"), ("10\n0x\n", "here, line 2.*got 'x'")],
)
def test_bad_files(text, message):
    with pytest.raises(ValueError, match=message):
        CodingScheme.from_text(text, source="here")


def test_a_scheme_that_does_not_ship_is_designed_instead():
    with pytest.raises(FileNotFoundError, match=r"design_scheme\(7, 10, 3\)"):
        load_scheme(7, 10, 3)
    scheme = design_scheme(7, 10, 3, time_limit=5.0)
    assert scheme == design_scheme(7, 10, 3, time_limit=5.0)
    assert scheme.min_distance == distance_upper_bound(7, 10, 3)
    assert np.ptp(scheme.column_sums) <= 1


def test_assignment_never_shares_more():
    scheme = load_scheme(10, 10, 5)
    confusion = np.random.default_rng(0).random((10, 10))

    def price(words):
        shared = words.astype(float) @ words.T
        return (confusion * shared)[~np.eye(10, dtype=bool)].sum()

    assigned = assign_classes(scheme, confusion)
    assert price(assigned.words) <= price(scheme.words)
    assert sorted(map(tuple, assigned.words)) == sorted(map(tuple, scheme.words))
