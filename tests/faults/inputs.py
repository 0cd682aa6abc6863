"""Parameters that cannot be, drawn at random: a name that is none, a value of another type or out of range."""

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from coded_resnext.errors import CodedResNeXtError, on_one_line
from coded_resnext.training.parameters import BRANCH_SUMS, STEMS, TrainingParameters, build, to_plain

DEFAULTS = to_plain(TrainingParameters())
POSITIVE = {
    "num_branches", "branch_width", "width", "epochs", "learning_rate", "batch_size", "norm_batch", "evaluate_every",
}  # fmt: skip
OTHER = {"drop_branch": [1.0, 1.5, -0.1], "exponent": [0.99, 0.0, -4.0], "precision": ["float16", ""]}
OTHER |= {"stem": ["5x5", *(stem + " " for stem in STEMS)], "branch_sum": [name.upper() for name in BRANCH_SUMS]}
OTHER |= {"layers": [[], [0], [2, -1]]}
OTHER |= {"active": [{"layer4": 1}, {"layer2": 0}, {"layer2": 11}, {"": 1}, {"layer2.7": 1}]}
OTHER |= {name: ["..", "a/b", "", "/tmp", "a\0b", "C:"] for name in ("preset", "name")}
WRONG = (None, True, 3, -2.5, "3", "x", [], [1], ["x"], {}, {"a": 1}, {"layer2": 0.5}, [[1]])


class Bad(NamedTuple):
    """A parameter that cannot be, and what is wrong with it."""

    key: str
    value: Any
    kind: str


def bad_parameters(count: int, seed: int) -> Iterator[Bad]:
    """So many of TrainingParameters."""
    draw = random.Random(seed)
    kinds: list[Callable[[random.Random], Bad]] = [unknown_name, another_type, out_of_range, no_number]
    for i in range(count):
        yield kinds[i % len(kinds)](draw)


def is_refused(bad: Bad) -> bool:
    """Whether it is refused by an error of the project's own, in one line that names it."""
    try:
        build(TrainingParameters, {bad.key: bad.value}, "here")
    except CodedResNeXtError as error:
        return repr(bad.key)[1:-1] in str(error) and on_one_line(str(error)) == str(error)
    return False


def unknown_name(draw: random.Random) -> Bad:
    """A known name with one letter changed, taken away or doubled, or letters that are none."""
    while True:
        name = draw.choice(list(DEFAULTS))
        place = draw.randrange(len(name))
        key = draw.choice([
            name[:place] + name[place + 1 :], name[:place] + name[place] + name[place:], name.upper(),
            name[:place] + draw.choice("abcxyz_0") + name[place + 1 :],
            draw.choice(["é", "x" * 500, "__class__", "self"]),
        ])  # fmt: skip
        if key and key not in DEFAULTS:
            return Bad(key, DEFAULTS[name], "unknown name")


def another_type(draw: random.Random) -> Bad:
    while True:
        key, value = draw.choice(list(DEFAULTS)), draw.choice(WRONG)
        default = DEFAULTS[key]
        if type(value) is type(default):
            if not isinstance(value, list | dict) or value == [] or key in ("preset", "name"):
                continue
            inner = all(type(item) is int for item in (value.values() if isinstance(value, dict) else value))
            if inner:
                continue
        if isinstance(default, float) and type(value) in (int, str) and value != "x":  # whole numbers and "3" pass
            continue
        return Bad(key, value, "another type")


def out_of_range(draw: random.Random) -> Bad:
    while True:
        key = draw.choice(list(DEFAULTS))
        default = DEFAULTS[key]
        if key in OTHER:
            return Bad(key, draw.choice(OTHER[key]), "out of range")
        if type(default) in (int, float):
            low = 0 if key in POSITIVE and draw.random() < 0.5 else -draw.randint(1, 10**6)
            if low < 0 or key in POSITIVE:
                return Bad(key, type(default)(low), "out of range")


def no_number(draw: random.Random) -> Bad:
    key = draw.choice([key for key, default in DEFAULTS.items() if isinstance(default, float)])
    return Bad(key, draw.choice([math.nan, math.inf, -math.inf]), "no finite number")


def as_yaml(value: Any) -> str:
    """A value as it is typed behind -p KEY=, or stands in a preset."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    return json.dumps(value)
