"""Kinds of runs: what makes two runs differ in more than their seed."""

import dataclasses

import pytest

from coded_resnext.reproduction.records.kinds import run_kinds
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.training.parameters import to_plain


def kind(preset, name, **changes):
    (found,) = run_kinds([{"parameters": to_plain(dataclasses.replace(load_preset(preset).runs[name], **changes))}])
    return found


@pytest.mark.parametrize(
    ("preset", "name", "expected"),
    [
        ("digits", "coded-s3", "coded"),
        ("digits", "plain-s3", "plain"),
        ("digits", "plain-narrow-s0", "plain, branch_width=3, width=12"),
        ("digits", "coded-mu0-s1", "coded, mu=0.0"),
        ("digits-codes", "coded-random-s4", "coded, scheme=random"),
        ("from-shipped", "coded-s1", "coded"),
        ("from-shipped", "plain-s1", "plain"),
        ("from-nothing", "plain-s2", "plain"),
    ],
)
def test_listed_runs(preset, name, expected):
    assert kind(preset, name) == expected


def test_other_weights_to_start_from_make_another_kind():
    assert kind("from-shipped", "coded-s0", init="") == "coded, init="
    assert kind("from-shipped", "plain-s0", init="digits") == "plain, init=digits"


def test_a_plain_run_has_no_use_for_codewords():
    assert kind("digits", "plain-s0", scheme="random") == "plain"
