"""Parameters that cannot be are refused in one line that names them, wherever they are given, before work begins."""

import pytest
from faults.inputs import as_yaml, bad_parameters, is_refused

from coded_resnext import paths
from coded_resnext.__main__ import main
from coded_resnext.errors import CodedResNeXtError
from coded_resnext.reproduction.notebooks.strict import check_parameters
from coded_resnext.reproduction.records.presets import from_notebook, load_preset
from coded_resnext.training.parameters import TrainingParameters

COUNT = 2000  # as values; of them every twentieth as a command, and every tenth in a preset


@pytest.fixture(autouse=True)
def nothing_begins(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    yield
    assert not (tmp_path / "runs").exists()


def test_values_are_refused_by_name():
    assert not [bad for bad in bad_parameters(COUNT, seed=0) if not is_refused(bad)]


def test_a_notebook_refuses_them_too():
    """What is injected stands among its variables; names and types are refused before it is opened."""
    for bad in bad_parameters(COUNT // 20, seed=1):
        with pytest.raises(CodedResNeXtError):
            from_notebook(TrainingParameters, {bad.key.strip("_") or "x": bad.value}, "03_train")
        if bad.kind in ("unknown name", "another type"):
            with pytest.raises(CodedResNeXtError, match=r"03_train\.ipynb"):
                check_parameters("03_train", {bad.key: bad.value})


@pytest.mark.parametrize("level", ["training", "runs"])
def test_a_preset_refuses_them(level, tmp_path):
    for i, bad in enumerate(bad_parameters(COUNT // 10, seed=2)):
        if bad.key in ("preset", "name"):  # a preset says these by its own name and its runs'
            continue
        pair = f"{{? {as_yaml(bad.key)} : {as_yaml(bad.value)}}}"
        training, run = (pair, "{}") if level == "training" else ("{}", pair)
        text = f"training: {training}\nruns: {{a-s0: {run}}}\n"
        path = tmp_path / f"p{i}.yaml"
        path.write_text(text, encoding="utf-8")
        paths_before = paths.RUNS
        paths.RUNS = tmp_path / "remembered"
        try:
            with pytest.raises(CodedResNeXtError) as refused:
                load_preset(str(path))
        finally:
            paths.RUNS = paths_before
        assert repr(bad.key)[1:-1] in str(refused.value), bad


def test_a_command_refuses_them_with_status_1_and_one_line(capsys):
    for bad in bad_parameters(COUNT // 20, seed=3):
        if bad.kind != "unknown name" and bad.key in ("preset", "name"):
            continue
        assert main(["train", "digits", "mine", "-p", f"{bad.key}={as_yaml(bad.value)}"]) == 1, bad
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert repr(bad.key)[1:-1] in line, bad


DESIGN = ("design", "--classes", "10", "--branches", "10", "--active", "3")


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["trian"], ["design"], [*DESIGN[:-1], "three"], ["predict"], ["export", "--classes", "3"],
        ["train", "a", "b", "c"], ["figures", "--force"],
        [*DESIGN, "--time-limit", "nan"], [*DESIGN, "--time-limit", "0"],
        [*DESIGN, "--seed", "-1"], ["bench", "--rounds", "x"], ["bench", "--rounds", "0"],
        ["bench-exits", "digits", "--rounds", "-1"], ["bench-exits", "digits", "--images", "0"],
        ["bench-subnetwork", "--rounds", "0"],
        ["export", "--model", "cifar10-small", "--classes", "cat", "--onnx", "x.onnx", "--batch", "0"],
    ],
)  # fmt: skip
def test_usage_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["design", "--classes", "1", "--branches", "10", "--active", "3"],
        ["design", "--classes", "10", "--branches", "100", "--active", "3"], [*DESIGN[:-1], "0"],
        ["evaluate", "digits", "accurcy"], ["run", "99"], ["run", "03_train", "-p", "x"],
        ["run", "04_accuracy", "-p", "batch_size=["], ["run", "04_accuracy", "-p", "batch_size=2001-99-99"],
        ["together", "digits", "coded-s9"], ["train", "--data", "/nowhere"], ["calibrate", "nothing"],
        ["weights", "digits", "x"], ["explore", "--model", "nothing"],
        ["export", "--model", "cifar10-small", "--classes", "cat"],
    ],
)  # fmt: skip
def test_what_cannot_be_done_ends_with_status_1_and_one_line(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
