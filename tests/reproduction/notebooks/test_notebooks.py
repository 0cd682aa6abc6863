"""The notebooks in git, and the strict way of running them."""









import ast
import json
import re
import subprocess

import nbformat
import pytest

from coded_resnext import paths
from coded_resnext.__main__ import main
from coded_resnext.errors import NotebookFailed
from coded_resnext.paths import NOTEBOOKS, ROOT
from coded_resnext.reproduction.notebooks import reproduce as notebooks
from coded_resnext.reproduction.notebooks.reproduce import is_done, reproduce, units
from coded_resnext.reproduction.notebooks.strict import check_parameters, default_parameters, run
from coded_resnext.reproduction.records.presets import EvaluationParameters, notebook_names
from coded_resnext.training.parameters import TrainingParameters, build, to_plain

NAMES = notebook_names()


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_there_are_notebooks():
    assert "03_train" in NAMES
    listed = subprocess.run(["git", "ls-files", "notebooks/*.ipynb"], cwd=ROOT, capture_output=True, text=True).stdout
    if listed:  # not so outside a checkout
        assert {f"notebooks/{name}.ipynb" for name in NAMES} == set(listed.split())


@pytest.mark.parametrize("name", NAMES)
def test_form(name):
    """Parameters first, imports and checks second, functions in the package, one kernel for everybody."""
    notebook = read(name)
    first, second, third = notebook.cells[:3]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {name.partition('_')[0]} · ")
    assert "**Reads**" in first.source
    assert "**Writes**" in first.source
    assert second.metadata.tags == ["parameters"]
    assert f'globals(), "{name}")' in third.source
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(ast.parse(cell.source)))
        assert len(cell.source.splitlines()) <= 40
        assert not re.search(r"^\s*[%!]|sys\.path", cell.source, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_the_digits_preset(name):
    kind = TrainingParameters if name == "03_train" else EvaluationParameters
    defaults = default_parameters(name)
    assert build(kind, defaults, name) == kind()
    if kind is TrainingParameters:
        assert set(defaults) == set(to_plain(kind()))


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs(name):
    """There are some, none is an error, and nothing in them changes from run to run or names a machine."""
    notebook = read(name)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    text = json.dumps([output for output in outputs if "image/png" not in output.get("data", {})])
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


@pytest.mark.parametrize(
    ("name", "parameters", "error", "message"),
    [
        ("03_train", {"epoch": 3}, ValueError, r"unknown parameter 'epoch' for 03_train\.ipynb; did you mean 'epochs'"),
        ("03_train", {"epochs": "3"}, TypeError, r"03_train\.ipynb: parameter 'epochs' must be like 40"),
        ("04_accuracy", {"repeats": 3}, ValueError, "unknown parameter 'repeats'"),
        ("4_accuracy", {}, ValueError, "unknown notebook '4_accuracy'; did you mean '04_accuracy'"),
    ],
)
def test_bad_parameters_are_refused_before_anything_runs(name, parameters, error, message, tmp_path):
    with pytest.raises(error, match=message):
        run(name, parameters, tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


def test_plain_papermill_is_refused_in_the_notebook(tmp_path):
    """papermill itself only warns of a parameter that a notebook does not have; the second cell stops it."""
    import papermill

    with pytest.raises(papermill.PapermillExecutionError, match=r"unknown parameter 'preste'.*'preset'"):
        papermill.execute_notebook(
            NOTEBOOKS / "11_paper_vs_ours.ipynb", tmp_path / "out.ipynb", {"preste": "digits"}, progress_bar=False
        )


def test_a_failing_cell_is_reported_with_its_notebook(tmp_path):
    with pytest.raises(NotebookFailed, match=r"11_paper_vs_ours\.ipynb stopped in cell \d: Refused: .*digitz"):
        run("11_paper_vs_ours", {"preset": "digitz"}, tmp_path / "out.ipynb")
    assert (tmp_path / "out.ipynb").exists()


def test_03_trains_under_papermill_and_twice_is_once(tmp_path):
    small = {"layers": [1, 1, 1], "width": 4, "branch_width": 1, "epochs": 2, "warmup_epochs": 1, "name": "papermill"}
    run("03_train", check_parameters("03_train", small), tmp_path / "first.ipynb")
    run("03_train", small, tmp_path / "second.ipynb")
    texts = [(tmp_path / f"{which}.ipynb").read_text() for which in ("first", "second")]
    assert "After epoch 2, the softmax is right on" in texts[0]
    assert ["2/2" in text for text in texts] == [True, False]  # the progress line of the last epoch


def test_trainings_run_side_by_side(monkeypatch, capfd):
    small = {"layers": [1, 1, 1], "width": 4, "branch_width": 1, "epochs": 1, "warmup_epochs": 0}
    names = ["side-a", "side-b"]
    work = [
        notebooks.Unit("digits", "03_train", f"03_train-{name}", check_parameters("03_train", small | {"name": name}))
        for name in names
    ]
    monkeypatch.setattr(notebooks, "units", lambda preset: work)
    monkeypatch.setattr(notebooks.os, "cpu_count", lambda: 2)
    reproduce("digits")
    log = capfd.readouterr()
    for unit, name in zip(work, names, strict=True):
        assert is_done(unit)
        assert any(line.startswith(name) and " 1/1 " in line for line in log.err.splitlines())
        record = json.loads((paths.RESULTS / "digits" / f"training-{name}.json").read_text())
        assert "1 threads" in record["environment"]["device"]


def test_what_is_done_is_not_done_again(monkeypatch, capsys):
    """A unit is repeated when its outputs are gone or changed, or when its inputs are others."""
    executed = []

    def pretend(name, parameters, output):
        executed.append(output.stem)
        target = paths.FIGURES / "digits" / f"{output.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("figure")
        output.parent.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(notebooks, "run", pretend)
    monkeypatch.setattr(notebooks, "MOST_AT_ONCE", 1)  # a pretence stays in its process
    names = [unit.name for unit in units("digits")]
    reproduce("digits")
    assert executed == names
    executed.clear()
    reproduce("digits")
    assert executed == []
    assert "done before" in capsys.readouterr().out
    victim = units("digits")[-1]
    (paths.FIGURES / "digits" / f"{victim.name}.png").write_text("another figure")
    assert not is_done(victim)
    reproduce("digits")
    assert executed == [victim.name]
    timing = paths.RESULTS / "digits" / "timing-made-up.json"  # by a command, between two reproductions
    timing.parent.mkdir(parents=True, exist_ok=True)
    timing.write_text("{}")
    assert {unit.notebook for unit in units("digits") if is_done(unit)} == {"03_train"}
    timing.unlink()
    foreign = timing.with_name("early-made-up.json")  # a record that came from git
    foreign.write_text("{}")
    shown = {unit.notebook for unit in units("digits") if not is_done(unit)}
    foreign.unlink()
    by_hand = {"10_early_exit", "10b_decoding_across_blocks", "10c_rejection_and_verification"}
    assert shown == {"07_early_decoding", "08_ablations", "11_paper_vs_ours", *by_hand}
    executed.clear()
    monkeypatch.setattr(notebooks, "_inputs", lambda unit: "other code")
    reproduce("digits")
    assert executed == names


def test_command_line_errors_are_one_line(capsys):
    assert main(["reproduce", "digit"]) == 1
    assert capsys.readouterr().err == "error: unknown preset 'digit'; did you mean 'digits' or 'digits-codes'?\n"
    assert main(["train", "digits", "coded-s0", "-p", "epoch=3"]) == 1
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert main(["train", "digits", "coded-s0", "-p", "epochs=7"]) == 1
    assert "Give this run a name of its own" in capsys.readouterr().err
    assert main(["run", "03_train", "-p", "epochs"]) == 1
    assert "KEY=VALUE, got 'epochs'" in capsys.readouterr().err


def test_nothing_is_published_before_a_reproduction(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    assert main(["publish", "digits"]) == 1
    assert "not reproduced yet: 01_code_design, " in capsys.readouterr().err
