"""Every verdict a second time, from the JSON files by plain numpy: the package is only asked for what it printed."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
from made_up import decoding, point, removal, write, write_binary

from coded_resnext import paths
from coded_resnext.reproduction.figures.again import REPETITIONS
from coded_resnext.reproduction.figures.claims import claims
from coded_resnext.reproduction.records.answers import pack

NORMAL = 1.959964
STUDENT = {1: 12.706205, 2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582, 6: 2.446912, 7: 2.364624, 8: 2.306004,
           9: 2.262157, 11: 2.200985, 14: 2.144787, 98: 1.984467, 99: 1.984217}  # fmt: skip
NAMES = {
    "coded": r"coded-s\d+", "plain": r"plain-s\d+", "no loss": r"coded-mu0(\.0)?-s\d+",
    "no dropping": r"coded-drop0\.0-s\d+", "square": r"coded-exponent2-s\d+",
    "concatenated": r"coded-concatenated-s\d+", "small plain": r"plain-narrow-s\d+",
    "dropping alone": r"coded-raw-mu0-s\d+", "random": r"coded-random-s\d+", "permuted": r"coded-permuted-s\d+",
}  # fmt: skip
DECAYS = ("0.001", "0.002", "0.004")
NAMES |= {f"decay {decay}": rf"plain-decay{re.escape(decay)}-s\d+" for decay in DECAYS}
CUT = "mean average precision, own codeword less"


def recompute(folder):
    """Claim: (ours, error, verdict or ""), for all rows that records of a folder have numbers for."""
    here = {}

    def runs(stage, kind, number):
        """{seed: (percent, (images, right) or None, n)} of one condition; `number` gives percent and bits' name."""
        found = {}
        for path in sorted(folder.glob(f"{stage}-*.json")):
            if not re.fullmatch(f"{stage}-{NAMES[kind]}.json", path.name):
                continue
            record = json.loads(path.read_text(encoding="utf-8"))
            percent, name = number(record)
            n, answers = int(record["metrics"]["images"]), None
            if name in record.get("right", {}):
                right = _bits(record["right"][name])[:n]
                tested = np.nonzero(_bits(record["tested"]))[0] if "tested" in record else np.arange(n)
                answers = dict(zip(tested.tolist(), right.tolist(), strict=True))
            found[record["seed"]] = (percent, answers, n)
        return found

    def accuracy(kind):
        return runs("accuracy", kind, lambda record: (record["metrics"]["accuracy"], "softmax"))

    def best_on_held_out():
        means = {}
        for decay in ("", *DECAYS):
            name = f"plain-decay{decay}" if decay else "plain"
            found = [json.loads(path.read_text()) for path in sorted(folder.glob(f"training-{name}-s[0-9].json"))]
            held = [record["history"][-1]["accuracy"] for record in found if record["parameters"]["holdout"]]
            if held:
                means[f"decay {decay}" if decay else "plain"] = np.mean(held)
        return max(means, key=means.get) if len(means) > 1 else None

    def decoder(kind, place):
        return runs("early", kind, lambda r: (r["curves"][place]["accuracy"], r["curves"][place]["block"]))

    def without(kind, which, all_of_them=True):
        def number(record):
            rows = [row for row in record["curves"] if row["set"] == which]
            removed = max(row["removed"] for row in rows) if all_of_them else 0
            percents = [row["accuracy"] for row in rows if row["removed"] == removed]
            return sum(percents) / len(percents), f"{which} {removed}"

        return runs("specialisation", kind, number)

    def classes(kind, key, scale=1.0, cut=None):
        def number(record):
            if cut is None:
                return [point[key] for point in record["points"]], None
            return [row["average_precision"] for row in record["controls"] if row["cut"] == cut], None

        found = {seed: run[0] for seed, run in runs("binary", kind, number).items()}
        return {seed: scale * np.array(numbers) for seed, numbers in found.items() if None not in numbers}

    def level(name, measured):
        if measured:
            percents, n = [run[0] for run in measured.values()], next(iter(measured.values()))[2]
            here[name] = (np.mean(percents), np.sqrt(_seeds(percents) ** 2 + _wilson(np.mean(percents), n) ** 2), "")

    def less(name, first, second, margin=None):
        if not (first and second):
            return
        both = sorted(set(first) & set(second))
        sides = [[run[0] for run in side.values()] for side in (first, second)]
        n = next(iter(first.values()))[2]
        if len(both) > 1 or len(first) == len(second) == len(both) == 1:
            gains = [first[seed][0] - second[seed][0] for seed in both]
            value, seeds, count = np.mean(gains), _seeds(gains), len(both)
            pairs = [(first[seed][1], second[seed][1]) for seed in both]
            if all(a is not None and b is not None for a, b in pairs):
                images = _images(pairs)
            else:
                means = [np.mean([side[seed][0] for seed in both]) for side in (first, second)]
                images = np.hypot(_wilson(means[0], n), _wilson(means[1], n))
        else:
            value, count = np.mean(sides[0]) - np.mean(sides[1]), min(map(len, sides))
            seeds = _pooled(sides)
            images = np.hypot(_wilson(np.mean(sides[0]), n), _wilson(np.mean(sides[1]), n))
        here[name] = decide(value, np.hypot(seeds, images), count, margin)

    def mean(name, first, second=None, margin=None):
        if not first or second == {}:
            return
        if second is None:
            numbers = list(first.values())
        else:
            both = sorted(set(first) & set(second))
            sides = [[values.mean() for values in side.values()] for side in (first, second)]
            if len(both) < 2 < sum(map(len, sides)):
                value, error = np.mean(sides[0]) - np.mean(sides[1]), _pooled(sides)
                here[name] = decide(value, error, min(map(len, sides)), margin)
                return
            numbers = [first[seed] - second[seed] for seed in both]
        spread_over = [values.mean() for values in numbers] if len(numbers) > 1 else numbers[0]
        here[name] = decide(np.mean([v.mean() for v in numbers]), _seeds(spread_over), len(numbers), margin)

    def decide(value, error, count, margin):
        if margin is None:
            return value, error, ""
        low, high = value - error + margin, value + error + margin
        word = "agrees" if low > 0 else "differs" if high < 0 else "undecided"
        return value, error, word + " (one run)" * (count == 1 and word != "undecided")

    coded, plain = accuracy("coded"), accuracy("plain")
    level("accuracy, coded", coded)
    level("accuracy, plain", plain)
    less("coded minus plain: nothing is lost", coded, plain, 0.5)
    less("coded is better than plain", coded, plain, 0.0)
    no_loss = accuracy("no loss")
    less("accuracy gained by the coding loss", coded, no_loss, 0.0)
    less("accuracy gained by normalising and dropping", no_loss, plain, 0.0)
    less("accuracy gained by dropping alone", accuracy("dropping alone"), plain, 0.0)
    chosen = best_on_held_out()
    if chosen:
        by, decayed = "the weight decay that held-out images choose", accuracy(chosen)
        less(f"accuracy gained by {by}, plain", decayed, plain, 0.0)
        less(f"coded is better than plain with {by}", coded, decayed, 0.0)
    whole, inactive, active = (
        without("coded", "inactive", False),
        without("coded", "inactive"),
        without("coded", "active"),
    )
    level("accuracy without a block's inactive branches", inactive)
    level("accuracy without its active branches", active)
    less("removing inactive branches gains", inactive, whole, 0.0)
    less("removing active branches loses", whole, active)
    less("removing active branches hurts more than inactive", inactive, active, 0.0)
    control = without("no loss", "inactive", False), without("no loss", "inactive")
    less("without a coding loss, removing the same inactive branches loses", *control, 0.0)
    for what, key, scale in (
        ("precision", "precision", 1), ("recall", "recall", 1), ("average precision", "average_precision", 100),
        ("precision against foreign images", "precision_out", 1),
    ):  # fmt: skip
        mean(f"binary classifiers, mean {what}", classes("coded", key, scale))
    own = classes("coded", None, 100, "own codeword")
    mean(f"{CUT} another's", own, classes("coded", None, 100, "another codeword"), 0.0)
    rest = runs("binary", "coded", lambda r: ([_others(r["paths"], k) for k in range(len(r.get("paths", [])))], None))
    others = {seed: 100 * np.array(run[0]) for seed, run in rest.items() if run[0]}
    mean(f"{CUT} the mean of all others'", own, others, 0.0)
    mean(f"{CUT} the same cut without a coding loss", own, classes("no loss", None, 100, "own codeword"), 0.0)
    mean(f"{CUT} the same cut of a plain network", own, classes("plain", None, 100, "own codeword"))
    mean(f"{CUT} the same cut with dropping alone", own, classes("dropping alone", None, 100, "own codeword"), 0.0)
    mean(f"{CUT} that of a small plain network, whole", own, classes("small plain", None, 100, "whole network"), 0.0)
    for scheme, name in (("random", "random codewords"), ("permuted", "the same codewords dealt otherwise")):
        less(f"accuracy less that with {name}", coded, accuracy(scheme), 0.0)
        for which, place in (("first", 0), ("last", -2)):
            decoders = decoder("coded", place), decoder(scheme, place)
            less(f"decoding by the {which} coded block less that with {name}", *decoders, 0.0)
        gains = without("coded", "inactive"), without(scheme, "inactive")
        less(f"accuracy without inactive branches less that with {name}", *gains, 0.0)
        paths_of = classes(scheme, None, 100, "own codeword")
        mean(f"mean average precision, own codeword, less that with {name}", own, paths_of, 0.0)
    concatenated = classes("concatenated", None, 100, "own codeword")
    mean("mean average precision lost by concatenation", own, concatenated, 0.0)
    precision = classes("coded", "precision"), classes("no dropping", "precision")
    mean("binary precision gained by branch dropping", *precision, 0.0)
    first, last, softmax = (decoder("coded", place) for place in (0, -2, -1))
    level("early decoding by the first coded block", first)
    level("early decoding by the last coded block", last)
    level("softmax of the same runs", softmax)
    less("decoding improves from the first block to the last", last, first)
    beats = "coded block beats a linear probe of the plain network's"
    for which, place, block in (("first", 0, first), ("last", -1, last)):
        probes = runs("accuracy", "plain", lambda r, place=place: _probe(r, place))
        probes = {seed: run for seed, run in probes.items() if run[0] is not None}
        less(f"early decoding by the {which} {beats}", block, probes, 0.0)
    level("decoding by the last block without a coding loss", decoder("no loss", -2))
    less("decoding by the last block gained by the coding loss", last, decoder("no loss", -2))
    less("branch dropping costs no accuracy", coded, accuracy("no dropping"), 0.5)
    less("accuracy, exponent 4 less exponent 2", coded, accuracy("square"), 0.0)
    return here


def _probe(record, place):
    if "probes" not in record:
        return None, None
    return record["probes"][place]["accuracy"], record["probes"][place]["block"]


def _others(paths, k):
    return np.mean([row[k] for j, row in enumerate(paths) if j != k])


def _bits(text):
    return np.array([byte >> 7 - place & 1 for byte in base64.b64decode(text) for place in range(8)], dtype=bool)


def _seeds(values):
    return STUDENT[len(values) - 1] * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _pooled(sides):
    freedom = sum(len(side) - 1 for side in sides)
    variance = sum(np.var(side) * len(side) for side in sides) / freedom if freedom else 0.0
    return STUDENT[freedom] * np.sqrt(variance * sum(1 / len(side) for side in sides)) if freedom else 0.0


def _wilson(percent, n):
    """Half of the interval; cut at 0 and 100."""
    p, z2 = percent / 100, NORMAL**2
    half = NORMAL * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    return 100 * (min(centre + half, 1) - max(centre - half, 0)) / 2


def _images(pairs):
    """Agresti and Min's error of one pair; of several what they have in common, image by image."""
    gains = [{image: float(a[image]) - float(b[image]) for image in a} for a, b in pairs]
    if len(gains) == 1:
        values, n = np.array(list(gains[0].values())), len(gains[0]) + 2
        return NORMAL * 100 * np.sqrt(np.abs(values).sum() + 1 - values.sum() ** 2 / n) / n
    total, count = 0.0, 0
    for i, one in enumerate(gains):
        for other in gains[:i]:
            means = [sum(gain.values()) / len(gain) for gain in (one, other)]
            products = [(one[image] - means[0]) * (other[image] - means[1]) for image in one.keys() & other.keys()]
            total, count = total + sum(products) / len(one) / len(other), count + 1
    return NORMAL * 100 * np.sqrt(max(0.0, total / count))


def write_seeds(seeds, bits=True):
    """Six kinds of runs, each by several seeds that test images of their own: answers with a difficulty in common."""
    rng = np.random.default_rng(1)
    difficulty = rng.normal(size=1500)
    for kind, changes, skill in (
        ("coded", {}, 2.1), ("plain", {"coded": False}, 1.8), ("coded-mu0", {"mu": 0.0}, 2.0),
        ("coded-drop0.0", {"drop_branch": 0.0}, 2.0), ("coded-exponent2", {"exponent": 2.0}, 1.9),
        ("coded-raw-mu0", {"mu": 0.0, "branch_sum": "raw"}, 1.9),
    ):  # fmt: skip
        for seed in range(seeds):
            tested = np.random.default_rng(seed).permutation(1500) < 1000  # of one seed the same for every kind
            name, own = f"{kind}-s{seed}", {**changes, "seed": seed}

            def answer(better, tested=tested, skill=skill):
                return (difficulty + rng.normal(size=1500) < skill + better)[tested]

            def more(right, tested=tested):
                return (
                    {"right": {key: pack(value) for key, value in right.items()}, "tested": pack(tested)}
                    if bits
                    else {}
                )

            right = answer(rng.normal() / 10)
            probes = {"layer2.0": answer(-0.9), "layer3.0": answer(-0.3)} if kind == "plain" else {}
            curve = [{"block": block, "accuracy": 100 * value.mean()} for block, value in probes.items()]
            probed = {"probes": curve} if curve else {}
            bits_of = more({"softmax": right, **probes})
            write("accuracy", name, {"accuracy": 100 * right.mean()}, own, **probed, **bits_of)
            points = [point(str(k), rng.uniform(80, 90), rng.uniform(70, 80)) for k in range(10)]
            paths = rng.uniform(0.6, 0.9, (10, 10)).tolist()
            write_binary(name, points, own, own=rng.uniform(0.8, 0.9), another=rng.uniform(0.6, 0.8), paths=paths)
            if kind == "plain":
                continue
            decoders = {"layer2.0": answer(-1.0), "layer3.0": answer(-0.1), "softmax": right}
            write(
                "early", name, changes=own, curves=decoding(*(100 * value.mean() for value in decoders.values())),
                **more(decoders),
            )  # fmt: skip
            removed = {"active 0": right, "inactive 0": right, "active 1": answer(-0.4), "inactive 1": answer(0.2)}
            curves = removal([0.0, 0.0])
            for row in curves:
                row["accuracy"] = 100 * removed[f"{row['set']} {row['removed']}"].mean()
            write("specialisation", name, changes=own, curves=curves, block="layer2.0", **more(removed))


def compare(folder, *presets):
    table = claims(*presets).set_index("claim")
    again = recompute(folder)
    printed = table[table["runs"].notna()]
    assert set(again) == set(printed.index)
    for name, (ours, error, verdict) in again.items():
        row = printed.loc[name]
        assert (f"{row['ours']:.2f}", f"{row['error']:.2f}", row["verdict"]) == (
            f"{ours:.2f}",
            f"{error:.2f}",
            verdict,
        ), name


@pytest.mark.usefixtures("no_records")
@pytest.mark.parametrize("bits", [True, False])
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_made_up_runs(seeds, bits):
    """With and without the answers to every image."""
    write_seeds(seeds, bits)
    compare(paths.RESULTS / "digits", "digits")
    if bits and seeds == 5:
        assert set(claims("digits").set_index("claim")["paired"].dropna()) >= {"runs and images", "runs", ""}


@pytest.mark.parametrize(
    "preset", ["digits", "digits-ablations", "digits-codes", *REPETITIONS, "cifar10-few", "cifar10-small"]
)
def test_committed_runs(preset, committed_results, monkeypatch, tmp_path):
    """Whatever records are in git."""
    monkeypatch.setattr(paths, "COMMITTED_RESULTS", committed_results)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    compare(committed_results / preset, preset)


def test_all_seeds_together(committed_results, monkeypatch, tmp_path):
    """As if the records of the digits and of their repetitions lay in one folder."""
    monkeypatch.setattr(paths, "COMMITTED_RESULTS", committed_results)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "none")
    together = tmp_path / "together"
    for preset in ("digits", *REPETITIONS):
        shutil.copytree(committed_results / preset, together, dirs_exist_ok=True)
    compare(together, "digits", *REPETITIONS)
