"""Coding schemes: what they say of themselves, and what is refused."""

from itertools import combinations

import numpy as np
import pytest

from coded_resnext import CodingScheme, assign_classes, design_scheme, distance_upper_bound, load_scheme
from coded_resnext.codes.scheme import SCHEMES

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
    [
        ("10\n010\n", "here, line 2: 3 digits, the lines above have 2"),
        ("10\n0x\n", "here, line 2.*got 'x'"),
        ("# source: a\n\n10\n0 1\n", "here, line 4.*got ' '"),
        ("10\n01\n10\n", "here: classes 0 and 2 have the same codeword 10"),
        ("110\n010\n", "here: codewords must have equal weights"),
        ("", "here: there is no codeword in it"),
        ("# classes: 3\n10\n01\n", "here: the header says classes: 3, the codewords have 2: was the file cut"),
        ("# min_distance: 4\n10\n01\n", "here: the header says min_distance: 4, the codewords have 2"),
    ],
)
def test_bad_files(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        CodingScheme.from_text(text, source="here")
    (tmp_path / "here").write_text(text)
    with pytest.raises(ValueError, match=message):
        CodingScheme.load(tmp_path / "here")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "bytes").write_bytes(b"10\n\xff\xfe\n")
    with pytest.raises(ValueError, match="bytes, line 2: a codeword holds 0 and 1"):
        CodingScheme.load(tmp_path / "bytes")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        CodingScheme.load(tmp_path / "nowhere")


def test_provenance_is_kept_but_not_the_seconds(tmp_path):
    scheme = CodingScheme([[1, 0], [0, 1]], {"construction": "by hand", "seed": 3, "complete": True, "seconds": 0.1})
    scheme.save(tmp_path / "scheme.txt")
    again = CodingScheme.load(tmp_path / "scheme.txt")
    assert again.provenance == {"construction": "by hand", "seed": 3, "complete": True}
    assert again.certificate() == scheme.certificate() | {"seconds": None}
    assert again == scheme == CodingScheme(scheme.words)
    assert hash(again) == hash(scheme)


@pytest.mark.parametrize("sizes", OPTIMAL)
def test_certificates(sizes):
    scheme = load_scheme(*sizes)
    certificate = scheme.certificate()
    assert certificate["distance"] == certificate["bound"] == scheme.min_distance
    assert certificate["optimal"] is True
    assert certificate["column_spread"] == 0
    assert certificate["close_pairs"] == certificate["distance_distribution"][scheme.min_distance]
    assert sum(certificate["distance_distribution"].values()) == sizes[0] * (sizes[0] - 1) // 2
    assert certificate["fewest_close_pairs"] <= certificate["close_pairs"]


def test_a_scheme_that_does_not_ship_is_designed_instead():
    with pytest.raises(FileNotFoundError, match=r"design_scheme\(7, 10, 3\)"):
        load_scheme(7, 10, 3)
    scheme = design_scheme(7, 10, 3, time_limit=0.5)
    assert scheme.min_distance == distance_upper_bound(7, 10, 3)


# Which class gets which word


def price(words, confusion):
    """Shared ones of all ordered pairs of classes, weighed by how often the one is taken for the other."""
    shared = words.astype(float) @ words.T
    return (confusion * shared)[~np.eye(len(words), dtype=bool)].sum()


def after_exchanges(scheme):
    """The words with two classes exchanged, for each two."""
    for k, l in combinations(range(scheme.num_classes), 2):
        order = np.arange(scheme.num_classes)
        order[[k, l]] = l, k
        yield scheme.words[order]


@pytest.mark.parametrize("seed", range(10))
def test_assignment_is_the_same_words_and_no_exchange_is_better(seed):
    rng = np.random.default_rng(seed)
    scheme = load_scheme(10, 10, (3, 5)[seed % 2])
    confusion = rng.random((10, 10)) ** rng.integers(1, 20)  # from all alike to a few large ones
    assigned = assign_classes(scheme, confusion)
    assert sorted(map(tuple, assigned.words)) == sorted(map(tuple, scheme.words))
    paid = price(assigned.words, confusion)
    assert paid <= price(scheme.words, confusion)
    assert paid <= min(price(words, confusion) for words in after_exchanges(assigned)) + 1e-9 * confusion.max() * 100
    assert assign_classes(assigned, confusion) == assigned
    assert assigned.provenance == scheme.provenance


def test_assignment_depends_on_confusions_alone():
    """Not on their unit, their direction, or the classes that were recognised."""
    scheme = load_scheme(100, 20, 8)
    confusion = np.random.default_rng(0).integers(0, 50, (100, 100))
    assigned = assign_classes(scheme, confusion)
    assert assigned != scheme
    assert assign_classes(scheme, confusion * 2.0**40) == assigned
    assert assign_classes(scheme, confusion.T) == assigned
    assert assign_classes(scheme, confusion + 10**15 * np.eye(100)) == assigned


def test_the_two_classes_that_are_confused_get_the_words_furthest_apart():
    scheme = load_scheme(100, 20, 8)
    confusion = np.zeros((100, 100))
    confusion[3, 70] = 1
    words = assign_classes(scheme, confusion).words
    assert (words[3] ^ words[70]).sum() == max(scheme.distance_distribution())


@pytest.mark.parametrize("confusion", [np.zeros((10, 10)), np.ones((10, 10)), np.eye(10)], ids=["none", "all", "right"])
def test_nothing_to_gain_changes_nothing(confusion):
    assert assign_classes(load_scheme(10, 10, 5), confusion) == load_scheme(10, 10, 5)


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        (np.zeros((9, 10)), r"\(10, 10\), got shape \(9, 10\)"),
        (np.full((10, 10), -1.0), "finite and not negative"),
        (np.full((10, 10), np.nan), "finite and not negative"),
    ],
)
def test_tables_that_are_no_confusion(confusion, message):
    with pytest.raises(ValueError, match=message):
        assign_classes(load_scheme(10, 10, 5), confusion)
