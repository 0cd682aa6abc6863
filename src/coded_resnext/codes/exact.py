"""Schemes by an exact solver, CP-SAT of OR-tools: N equations over a choice of words (appendix A).

It finishes where the exchanges of `choosing.py` leave the columns unequal. For small sizes it also chooses among all
words of the weight: then it finds a scheme of the distance, or proves that none has equal columns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from .effort import Effort

log = logging.getLogger(__name__)


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
