"""Train and evaluate runs of a preset one after another in one process, which reads the images once.

Their weights are filed.

    python several.py [-p KEY=VALUE ...] PRESET RUN [RUN ...]
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
import yaml
from evaluate_runs import evaluate_run, read_images_once

from coded_resnext.errors import CodedResNeXtError
from coded_resnext.reproduction.measure.train import train
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.training.parameters import TrainingParameters, build, to_plain

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("preset")
parser.add_argument("runs", nargs="+")
parser.add_argument("-p", action="append", default=[])
options = parser.parse_args()
changes = {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in options.p)}
rehearsal = "epochs" in changes  # then no run is the preset's own
read_images_once()
failed = False
for run in options.runs:
    torch._dynamo.reset()
    begun = time.perf_counter()
    listed = load_preset(options.preset).runs[run]
    parameters = {**to_plain(listed), **changes, "name": f"{run}-rehearsal" if rehearsal else run}
    try:
        record = train(build(TrainingParameters, parameters, run))
        trained_in = time.perf_counter() - begun
        evaluate_run(options.preset, parameters["name"])
    except CodedResNeXtError as error:
        print(f"{options.preset}/{run}: {error}", flush=True)
        failed = True
        continue
    numbers = ", ".join(f"{key} {value:.2f}" for key, value in record["metrics"].items())
    evaluated_in = time.perf_counter() - begun - trained_in
    print(f"{options.preset}/{run}: {numbers}; {trained_in:.0f} and {evaluated_in:.0f} s", flush=True)
sys.exit(failed)
