"""Coding schemes: which branches work for which class (section 3.1, appendix A, table 3).

Before training every class gets a binary codeword of length N; a 1 says that the branch works for
the class. A scheme is good when (A) all codewords have the same number of ones, so that every class
has the same capacity, (B) any two codewords are far apart, so that paths and decodings do not mix,
and (C) the columns hold about equally many ones, so that every branch serves equally many classes.

No torch in this module: notebooks that only look at codes start in a second.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import Missing, Refused
from ..files import write_atomically

SCHEMES = Path(__file__).with_name("schemes")

SIZES = ("classes", "branches", "active", "min_distance")  # header lines that the words themselves determine
VOLATILE = "seconds"  # differs from run to run: kept out of the files, so that a regenerated file is the same file


class CodingScheme:
    """The codewords of one ratio: row k belongs to class k, column n to branch n.

    Args:
        words: (K, N), zeros and ones or booleans.
        provenance: where the words come from (construction, seed, …). Written into files and read back, but no part
            of equality: a scheme is its words.
    Raises:
        ValueError: fewer than two words, other values than 0 and 1, repeated words, unequal weights,
            or a weight of 0.
    """

    def __init__(self, words: np.ndarray | list[list[int]], provenance: Mapping[str, object] | None = None) -> None:
        raw = np.asarray(words)
        if raw.ndim != 2 or raw.shape[0] < 2 or raw.shape[1] < 1:
            raise Refused(f"a coding scheme is a table of at least 2 codewords, (K, N); got shape {raw.shape}")
        if not np.isin(raw, (0, 1)).all():
            raise Refused(f"a codeword holds zeros and ones; got {np.unique(raw)[:5].tolist()}")
        self.words = raw.astype(bool)
        self.words.setflags(write=False)
        self.provenance: dict[str, object] = dict(provenance or {})
        weights = self.words.sum(axis=1)
        if len(set(weights.tolist())) > 1:
            odd = int(np.flatnonzero(weights != weights[0])[0])
            raise Refused(
                f"codewords must have equal weights (every class the same capacity): "
                f"word 0 has {weights[0]} ones, word {odd} has {weights[odd]}"
            )
        if weights[0] == 0:
            raise Refused("a codeword needs at least one 1: a class without branches has no path")
        first_seen: dict[bytes, int] = {}
        for k, word in enumerate(self.words):
            earlier = first_seen.setdefault(word.tobytes(), k)
            if earlier != k:
                raise Refused(f"classes {earlier} and {k} have the same codeword {word_text(word)}: make them differ")

    @property
    def num_classes(self) -> int:
        """K."""
        return self.words.shape[0]

    @property
    def num_branches(self) -> int:
        """N, the cardinality."""
        return self.words.shape[1]

    @cached_property
    def num_active(self) -> int:
        """N_act, the ones of every codeword."""
        return int(self.words[0].sum())

    @property
    def ratio(self) -> float:
        """r = N_act / N, the share of the branches that work for one class."""
        return self.num_active / self.num_branches

    @cached_property
    def _pair_distances(self) -> np.ndarray:
        ones = self.words.astype(np.int32)
        distances = 2 * (self.num_active - ones @ ones.T)  # equal weights: d = 2 (w − overlap)
        return distances[np.triu_indices(self.num_classes, k=1)]

    @property
    def min_distance(self) -> int:
        """The smallest Hamming distance of two codewords."""
        return int(self._pair_distances.min())

    def distance_distribution(self) -> dict[int, int]:
        """Number of pairs of codewords at each Hamming distance that occurs, ascending."""
        values, counts = np.unique(self._pair_distances, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    @property
    def column_sums(self) -> np.ndarray:
        """(N,) number of classes that each branch works for."""
        return self.words.sum(axis=0)

    def certificate(self) -> dict[str, object]:
        """How good the scheme is, and how one knows.

        Returns:
            `distance`, the `bound` that no scheme of these sizes exceeds, its `proof` and whether the scheme is
            `optimal`, that is meets it; `column_spread`, the fullest column less the emptiest; `close_pairs` at the
            minimum distance and the `fewest_close_pairs` that any scheme of this distance has at least; the
            `distance_distribution`; and from the provenance, None where it does not say: `construction`,
            `seed`, `complete` (the search ended by itself, not by the clock), `seconds` of processor time.
        """
        from .bounds import distance_bound, fewest_close_pairs  # scipy, which reading a scheme does not need

        sizes = self.num_classes, self.num_branches, self.num_active
        bound = distance_bound(*sizes)
        distribution = self.distance_distribution()
        return {
            "distance": self.min_distance,
            "bound": bound.value,
            "proof": bound.proof,
            "optimal": self.min_distance == bound.value,
            "column_spread": int(np.ptp(self.column_sums)),
            "close_pairs": distribution[self.min_distance],
            "fewest_close_pairs": fewest_close_pairs(*sizes, self.min_distance),
            "distance_distribution": distribution,
            **{key: self.provenance.get(key) for key in ("construction", "seed", "complete", VOLATILE)},
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CodingScheme) and np.array_equal(self.words, other.words)

    def __hash__(self) -> int:
        return hash((self.words.shape, self.words.tobytes()))

    def __repr__(self) -> str:
        return (
            f"CodingScheme(K={self.num_classes}, N={self.num_branches}, N_act={self.num_active}, "
            f"min_distance={self.min_distance})"
        )

    def to_text(self, **header: object) -> str:
        """One codeword a line, `# key: value` lines on top."""
        lines = [f"# {key}: {value}" for key, value in header.items()]
        return "\n".join(lines + [word_text(word) for word in self.words]) + "\n"

    def header(self) -> dict[str, object]:
        """What stands on top of a scheme's file: the sizes, and the provenance as far as it is the same every time."""
        sizes = zip(SIZES, (self.num_classes, self.num_branches, self.num_active, self.min_distance), strict=True)
        return dict(sizes) | {key: value for key, value in self.provenance.items() if key != VOLATILE}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the scheme as text, its header on top, whole or not at all."""
        write_atomically(Path(path), self.to_text(**self.header()).encode())

    @classmethod
    def from_text(cls, text: str, source: str = "text") -> CodingScheme:
        """Read what `to_text` or `save` wrote.

        Raises:
            ValueError: naming `source`, and the line for ragged lines and characters other than 0 and 1; no or
                repeated words, unequal weights, and a header that states other sizes than the words have.
        """
        rows: list[list[int]] = []
        header: dict[str, object] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            line = line.strip()
            if line.startswith("#"):
                key, colon, value = line[1:].partition(":")
                if colon:
                    header[key.strip()] = _value(value.strip())
                continue
            if not line:
                continue
            if strange := sorted(set(line) - {"0", "1"}):
                raise Refused(f"{source}, line {number}: a codeword holds 0 and 1, got {strange[0]!r}")
            if rows and len(line) != len(rows[0]):
                raise Refused(f"{source}, line {number}: {len(line)} digits, the lines above have {len(rows[0])}")
            rows.append([int(digit) for digit in line])
        if not rows:
            raise Refused(f"{source}: there is no codeword in it")
        stated = {key: header.pop(key) for key in SIZES if key in header}
        try:
            scheme = cls(rows, provenance=header)
        except ValueError as error:
            raise Refused(f"{source}: {error}") from None
        found = (scheme.num_classes, scheme.num_branches, scheme.num_active, scheme.min_distance)
        for key, value in zip(SIZES, found, strict=True):
            if stated.get(key, value) != value:
                raise Refused(
                    f"{source}: the header says {key}: {stated[key]}, the codewords have {value}: "
                    f"was the file cut or edited?"
                )
        return scheme

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CodingScheme:
        """Read a scheme file."""
        # What is no UTF-8 is no scheme either: it is refused with its line.
        return cls.from_text(Path(path).read_text(encoding="utf-8", errors="replace"), source=Path(path).name)


def word_text(word: np.ndarray) -> str:
    """A codeword (N,) as text."""
    return "".join("1" if bit else "0" for bit in word)


def _value(text: str) -> object:
    """A header's value: an integer, True or False, else the text."""
    if text in ("True", "False"):
        return text == "True"
    return int(text) if text.removeprefix("-").isdecimal() else text


def assign_classes(scheme: CodingScheme, confusion: np.ndarray) -> CodingScheme:
    """The same words, dealt out so that classes which are easily confused get words that are far apart.

    The paper deals at random. Here two classes exchange words as long as that lowers Σ confusion[k, l] · (ones that
    the words of k and l share), each time the two that lower it most: what a plain network confuses, a coded one may
    tell apart by its branches.

    Args:
        confusion: (K, K), how often class k was taken for class l, counts or rates; the diagonal does not matter.
    Returns:
        A scheme with the same words; never with a larger sum than `scheme` has.
    Raises:
        ValueError: another shape than (K, K), negative or infinite entries.
    """
    table = np.asarray(confusion, dtype=float)
    size = scheme.num_classes
    if table.shape != (size, size):
        raise Refused(f"confusion must be a table of all classes, ({size}, {size}), got shape {table.shape}")
    if not np.isfinite(table).all() or (table < 0).any():
        raise Refused("confusion holds counts or rates: every entry must be finite and not negative")
    weight = table + table.T
    np.fill_diagonal(weight, 0)
    if weight.any():
        weight /= weight.max()
    ones = scheme.words.astype(float)
    shared = ones @ ones.T
    order = np.arange(size)
    mixed = weight @ shared  # [k, l]: what class k would pay with the word of class l
    while True:
        pay = np.diag(mixed)
        change = mixed + mixed.T - pay[:, None] - pay - 2 * weight * (scheme.num_active - shared)
        k, l = divmod(int(change.argmin()), size)
        if change[k, l] > -1e-9:  # weights are at most 1 and shared ones integers: far above the rounding errors
            return CodingScheme(scheme.words[order], provenance=scheme.provenance)
        swap = [k, l]
        order[swap] = order[swap[::-1]]
        mixed += np.outer(weight[:, l] - weight[:, k], shared[k] - shared[l])
        shared[swap] = shared[swap[::-1]]
        shared[:, swap] = shared[:, swap[::-1]]
        mixed[:, swap] = mixed[:, swap[::-1]]


def scheme_path(num_classes: int, num_branches: int, num_active: int) -> Path:
    """Where the package ships, or would ship, the scheme of these sizes."""
    return SCHEMES / f"{num_classes}x{num_branches}-{num_active}.txt"


def load_scheme(num_classes: int, num_branches: int, num_active: int) -> CodingScheme:
    """A scheme that ships with the package.

    Raises:
        FileNotFoundError: listing the sizes that are there.
    """
    path = scheme_path(num_classes, num_branches, num_active)
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in SCHEMES.glob("*.txt")))
        raise Missing(
            f"no shipped scheme for {num_classes} classes, {num_branches} branches, {num_active} active; "
            f"there are {there} (classes x branches - active). "
            f"Make one: design_scheme({num_classes}, {num_branches}, {num_active})"
        )
    return CodingScheme.load(path)


def first_stage(blocks: Sequence[str]) -> list[str]:
    """Those of the first coded stage among coded blocks that are given in network order."""
    return [name for name in blocks if name.split(".")[0] == blocks[0].split(".")[0]]
