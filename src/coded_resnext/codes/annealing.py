"""Simulated annealing of whole schemes: words move one 1 at a time until no two share too many ones (appendix A).

The workhorse of the designer where there is room, and what lowers the number of pairs at the minimum distance. A
word's w(N − w) moves (a branch that it leaves, a branch that it enters) are weighed at once: with f(o) the price of a
pair that shares o ones, the change is a sum over the other words that depends on their digits at the two
branches only, so two matrix products over the K words give all of it. Then one move, or none, is drawn with the
probability that the temperature gives it (heat bath).
"""

from __future__ import annotations

import numpy as np

from .effort import CALL, ELEMENT, Effort

# Prices in units of one shared 1 too many. Found on (36, 10, 5), (100, 20, 4) and (200, 24, 12); not delicate.
REACH = {"allowed": 0.0, "first": 1.0, "more": 1.0, "column": 0.5, "hot": 0.6, "cold": 0.1}
# Words that are far enough apart already, with columns off by little: only harmless moves, at once.
LEVEL = {"allowed": 0.0, "first": 5.0, "more": 5.0, "column": 1.0, "hot": 0.5, "cold": 0.3}
LEVEL_SWEEPS = 20
# Here a pair at the minimum distance costs 1, and breaking the distance must never pay.
THIN = {"allowed": 1.0, "first": 9.0, "more": 8.0, "column": 1.0, "hot": 1.0, "cold": 0.15}


# Conflicts a word, left by ten sweeps or more, from which longer annealings did not reach the distance either:
# (1000, 32, 8) at 8 keeps 1.1 and (100, 20, 8) at 8 keeps 2; whatever was reached had less than 0.4 by then.
HOPELESS = 0.5


def balanced_rows(num_classes: int, num_branches: int, num_active: int, rng: np.random.Generator) -> np.ndarray:
    """(K, N) booleans, rows of weight N_act, columns as equal as can be, otherwise random; rows may repeat."""
    rows = np.zeros((num_classes, num_branches), dtype=bool)
    load = np.zeros(num_branches)
    for row in rows:
        row[np.argsort(load + rng.random(num_branches) / 2)[:num_active]] = True  # the least loaded, ties at random
        load += row
    return rows


def reach(rows: np.ndarray, distance: int, effort: Effort, rng: np.random.Generator) -> np.ndarray | None:
    """Move from these rows to a scheme of this distance with equal columns, in longer and longer annealings.

    Args:
        rows: (K, N) booleans of equal weight.
    Returns:
        (K, N), or None when the effort ends first or there is no hope.
    """
    sweeps = 10
    while not effort.spent:
        found, conflicts = _anneal(rows, distance, REACH, sweeps, effort, rng, enough=None)
        if found is not None or conflicts > HOPELESS * len(rows):
            return found
        sweeps *= 2
    return None


def level(rows: np.ndarray, distance: int, effort: Effort, rng: np.random.Generator) -> np.ndarray | None:
    """Make nearly equal columns equal without losing the distance; None where the words have no room for it."""
    return _anneal(rows, distance, LEVEL, LEVEL_SWEEPS, effort, rng, enough=None)[0]


def thin(rows: np.ndarray, distance: int, fewest: int, effort: Effort, rng: np.random.Generator) -> np.ndarray:
    """Lower the number of pairs at the minimum distance, from a scheme of this distance with equal columns.

    Args:
        fewest: proven limit; reaching it ends the search.
    """
    best, sweeps = rows, 100
    while not effort.spent and close_pairs(best, distance) > fewest:
        found, _ = _anneal(best, distance, THIN, sweeps, effort, rng, enough=fewest)
        if found is not None and close_pairs(found, distance) < close_pairs(best, distance):
            best = found
        sweeps *= 2
    return best


def close_pairs(rows: np.ndarray, distance: int) -> int:
    """Pairs of words at this distance or less."""
    ones = rows.astype(np.float32)  # sums of ones are exact far beyond 64
    shared = ones @ ones.T
    most = int(rows[0].sum()) - distance // 2
    return (int((shared >= most).sum()) - len(rows)) // 2


def _anneal(
    rows: np.ndarray,
    distance: int,
    price: dict[str, float],
    sweeps: int,
    effort: Effort,
    rng: np.random.Generator,
    enough: int | None,
) -> tuple[np.ndarray | None, int]:
    """One annealing: the best scheme of this distance met after any sweep, if there was one, and the conflicts left.

    Args:
        enough: pairs at the minimum distance that end the search; None ends it at the first scheme.
    """
    num_classes = len(rows)
    weight = int(rows[0].sum())
    most = weight - distance // 2
    over = np.arange(weight + 1) - most
    cost = np.where(over > 0, price["first"] + price["more"] * (over - 1), np.where(over == 0, price["allowed"], 0.0))
    rise = np.append(np.diff(cost), 0.0).astype(np.float32)  # of sharing one more
    fall = np.append(0.0, -np.diff(cost)).astype(np.float32)  # of sharing one less
    ones = rows.astype(np.float32)
    shared = (ones @ ones.T).astype(np.int64)
    columns = ones.sum(axis=0)
    best, best_pairs = None, np.inf
    work = 40 * CALL + 100 * ELEMENT * num_classes  # of one step
    for sweep in range(sweeps):
        temperature = price["hot"] * (price["cold"] / price["hot"]) ** (sweep / max(1, sweeps - 1))
        for k in rng.permutation(num_classes):
            up, down = rise[shared[k]], fall[shared[k]]
            up[k] = down[k] = 0.0
            leave, enter = np.flatnonzero(ones[k]), np.flatnonzero(ones[k] == 0)
            bend = up + down  # zero for all words but those near the limit
            near = np.flatnonzero(bend)
            others = ones[near]
            change = (down @ ones - 2 * price["column"] * columns)[leave][:, None]
            change = change + (up @ ones + 2 * price["column"] * (columns + 1))[enter]
            change -= (others[:, leave] * bend[near][:, None]).T @ others[:, enter]  # words with both branches stay
            # Drawing exp(−change/T) with probabilities: the smallest of change/T + log(exponential) has them.
            drawn = change / temperature + np.log(rng.standard_exponential(change.shape))
            move = int(drawn.argmin())
            if drawn.flat[move] < np.log(rng.standard_exponential()):  # otherwise: stay
                a, b = leave[move // len(enter)], enter[move % len(enter)]
                step = (ones[:, b] - ones[:, a]).astype(np.int64)
                ones[k, a], ones[k, b] = 0, 1
                columns[a] -= 1
                columns[b] += 1
                shared[k] += step
                shared[:, k] += step
                shared[k, k] = weight
        effort.spend(work * num_classes)
        conflicts = (int((shared > most).sum()) - num_classes) // 2
        if conflicts == 0 and columns.max() - columns.min() <= 1:
            pairs = int((shared == most).sum()) // 2
            if enough is None or pairs < best_pairs:
                best, best_pairs = ones > 0, pairs
            if enough is None or pairs <= enough:
                break
        if effort.spent:
            break
    return best, conflicts
