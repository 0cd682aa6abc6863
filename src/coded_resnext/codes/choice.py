"""K words out of a packing: columns as equal as can be, few pairs at the minimum distance (appendix A).

The paper picks greedily and ends with columns a few words apart. Equal columns are N equations over a choice. An
annealing and a descent bring the columns within one or two of their target; then two exchanges at once are looked up
that cancel what is left, or words that have room move a 1. A small packing leaves too few exchanges for that and may
have no room: there an exact solver finishes, CP-SAT of OR-tools. For small sizes it also chooses among all words of the
weight: then it finds a scheme of the distance, or proves that none has equal columns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from . import annealing
from .effort import CALL, ELEMENT, Effort

log = logging.getLogger(__name__)

LARGEST_PACKING = 4_000  # words a choice is made from: their table of shared ones takes 64 MB
SIEVE = (1 << 20) - 1
NEAR = 12.0  # squared column excess from which looking for two exchanges pays
HOT, COLD = 0.1, 0.003  # temperatures in units of the mean number of close pairs a word has
PATIENCE = 40  # exchanges without more equal columns that end a descent
ATTEMPTS = 4


def choose(
    rows: np.ndarray, num_classes: int, distance: int, effort: Effort, rng: np.random.Generator
) -> np.ndarray | None:
    """Choose K of these words with columns as equal as can be.

    Args:
        rows: (M, N) booleans, equal weights, pairwise at this distance or more.
    Returns:
        (K, N) booleans, or None where no choice was found.
    """
    if len(rows) < num_classes:
        return None
    ones, num_branches = rows.sum(axis=0), rows.shape[1]
    full, rest = divmod(num_classes * int(rows[0].sum()), num_branches)
    if ones.min() < full or (len(rows) - ones).min() < num_classes - full - (rest > 0):
        return None  # a column has not enough ones, or not enough zeros, for any choice
    if (halves := _complementary(rows)) is not None and len(halves) >= (num_classes + 1) // 2:
        halves = halves[rng.permutation(len(halves))[: LARGEST_PACKING // 2]]
        return _choose_halves(rows, halves, num_classes, distance, effort, rng)
    if len(rows) > LARGEST_PACKING:
        rows = rows[np.sort(rng.permutation(len(rows))[:LARGEST_PACKING])]
    table = _Table(rows, distance)
    for _ in range(ATTEMPTS):
        if effort.spent:
            break
        chosen = _equalise(table, _anneal(table, num_classes, effort.part(effort.left / 5), rng), effort, rng)
        if not table.excess(chosen).any():
            return rows[chosen]
        level = annealing.level(rows[chosen], distance, effort.part(effort.left / 2), rng)
        if level is not None:
            return level
    return solve(rows, num_classes, distance, effort)


class _Table:
    """What a choice among M words needs to know: who shares how much with whom."""

    def __init__(self, rows: np.ndarray, distance: int) -> None:
        self.rows = rows.astype(np.float32)
        self.shared = self.rows @ self.rows.T
        self.close = (self.shared >= self.rows[0].sum() - distance // 2).astype(np.float32)
        np.fill_diagonal(self.close, 0)

    def excess(self, chosen: np.ndarray) -> np.ndarray:
        """(N,) column sums over a choice, less what they should be; the fullest columns get what does not divide."""
        columns = self.rows[chosen].sum(axis=0)
        full, rest = divmod(int(columns.sum()), len(columns))
        target = np.full(len(columns), full, dtype=np.float32)
        target[np.argsort(-columns, kind="stable")[:rest]] += 1
        return columns - target


def _anneal(table: _Table, size: int, effort: Effort, rng: np.random.Generator) -> np.ndarray:
    """(M,) mask of `size` words with few close pairs and nearly equal columns: exchanges drawn by heat bath."""
    total = len(table.rows)
    chosen = np.zeros(total, dtype=bool)
    chosen[rng.permutation(total)[:size]] = True
    if size == total:
        return chosen
    degree = table.close[chosen].sum(axis=0)
    columns = table.rows[chosen].sum(axis=0, dtype=np.float64)
    # How full the columns of a word are. Sums of integers, so that no order of summation, of any machine, matters.
    load = table.rows @ (len(columns) * columns - columns.sum()) / len(columns)
    square = table.shared[0, 0]
    scale = max(1.0, float(degree.mean()))
    work = 18 * CALL + 20 * ELEMENT * total
    steps = max(1, int(effort.left / work))
    for step in range(steps):
        if step % 256 == 0 and effort.spent:
            break
        temperature = scale * HOT * (COLD / HOT) ** (step / steps)
        inside = np.flatnonzero(chosen)
        out = inside[rng.integers(size)]
        outside = np.flatnonzero(~chosen)
        change = (degree - table.close[out] + 2 * load - 2 * table.shared[out])[outside]
        change += 2 * square - degree[out] - 2 * load[out]
        drawn = change / temperature + np.log(rng.standard_exponential(len(outside)))
        best = int(drawn.argmin())
        if drawn[best] < np.log(rng.standard_exponential()):
            new = outside[best]
            chosen[out], chosen[new] = False, True
            degree += table.close[new] - table.close[out]
            load += table.shared[new] - table.shared[out]
        effort.spend(work)
    return chosen


def _equalise(table: _Table, chosen: np.ndarray, effort: Effort, rng: np.random.Generator) -> np.ndarray:
    """Change a choice until its columns are as equal as can be: the best single exchange, without going back at once.

    Near the end no single exchange is small enough, as words at distance d differ in d columns, but two together
    often are. Each word gets a random number a column, summed over its ones: the columns' excess is cancelled by
    the two exchanges for which the sums of the four words say so, and these are found by looking sums of two up.

    Returns:
        The choice with the most equal columns that was met.
    """
    chosen, best, least = chosen.copy(), chosen, np.inf
    key = rng.integers(1 << 62, size=table.rows.shape[1], dtype=np.int64)
    keys = table.rows.astype(np.int64) @ key  # modulo 2^64
    barred = np.zeros(len(chosen), dtype=int)  # the round before which a word may not move again
    improved = round_ = 0
    while round_ - improved < PATIENCE and not effort.spent:
        excess = table.excess(chosen)
        square = float(excess @ excess)
        if square < least:
            best, least, improved = chosen.copy(), square, round_
        inside = np.flatnonzero(chosen & (barred <= round_))
        outside = np.flatnonzero(~chosen & (barred <= round_))
        if square == 0 or not len(inside) or not len(outside):
            break
        effort.spend(40 * CALL + 8 * ELEMENT * len(inside) * len(outside))
        if square <= NEAR:
            effort.spend(40 * CALL + 12 * ELEMENT * (len(inside) ** 2 + len(outside) ** 2))
            if four := _cancelling(keys, key @ excess.astype(np.int64), inside, outside):
                chosen[four[:2]], chosen[four[2:]] = False, True
                return chosen
        pull = 2 * (table.rows @ excess)
        change = pull[outside] - pull[inside][:, None] - 2 * table.shared[np.ix_(inside, outside)]
        out, new = np.unravel_index(int(change.argmin()), change.shape)
        chosen[inside[out]], chosen[outside[new]] = False, True
        barred[inside[out]] = round_ + 3 + rng.integers(20)
        barred[outside[new]] = round_ + 3 + rng.integers(10)
        round_ += 1
    return best


def _cancelling(keys: np.ndarray, excess: np.int64, inside: np.ndarray, outside: np.ndarray) -> list[int]:
    """Two words to take out and two to put in, so that the column sums change by minus the excess; empty if none."""
    first, second = np.triu_indices(len(inside), k=1)
    third, fourth = np.triu_indices(len(outside), k=1)
    leaving = keys[inside][first] + keys[inside][second] - excess
    entering = keys[outside][third] + keys[outside][fourth]
    order = np.argsort(entering, kind="stable")
    entering = entering[order]
    if not len(entering):
        return []
    seen = np.zeros(1 << 20, dtype=bool)  # by the last 20 bits, which tell most of the useless ones apart at once
    seen[entering & SIEVE] = True
    likely = np.flatnonzero(seen[leaving & SIEVE])
    place = np.minimum(np.searchsorted(entering, leaving[likely]), len(entering) - 1)
    for hit in np.flatnonzero(entering[place] == leaving[likely])[:1]:
        out, new = likely[hit], order[place[hit]]
        return [int(i) for i in (inside[first[out]], inside[second[out]], outside[third[new]], outside[fourth[new]])]
    return []


def _complementary(rows: np.ndarray) -> np.ndarray | None:
    """(H, 2) indices of words that are each other's complement; None where the weight is not half the length."""
    if 2 * int(rows[0].sum()) != rows.shape[1]:
        return None
    place = {row.tobytes(): index for index, row in enumerate(rows)}
    pairs = [(index, place.get((~row).tobytes(), -1)) for index, row in enumerate(rows)]
    return np.array([pair for pair in pairs if pair[0] < pair[1]], dtype=int).reshape(-1, 2)


def _choose_halves(
    rows: np.ndarray, halves: np.ndarray, num_classes: int, distance: int, effort: Effort, rng: np.random.Generator
) -> np.ndarray:
    """Complementary pairs put one 1 into every column: any K/2 of them are balanced. An odd K loses one word."""
    rows, halves = rows[halves.ravel()], np.arange(halves.size).reshape(-1, 2)
    table = _Table(rows, distance)
    pairs = _Table(rows[halves[:, 0]], distance)
    pairs.rows[:] = 1
    pairs.shared[:] = 1  # no exchange of pairs changes a column
    pairs.close = sum(table.close[np.ix_(halves[:, a], halves[:, b])] for a in (0, 1) for b in (0, 1))
    chosen = _anneal(pairs, (num_classes + 1) // 2, effort, rng)
    picked = np.sort(halves[chosen].ravel())
    if len(picked) > num_classes:
        degree = table.close[np.ix_(picked, picked)].sum(axis=0)
        picked = np.delete(picked, int(degree.argmax()))
    return rows[picked]


def solve(rows: np.ndarray, num_classes: int, distance: int, effort: Effort) -> np.ndarray | None:
    """Choose K words at pairwise this distance or more, columns as equal as can be.

    Args:
        rows: (M, N) booleans of equal weight. Where they are no packing yet, every subset of the columns that two words
            must not share becomes a constraint: for small N only.
    Returns:
        (K, N) booleans; None where OR-tools is missing, or where it finds nothing within the effort, or proves that
        there is nothing, which the log tells.
    """
    if effort.spent:
        return None
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        log.warning("OR-tools is missing, which may find what is not found now: pip install 'coded-resnext[design]'")
        return None
    model = cp_model.CpModel()
    take = [model.new_bool_var("") for _ in rows]
    model.add(sum(take) == num_classes)
    full, rest = divmod(num_classes * int(rows[0].sum()), rows.shape[1])
    for column in rows.T:
        total = sum(take[index] for index in np.flatnonzero(column))
        model.add_linear_constraint(total, full, full + (rest > 0))
    for group in _conflicts(rows, distance):
        model.add_at_most_one(take[index] for index in group)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = max(0.0, effort.left)  # its unit is about a second
    status = solver.solve(model)
    effort.spend(solver.response_proto.deterministic_time)
    if status == cp_model.INFEASIBLE:
        log.info("  proven: no %d of %d words at distance %d have equal columns", num_classes, len(rows), distance)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    return rows[[solver.boolean_value(variable) for variable in take]]


def _conflicts(rows: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Indices of words of which one at most may be taken; together they bar every pair that is too close.

    Words of weight w at a distance below d share w − d/2 + 1 ones, and N − w − d/2 + 1 zeros. Groups of either kind
    would do; with both, what the solver can conclude is stronger.
    """
    ones = rows.astype(np.float32)
    shared = ones @ ones.T
    weight, num_branches = int(rows[0].sum()), rows.shape[1]
    if (np.triu(shared, 1) <= weight - distance // 2).all():
        return
    for digits, w in ((rows, weight), (~rows, num_branches - weight)):
        for columns in combinations(range(num_branches), w - distance // 2 + 1):
            group = np.flatnonzero(digits[:, columns].all(axis=1))
            if len(group) > 1:
                yield group
