"""Everything that is tried, at full length and counted, into docs/reliability.md: make faults."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from faults import document

SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=200, help="in each kind of file")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=10, help="trainings of one run started at once")
    parser.add_argument("--reproductions", type=int, default=12, help="that are killed")
    parser.add_argument("--predictions", type=int, default=10_000, help="of each kind")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--print", action="store_true", help="instead of writing the document")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="the others stay as they are")
    options = parser.parse_args()
    for part in options.only:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            os.environ["CODED_RESNEXT_OUT"] = folder  # before the package is imported
            text = "\n".join(PARTS[part](options))
        print(f"{part}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
        if options.print:
            print(text)
        else:
            document.put(f"faults: {part}", text)


def counted_by(module: str, *arguments: int) -> dict[str, Any]:
    """What a module counts in a process of its own."""
    command = [sys.executable, "-m", f"faults.{module}", *map(str, arguments), str(SEED)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def kill(options: argparse.Namespace) -> list[str]:
    counts = counted_by("kills", options.kills, options.pairs)
    return [
        "| trainings | tried | weights and optimiser at the end as undisturbed, bit for bit |",
        "|---|--:|--:|",
        f"| killed and started again ({counts['writing']} while a checkpoint was written, {counts['at work']} at other "
        f"work, {counts['had ended']} too late) | {counts['kills']} | {counts['same']} |",
        f"| two of one run at once | {counts['pairs']} | {counts['pairs, same']} |",
    ]


def reproduce(options: argparse.Namespace) -> list[str]:
    from faults.reproductions import MOMENTS

    counts = counted_by("reproductions", options.reproductions)
    tried = ", ".join(f"{counts[moment]} {moment}" for moment in MOMENTS)
    good = [str(counts[key]) for key in ("no orphan", "nothing repeated", "same records")]
    return [
        "| reproductions | tried | no process left | only the unfinished was done again | records as undisturbed |",
        "|---|--:|--:|--:|--:|",
        f"| killed and started again ({tried}, {counts['too late']} too late) | {options.reproductions} "
        f"| {' | '.join(good)} |",
        f"| two at once in two folders | {counts['beside']} | | | {counts['beside, same']} |",
    ]


def load(options: argparse.Namespace) -> list[str]:
    head = "| predictions by four threads | asked | as by one alone | memory after the warm-up |"
    lines = [head, "|---|--:|--:|--:|"]
    for name, (asked, same, growth) in counted_by("load", options.predictions).items():
        lines.append(f"| {name} | {asked} | {same} | {growth:+.1f} % |")
    return lines


def damage(options: argparse.Namespace) -> list[str]:
    from faults.flips import OUTCOMES, count_damages, kinds

    from coded_resnext import paths

    rows, sums, bad = [], Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        paths.WEIGHTS = paths.OWN_WEIGHTS = Path(folder) / "weights"
        for name, kind in kinds(Path(folder)).items():
            outcomes, reasons = count_damages(kind, options.places, SEED)
            rows.append((name, outcomes))
            sums += outcomes
            bad += reasons
    for reason in bad:
        print(reason, file=sys.stderr)
    head = ["damaged file", "places", *OUTCOMES]
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    for name, outcomes in [*rows, ("all", sums)]:
        lines.append(f"| {name} | {outcomes.total()} | {' | '.join(str(outcomes[key]) for key in OUTCOMES)} |")
    return lines


def refuse(options: argparse.Namespace) -> list[str]:
    from faults.inputs import bad_parameters, is_refused

    tried, refused = Counter(), Counter()
    for bad in bad_parameters(options.inputs, SEED):
        tried[bad.kind] += 1
        refused[bad.kind] += is_refused(bad)
    lines = ["| parameter that cannot be | tried | refused in one line that names it |", "|---|--:|--:|"]
    return [*lines, *(f"| {kind} | {number} | {refused[kind]} |" for kind, number in tried.items())]


PARTS = {"kills": kill, "reproductions": reproduce, "load": load, "damage": damage, "inputs": refuse}

if __name__ == "__main__":
    main()
