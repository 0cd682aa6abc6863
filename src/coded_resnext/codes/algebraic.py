"""Packings out of algebra: the words of one weight in extended BCH codes, their cosets, shortened and lifted forms.

The columns of an extended BCH code of length 2^m are the elements x of the field GF(2^m), and its words are the
values of Tr(Σ_j a_j x^j) + c: linear in the coefficients, so that a handful of words generates it. Adding
exponents one class after the other gives a chain of codes with falling distance and growing size; for 32
columns it runs through the Reed-Muller codes as well. A length N < 2^m comes from fixing the columns beyond N: all to 0
(shortened) or some to 1 (lifted). Differences of such words are words of the shortened code, so all keep its distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from .packing import Words

# Primitive polynomials over GF(2), bit i the coefficient of x^i: x generates all of GF(2^m) but 0.
PRIMITIVE = {1: 0b11, 2: 0b111, 3: 0b1011, 4: 0b10011, 5: 0b100101, 6: 0b1000011}

LARGEST_DIMENSION = 21  # codes whose words are all written down: 2e6 words, 17 MB
LIFTS = 4  # columns beyond N that are fixed to 1, at most
SHIFTS = (0b0, 0b1, 0b11, 0b111)  # cosets looked at: the code moved by a word of weight 0 … 3


def weight_class(num_branches: int, num_active: int, distance: int) -> Words:
    """The largest set of words of this weight that a code of at least this distance has in store.

    Args:
        num_branches: N, at most 64.
        num_active: weight of the words.
        distance: 2 for any code at all.
    Returns:
        (M,) distinct words, ascending; none at all when no code has such words.
    """
    best = np.zeros(0, dtype=np.uint64)
    for basis, movers in _chain(num_branches):
        words = _span(basis)
        if len(basis) and int(np.bitwise_count(words[1:]).min()) < distance:
            break  # and so has every larger code, which contains this one
        for mover in movers:
            moved = words ^ np.uint64(mover) if mover else words
            weights = np.bitwise_count(moved)
            for found in (moved[weights == num_active], ~moved[weights == num_branches - num_active]):
                if len(found) > len(best):
                    best = found & np.uint64((1 << num_branches) - 1)
    return np.sort(best)


@lru_cache(maxsize=4)
def _chain(num_branches: int) -> list[tuple[list[int], list[int]]]:
    """The codes of this length, smallest first: generating words, and a word of each coset that is looked at."""
    degree = max(1, (num_branches - 1).bit_length())
    beyond = (1 << degree) - num_branches
    codes = []
    generators = [(1 << (1 << degree)) - 1]  # the constant 1
    for exponent in _exponents(degree):
        generators = generators + _monomial(degree, exponent)
        # Columns beyond N are the high digits, so elimination from the top separates the words that are 0 there.
        echelon = _eliminate(generators)
        basis = [word for word in echelon if word < 1 << num_branches]
        if len(basis) > LARGEST_DIMENSION:
            break
        movers = list(SHIFTS)
        for lift in range(1, min(LIFTS, beyond) + 1):
            wanted = ((1 << lift) - 1) << num_branches
            reached = _reduce(wanted, [word for word in echelon if word >= 1 << num_branches])
            if reached < 1 << num_branches:  # wanted ^ reached is a word of the long code, with these ones beyond N
                movers.append(reached)
        codes.append((basis, movers))
    return codes


def _exponents(degree: int) -> Iterator[int]:
    """Exponents of the chain, one of each class {j, 2j, 4j, …} mod 2^m − 1, in the order of falling BCH distance."""
    order = (1 << degree) - 1
    classes = {min((start << shift) % order for shift in range(degree)) for start in range(1, order)}
    return (order - leader for leader in sorted(classes, reverse=True))


def _powers(degree: int, exponent: int) -> list[int]:
    """x^exponent for the 2^m elements x, written as the integers 0 … 2^m − 1."""
    order = (1 << degree) - 1
    exponential, element = [], 1
    for _ in range(order):
        exponential.append(element)
        element <<= 1
        if element > order:
            element ^= PRIMITIVE[degree]
    logarithm = {element: log for log, element in enumerate(exponential)}
    return [0] + [exponential[logarithm[x] * exponent % order] for x in range(1, order + 1)]


def _monomial(degree: int, exponent: int) -> list[int]:
    """Words that span all Tr(a x^j): the m digits of x^j, column x the digit x of a word."""
    values = _powers(degree, exponent)
    return [sum((value >> digit & 1) << x for x, value in enumerate(values)) for digit in range(degree)]


def _eliminate(words: list[int]) -> list[int]:
    """A basis whose words have different highest digits, highest first."""
    basis: list[int] = []
    for word in words:
        if rest := _reduce(word, basis):
            basis = sorted([*basis, rest], reverse=True)
    return basis


def _reduce(word: int, basis: list[int]) -> int:
    """`word` less whatever words of the basis take its highest digits away."""
    for element in basis:
        word = min(word, word ^ element)
    return word


def _span(basis: list[int]) -> Words:
    """All sums of the basis, the zero word first."""
    words = np.zeros(1, dtype=np.uint64)
    for element in basis:
        words = np.concatenate([words, words ^ np.uint64(element)])
    return words
