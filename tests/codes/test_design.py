"""The designer: valid, balanced, the same every time, often proven to be the best, clear when refused."""

import subprocess
import sys
from itertools import count
from math import comb

import numpy as np
import pytest

from coded_resnext import CodingScheme, design_scheme, distance_upper_bound, load_scheme
from coded_resnext.__main__ import main
from coded_resnext.codes import choice, effort
from coded_resnext.codes.design import _Search
from coded_resnext.codes.packing import to_rows, words_of_weight
from coded_resnext.codes.scheme import scheme_path
from coded_resnext.reproduction.measure import schemes as shipped
from coded_resnext.reproduction.records import paper as numbers

MOMENT = 0.05  # seconds: enough for what is easy


def spread(scheme):
    return int(np.ptp(scheme.column_sums))


def smallest_spread(num_classes, num_branches, num_active):
    """0 where N divides K·N_act."""
    return int(num_classes * num_active % num_branches > 0)


def check(scheme, sizes):
    """Distinct words of one weight are what CodingScheme accepts at all."""
    assert (scheme.num_classes, scheme.num_branches, scheme.num_active) == sizes
    assert spread(scheme) == smallest_spread(*sizes), sizes
    assert scheme.min_distance <= distance_upper_bound(*sizes)


def random_sizes(rng, most_classes, branches, ratios):
    """Sizes for which there are schemes: K drawn evenly on a logarithmic scale."""
    while True:
        n = int(rng.integers(branches[0], branches[1] + 1))
        w = max(1, round(n * float(rng.choice(ratios))))
        k = int(np.exp(rng.uniform(np.log(2), np.log(most_classes + 1))))
        if k <= comb(n, w):
            return k, n, w


def test_fewer_close_pairs_than_table_3():
    """The paper's 5/10 scheme has 20 pairs at distance 4; any has 10 at least."""
    scheme = design_scheme(10, 10, 5)
    assert scheme.certificate() | {"construction": "", "seconds": 0} == {
        "distance": 4, "bound": 4, "proof": "A(10, 6, 5) <= 6 < 10 by counting", "optimal": True, "column_spread": 0,
        "close_pairs": 10, "fewest_close_pairs": 10, "distance_distribution": {4: 10, 6: 35}, "construction": "",
        "seed": 0, "complete": True, "seconds": 0,
    }  # fmt: skip
    assert load_scheme(10, 10, 5).distance_distribution()[4] == 20


def test_as_good_as_table_3():
    scheme = design_scheme(10, 10, 3, time_limit=1.0)
    assert (scheme.min_distance, spread(scheme)) == (4, 0)
    assert scheme.distance_distribution()[4] <= load_scheme(10, 10, 3).distance_distribution()[4]


@pytest.mark.parametrize(
    ("sizes", "distance"),
    [
        ((7, 7, 3), 4), ((14, 8, 4), 4), ((22, 12, 6), 6), ((30, 16, 8), 8), ((132, 12, 6), 4), ((4, 16, 4), 8),
        ((20, 20, 1), 2), ((20, 20, 19), 2), ((62, 32, 16), 16), ((1000, 32, 16), 12),
    ],
    ids=str,
)  # fmt: skip
def test_easy_cases_reach_the_bound(sizes, distance):
    """Steiner systems, Hadamard and Reed-Muller codes, words without a shared branch."""
    scheme = design_scheme(*sizes, time_limit=3.0 if sizes[0] < 1000 else 1.0)
    check(scheme, sizes)
    assert scheme.min_distance == distance == distance_upper_bound(*sizes)


def test_random_sizes():
    rng = np.random.default_rng(1)
    for _ in range(12):
        sizes = random_sizes(rng, 200, (2, 40), [0.1, 0.25, 0.5, 0.8])
        check(design_scheme(*sizes, time_limit=MOMENT), sizes)


@pytest.mark.parametrize("num_classes", [*range(2, 253, 25), 250, 251, 252])
def test_any_number_of_classes(num_classes):
    check(design_scheme(num_classes, 10, 5, time_limit=MOMENT), (num_classes, 10, 5))


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", range(2, 253))
def test_every_number_of_classes(num_classes):
    """All that there are, for N = 10 and N_act = 5. K = 34 has no balanced scheme at the bound, see the next test."""
    pytest.importorskip("ortools", reason="36 classes need the exact choice of OR-tools, of the extra [design]")
    scheme = design_scheme(num_classes, 10, 5, time_limit=5.0)
    check(scheme, (num_classes, 10, 5))
    assert scheme.min_distance == distance_upper_bound(num_classes, 10, 5) or num_classes == 34


@pytest.mark.slow
def test_where_the_bound_is_out_of_reach(caplog):
    """34 words at distance 4 exist, as 36 do, but none with 17 ones in every column: proven in a minute at most."""
    pytest.importorskip("ortools", reason="the exact choice needs OR-tools, of the extra [design]")
    caplog.set_level("INFO")
    assert choice.solve(to_rows(words_of_weight(10, 5), 10), 34, 4, effort.Effort(120.0)) is None
    assert "proven: no 34 of 252 words at distance 4" in caplog.text


@pytest.mark.parametrize("sizes", [(2, 2, 1), (70, 8, 4), (8, 8, 1), (8, 8, 7), (64, 64, 63), (1716, 13, 6)], ids=str)
def test_all_words_there_are(sizes):
    check(design_scheme(*sizes, time_limit=MOMENT), sizes)


def test_heavy_words_are_complements():
    light, heavy = design_scheme(30, 12, 4, time_limit=0.5), design_scheme(30, 12, 8, time_limit=0.5)
    assert light.distance_distribution() == heavy.distance_distribution()
    assert heavy.provenance["construction"] == f"complement of: {light.provenance['construction']}"


def test_same_arguments_same_scheme(monkeypatch):
    """Also in another process; another seed gives other words. No clock rings, however crowded the machine."""
    monkeypatch.setattr(effort, "thread_time", lambda: 0.0)
    sizes, limit = (20, 12, 5), 2.0
    scheme = design_scheme(*sizes, time_limit=limit)
    assert scheme.provenance["complete"]
    again = (
        "from coded_resnext import design_scheme; from coded_resnext.codes import effort;"
        f"effort.thread_time = lambda: 0.0; print(design_scheme(*{sizes}, time_limit={limit}).to_text())"
    )
    other = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True).stdout
    assert CodingScheme.from_text(other) == design_scheme(*sizes, time_limit=limit) == scheme
    assert design_scheme(*sizes, seed=1, time_limit=limit) != scheme


@pytest.mark.parametrize("sizes", [(36, 13, 5), (40, 17, 8), (150, 21, 9)], ids=str)
def test_the_machines_speed_does_not_matter(sizes, monkeypatch):
    """As long as the clock does not ring: here it creeps, then stands still, a machine without end of speed.

    Not this machine's own clock, which would make the test a race.
    """
    looks = count()
    monkeypatch.setattr(effort, "thread_time", lambda: 1e-9 * next(looks))
    scheme = design_scheme(*sizes, time_limit=0.6)
    assert scheme.provenance["complete"]
    assert next(looks) > 100  # the clock was looked at
    monkeypatch.setattr(effort, "thread_time", lambda: 0.0)
    assert design_scheme(*sizes, time_limit=0.6) == scheme


@pytest.mark.parametrize("sizes", [(10, 10, 5), (300, 24, 8), (500, 40, 20)], ids=str)
def test_a_search_that_the_clock_cuts_short_says_so(sizes, monkeypatch, tmp_path):
    """Whenever the clock rings there is a scheme, and it bears the label, in its file too."""
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(effort, "thread_time", lambda: next(ticks))
    scheme = design_scheme(*sizes, time_limit=5.0)
    check(scheme, sizes)
    assert scheme.certificate()["complete"] is False
    scheme.save(tmp_path / "cut.txt")
    assert CodingScheme.load(tmp_path / "cut.txt").certificate()["complete"] is False


def test_progress(caplog, monkeypatch):
    monkeypatch.setattr(effort, "REPORT_EVERY", 0.1)
    monkeypatch.setattr(effort, "thread_time", lambda: 0.0)  # a clock that does not ring on a crowded machine
    caplog.set_level("INFO", logger="coded_resnext")
    design_scheme(19, 13, 5, time_limit=1.0)
    lines = [record.getMessage().strip() for record in caplog.records]
    assert lines[0] == "19 classes, 13 branches, 5 active: distance at most 6"
    assert sum(line.endswith("of at most 0.5 s of work") for line in lines) >= 4
    assert lines[-1].startswith("distance 4: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 10, 0), "num_active must lie between 1 and num_branches = 10, got 0"),
        ((10, 10, 11), "num_active must lie between 1 and num_branches = 10, got 11"),
        ((253, 10, 5), "num_classes can be 252 at most.*got 253"),
        ((2, 10, 10), "num_classes can be 1 at most.*got 2"),
        ((1, 10, 5), "num_classes must be at least 2, got 1"),
        ((10, 65, 5), "up to 64 branches and 2000 classes, got num_branches=65"),
        ((2001, 32, 8), "up to 64 branches and 2000 classes, got .*num_classes=2001"),
    ],
)
def test_sizes_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        design_scheme(*arguments)


@pytest.mark.parametrize("arguments", [(10.0, 10, 5), (10, "10", 5), (10, 10, 2.5), (10, 10, None)])
def test_sizes_are_integers(arguments):
    with pytest.raises(TypeError, match="must be an integer, got"):
        design_scheme(*arguments)


@pytest.mark.parametrize("time_limit", [0, -1.0, float("nan"), float("inf")])
def test_time_limits(time_limit):
    with pytest.raises(ValueError, match=f"positive and finite, got {time_limit}"):
        design_scheme(10, 10, 5, time_limit=time_limit)


def test_numpys_integers_are_integers():
    sizes = np.array([7, 7, 3])
    assert design_scheme(*sizes, time_limit=MOMENT) == design_scheme(7, 7, 3, time_limit=MOMENT)


# On the command line


def test_the_command_prints_a_scheme_and_its_certificate(capsys, tmp_path):
    command = ["design", "--classes", "7", "--branches", "7", "--active", "3", "--time-limit", "1"]
    assert main(command) == 0
    said = capsys.readouterr()
    scheme = CodingScheme.from_text(said.out)
    assert scheme == design_scheme(7, 7, 3, time_limit=1.0)
    assert scheme.provenance["construction"] == design_scheme(7, 7, 3, time_limit=1.0).provenance["construction"]
    assert "distance: 4\nbound: 4\nproof: A(7, 6, 3) <= 2 < 7 by counting\noptimal: True\n" in said.err
    assert main([*command, "--output", str(tmp_path / "scheme.txt")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "scheme.txt").read_text() == said.out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"active": "11"}, "error: num_active must lie between 1 and num_branches = 10, got 11"),
        ({"classes": "300"}, "error: num_classes can be 252 at most"),
    ],
)
def test_the_command_refuses(changed, message, capsys):
    options = {"classes": "10", "branches": "10", "active": "5"} | changed
    assert main(["design", *(part for key, value in options.items() for part in (f"--{key}", value))]) == 1
    assert message in capsys.readouterr().err


def test_the_command_wants_time(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["design", "--classes", "10", "--branches", "10", "--active", "5", "--time-limit", "0"])
    assert "argument --time-limit: must be seconds above 0, got '0'" in capsys.readouterr().err


def test_the_command_takes_integers(capsys):
    with pytest.raises(SystemExit):
        main(["design", "--classes", "10", "--branches", "10", "--active", "2.5"])
    assert "argument --active: invalid int value: '2.5'" in capsys.readouterr().err


# The choice of K words


@pytest.mark.parametrize(("num_classes", "n", "w"), [(20, 12, 6), (21, 12, 6), (50, 12, 4), (33, 11, 5)])
def test_choices_are_balanced(num_classes, n, w):
    """From all words of the weight; half of them when the weight is half the length, as complements."""
    rows = to_rows(words_of_weight(n, w), n)
    chosen = choice.choose(rows, num_classes, 2, effort.Effort(0.4), np.random.default_rng(0))
    check(CodingScheme(chosen), (num_classes, n, w))


def test_no_choice_where_a_column_is_too_empty():
    rows = to_rows(words_of_weight(8, 3), 8)
    few = rows[rows[:, 0].cumsum() <= 3]  # column 0 has three ones: 16 words need six
    assert choice.choose(few, 16, 2, effort.Effort(1.0), np.random.default_rng(0)) is None
    assert choice.choose(rows[:5], 6, 2, effort.Effort(1.0), np.random.default_rng(0)) is None


def test_the_exact_solver():
    pytest.importorskip("ortools", reason="the exact choice needs OR-tools, of the extra [design]")
    rows = to_rows(words_of_weight(9, 3), 9)
    chosen = choice.solve(rows, 12, 2, effort.Effort(5.0))
    assert chosen.sum(axis=0).tolist() == [4] * 9
    assert choice.solve(rows[rows[:, 0]], 9, 2, effort.Effort(5.0)) is None  # all have column 0
    apart = choice.solve(rows, 12, 4, effort.Effort(5.0))  # a Steiner triple system is the one way
    check(CodingScheme(apart), (12, 9, 3))
    assert CodingScheme(apart).min_distance == 4
    assert choice.solve(rows, 13, 4, effort.Effort(5.0)) is None


def test_without_the_exact_solver(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    assert choice.solve(to_rows(words_of_weight(9, 3), 9), 12, 2, effort.Effort(5.0)) is None
    assert "pip install 'coded-resnext[design]'" in caplog.text


# What ships


def test_the_smallest_shipped_design_comes_out_again():
    """The others take minutes: below, and `make schemes`."""
    scheme = design_scheme(10, 10, 7, seed=shipped.SEED, time_limit=shipped.TIME_LIMIT)
    assert scheme.to_text(**scheme.header()) == scheme_path(10, 10, 7).read_text()


DESIGNED = [*numbers.NETWORK_SIZES[2:], *numbers.ABLATION_SIZES]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", DESIGNED, ids=lambda s: scheme_path(*s).stem)
def test_shipped_designs_come_out_again(sizes):
    scheme = design_scheme(*sizes, seed=shipped.SEED, time_limit=shipped.TIME_LIMIT)
    assert scheme.to_text(**scheme.header()) == scheme_path(*sizes).read_text()


@pytest.mark.slow
def test_sizes_that_nobody_tuned_for(capsys):
    """60 sizes, 20 s each at most: valid, deterministic, balanced; at least half are proven to be optimal."""
    rng = np.random.default_rng(0)
    optimal = 0
    for number in range(1, 61):
        sizes = random_sizes(rng, 500, (6, 32), [0.125, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75])
        scheme = design_scheme(*sizes, time_limit=20.0)
        check(scheme, sizes)
        if number % 10 == 0 and scheme.provenance["complete"]:
            assert design_scheme(*sizes, time_limit=20.0) == scheme, sizes
        certificate = scheme.certificate()
        optimal += certificate["optimal"]
        with capsys.disabled():
            print(
                f"\n{number:2} {sizes!s:14} distance {certificate['distance']} of at most {certificate['bound']}, "
                f"{certificate['close_pairs']} pairs, {certificate['seconds']} s; proven optimal: {optimal}",
                end="", flush=True,
            )  # fmt: skip
    assert optimal >= 30


@pytest.mark.parametrize("seed", [4, 9])
def test_distinct_words_are_distinct_where_there_are_too_many_to_list(seed):
    """C(27, 13) is 20 million: words are made with balanced columns, and with these seeds two came out the same."""
    rows = _Search(2000, 27, 13, seed, effort.Effort(1.0))._spread_words()
    assert len({row.tobytes() for row in rows}) == 2000
    assert set(rows.sum(axis=1)) == {13}
    assert np.ptp(rows.sum(axis=0)) <= 1
