"""No file runs code: what could is not used anywhere, and a pickle in any file's place is refused unopened."""

import ast
import pickle
from pathlib import Path

import pytest
from faults.flips import kinds

from coded_resnext import paths
from coded_resnext.errors import CodedResNeXtError
from coded_resnext.paths import PACKAGE, ROOT

UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNS = {"eval", "exec", "compile", "__import__"}


def calls():
    """Every call and import in the package and its scripts, with its place."""
    for file in (*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py"), ROOT / "hubconf.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            yield f"{file.name}:{getattr(node, 'lineno', 0)}", node


def test_nothing_that_runs_what_it_reads_is_used():
    for where, node in calls():
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            assert not UNPICKLES & {name.split(".")[0] for name in names}, where
        if not isinstance(node, ast.Call):
            continue
        called, options = ast.unparse(node.func), {option.arg: ast.unparse(option.value) for option in node.keywords}
        assert called not in RUNS, where
        if called == "torch.load":
            assert options.get("weights_only") == "True", where
        if called.startswith("yaml."):
            assert called in ("yaml.safe_load", "yaml.safe_dump"), where
        if called in ("np.load", "numpy.load"):
            assert options.get("allow_pickle", "False") == "False", where


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-run"),))


def test_a_pickle_or_a_yaml_tag_in_any_files_place_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(paths, "OWN_WEIGHTS", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    tag = b"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [pickle-was-run]]\n"
    for kind in kinds(tmp_path).values():
        content = kind.path.read_bytes()
        for hostile in (pickle.dumps(Payload()), tag, b"training: " + tag + b"runs: {a: {}}\n"):
            kind.path.write_bytes(hostile)
            with pytest.raises(CodedResNeXtError):
                kind.load()
        kind.path.write_bytes(content)
    assert not (tmp_path / "pickle-was-run").exists()
