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

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- counted by make faults -->", "<!-- until here -->"
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=200, help="in each kind of file")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=10, help="trainings of one run started at once")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--print", action="store_true", help="instead of writing the document")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CODED_RESNEXT_OUT"] = folder  # before the package is imported
        parts = kill(options.kills, options.pairs), damage(options.places), refuse(options.inputs)
        text = "\n\n".join("\n".join(lines) for lines in parts)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    if options.print:
        print(text)
        return
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def kill(kills: int, pairs: int) -> list[str]:
    command = [sys.executable, "-m", "faults.kills", str(kills), str(pairs), str(SEED)]
    counts = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return [
        "| trainings | tried | weights and optimiser at the end as undisturbed, bit for bit |",
        "|---|--:|--:|",
        f"| killed and started again ({counts['writing']} while a checkpoint was written, {counts['at work']} at other "
        f"work, {counts['had ended']} too late) | {counts['kills']} | {counts['same']} |",
        f"| two of one run at once | {counts['pairs']} | {counts['pairs, same']} |",
    ]


def damage(places: int) -> list[str]:
    from faults.flips import OUTCOMES, count_damages, kinds

    from coded_resnext import paths

    rows, sums, bad = [], Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        paths.WEIGHTS = paths.OWN_WEIGHTS = Path(folder) / "weights"
        for name, kind in kinds(Path(folder)).items():
            outcomes, reasons = count_damages(kind, places, SEED)
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


def refuse(count: int) -> list[str]:
    from faults.inputs import bad_parameters, is_refused

    tried, refused = Counter(), Counter()
    for bad in bad_parameters(count, SEED):
        tried[bad.kind] += 1
        refused[bad.kind] += is_refused(bad)
    lines = ["| parameter that cannot be | tried | refused in one line that names it |", "|---|--:|--:|"]
    return [*lines, *(f"| {kind} | {number} | {refused[kind]} |" for kind, number in tried.items())]


if __name__ == "__main__":
    main()
