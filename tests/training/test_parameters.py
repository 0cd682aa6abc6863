"""Parameters and presets: a typing error is found before anything runs."""

import dataclasses

import pytest
import yaml

from coded_resnext import paths
from coded_resnext.__main__ import main
from coded_resnext.reproduction.measure import train
from coded_resnext.reproduction.records.presets import (
    EvaluationParameters,
    check_against_preset,
    decisive_text,
    from_notebook,
    load_preset,
    preset_names,
)
from coded_resnext.training.parameters import TrainingParameters, build, recipe, to_plain


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_sound(name):
    """Runs that differ from each other, seeds that say what they are, and notebooks in order."""
    preset = load_preset(name)
    assert preset.about
    of_the_paper = [notebook for notebook in preset.notebooks if notebook != "00_tour"]  # which shows a trained network
    assert of_the_paper == sorted(of_the_paper)
    assert len({str(to_plain(run) | {"name": ""}) for run in preset.runs.values()}) == len(preset.runs)
    for run_name, run in preset.runs.items():
        assert run_name.endswith(f"-s{run.seed}")


def test_digits_is_the_default():
    """But for how often it is looked at, which is no part of the recipe."""
    assert recipe(to_plain(load_preset("digits").runs["coded-s0"])) == recipe(to_plain(TrainingParameters()))


def test_a_scale_is_full_or_toy(monkeypatch, tmp_path):
    """And says how much smaller a toy is: a reader must not take it for the paper's network."""
    for name in preset_names():
        assert load_preset(name).scale.startswith(("full", "toy, "))
    monkeypatch.setattr(paths, "PRESETS", tmp_path)
    (tmp_path / "mine.yaml").write_text("about: mine\nscale: small\ntraining: {}\nruns: {a-s0: {}}\nnotebooks: []\n")
    with pytest.raises(ValueError, match="scale of preset mine must begin with full or toy, got 'small'"):
        load_preset("mine")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"epoch": 3}, ValueError, r"unknown parameter 'epoch' for here; did you mean 'epochs'"),
        ({"epochs": "3"}, TypeError, r"'epochs' must be like 40, got '3' \(str\)"),
        ({"epochs": 3.0}, TypeError, "must be like 40"),
        ({"epochs": True}, TypeError, "must be like 40"),
        ({"layers": 3}, TypeError, "must be like"),
        ({"layers": [2, "x"]}, TypeError, "must be like"),
        ({"active": {"layer2": 0.5}}, TypeError, "must be like"),
        ({"epochs": 0}, ValueError, "epochs must be above 0, got 0"),
        ({"mu": -1.0}, ValueError, "mu must be at least 0"),
        ({"drop_branch": 1.5}, ValueError, "drop_branch must be a probability below 1"),
        ({"warmup_epochs": 40}, ValueError, "warmup_epochs must be below epochs 40"),
        ({"norm_batch": 60}, ValueError, "batch_size must be a multiple of norm_batch 60"),
        ({"precision": "float16"}, ValueError, "precision must be auto"),
        ({"active": {"layer2": 11}}, ValueError, r"active\['layer2'\] must be 1 … 10"),
        ({"exponent": 0.5}, ValueError, "exponent must be at least 1"),
        ({"name": "../elsewhere"}, ValueError, "name must be a plain file name"),
        ({"name": "run\0"}, ValueError, "name must be a plain file name"),
        ({"layers": []}, ValueError, "layers must be block counts"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate must be a finite number, got inf"),
        ({"stem": "5x5"}, ValueError, "stem must be 3x3 or"),
        ({"branch_sum": "mean"}, ValueError, "branch_sum must be normalised or raw"),
        ({"active": {"layer4": 5}}, ValueError, "active must be by stage or block, of .*, got .layer4."),
        ({"active": {"layer2.2": 5}}, ValueError, "active must be by stage or block"),
        ({"seed": 2**32}, ValueError, "seed must be at most 4294967295"),
    ],
)
def test_bad_parameters(values, error, message):
    with pytest.raises(error, match=message):
        build(TrainingParameters, values, "here")


def test_whole_numbers_pass_for_floats_and_lists_for_tuples():
    built = build(TrainingParameters, {"mu": 2, "layers": [1, 2, 1]}, "here")
    assert (built.mu, built.layers) == (2.0, (1, 2, 1))
    assert type(built.mu) is float


def test_a_notebook_that_was_injected_a_wrong_name_is_stopped():
    """What papermill injects stands beside the parameters as a variable of its own."""
    shell = {"In": ["", "…"], "Out": {}, "_": "", "__name__": "__main__", "get_ipython": print, "annotations": print}
    good = {"preset": "digits", "repeats": 3}
    assert from_notebook(EvaluationParameters, shell | good, "05").repeats == 3
    with pytest.raises(ValueError, match=r"unknown parameter .repeat..*.repeats."):
        from_notebook(EvaluationParameters, shell | good | {"repeat": 4}, "05")


def test_what_parameters_know_of_the_network_is_what_it_has():
    """They import no torch, and so cannot ask it."""
    from coded_resnext.network import model, variants
    from coded_resnext.training import parameters

    assert tuple(model.STEMS) == parameters.STEMS
    assert tuple(variants.BRANCH_SUMS) == parameters.BRANCH_SUMS


def test_unknown_preset():
    with pytest.raises(ValueError, match=r"unknown preset 'digit'; did you mean 'digits' or 'digits-codes'\?"):
        load_preset("digit")
    with pytest.raises(ValueError, match="unknown preset 'digit'"):
        EvaluationParameters(preset="digit")


def test_a_preset_with_an_unknown_key(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PRESETS", tmp_path)
    content = {"about": "x", "training": {"epoch": 3}, "runs": {"coded-s0": {}}, "notebooks": []}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="preset p, run coded-s0; did you mean 'epochs'"):
        load_preset("p")
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content | {"run": {}}))
    with pytest.raises(ValueError, match="unknown key 'run' for preset p; did you mean 'runs'"):
        load_preset("p")
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content | {"time": 12}))
    with pytest.raises(ValueError, match="preset p: 'time' must be a str, got 12"):
        load_preset("p")


def test_what_is_trained_where_no_run_is_named(tmp_path, monkeypatch):
    """The preset's first run, or the one that its file calls its default; a new name starts from it."""
    trained = []
    monkeypatch.setattr(train, "train", lambda parameters, force: trained.append(parameters) or {"metrics": {}})
    monkeypatch.setattr(paths, "PRESETS", tmp_path)
    runs = "training: {}\nruns: {coded-s0: {}, ramp-s1: {drop_ramp: 0.5, seed: 1}}\n"
    (tmp_path / "plain.yaml").write_text(runs)
    (tmp_path / "chosen.yaml").write_text(f"{runs}default: ramp-s1\n")
    for arguments in (["plain"], ["chosen"], ["chosen", "mine"], ["chosen", "mine", "--like", "coded-s0"]):
        assert main(["train", *arguments]) == 0
    assert [(run.name, run.drop_ramp) for run in trained] == [
        ("coded-s0", 0.0), ("ramp-s1", 0.5), ("mine", 0.5), ("mine", 0.0)
    ]  # fmt: skip


def test_a_listed_run_has_the_listed_parameters():
    """Another recipe under a listed name would be taken for the preset's result."""
    check_against_preset(TrainingParameters())
    check_against_preset(TrainingParameters(name="mine", epochs=7))
    with pytest.raises(ValueError, match=r"epochs 40 against 7\. Give this run a name of its own"):
        check_against_preset(TrainingParameters(epochs=7))
    with pytest.raises(ValueError, match="unknown preset"):
        check_against_preset(dataclasses.replace(TrainingParameters(), preset="digit"))


def test_what_a_preset_says_to_readers_decides_nothing(tmp_path, monkeypatch):
    """So a reproduction that was published is not repeated."""
    monkeypatch.setattr(paths, "PRESETS", tmp_path)
    file, runs = tmp_path / "mine.yaml", "training: {}\nruns: {coded-s0: {}}\n"
    file.write_text(runs)
    before = decisive_text("mine")
    file.write_text(f'{runs}expect: "accuracy 97 %"\ntime: "4 minutes"\n')
    assert decisive_text("mine") == before
    file.write_text(runs.replace("{}}", "{mu: 1.0}}"))
    assert decisive_text("mine") != before
