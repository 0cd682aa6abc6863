"""What installs the project agrees with itself."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import drawn
import nbformat
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from PIL import Image

from coded_resnext.__main__ import OF_THE_EXTRA
from coded_resnext.paths import ROOT
from coded_resnext.reproduction.records.records import PACKAGES, environment

# Makes the packages of the extra "reproduction" impossible to import.
WITHOUT_THE_EXTRA = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in absent else find(name, *rest)
"""


def locked() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_lock_has_exact_versions_and_no_registry():
    for name, requirement in locked().items():
        (pin,) = requirement.specifier
        assert pin.operator == "==", name
        assert requirement.url is None


def hashed() -> dict[str, tuple[Requirement, list[str]]]:
    """Of requirements.hashes: what is required and the sha256 of each of its files."""
    lines = [line for line in (ROOT / "requirements.hashes").read_text().splitlines() if not line.startswith("#")]
    entries = {}
    for entry in "\n".join(lines).replace("\\\n", " ").splitlines():
        required, *hashes = entry.split("--hash=sha256:")
        requirement = Requirement(required)
        entries[canonicalize_name(requirement.name)] = requirement, [digest.strip() for digest in hashes]
    return entries


def test_every_file_that_the_lock_allows_has_a_hash():
    """And what other systems or a newer Python need beside it; conda's pip takes the lock without them."""
    found = hashed()
    for name, (requirement, hashes) in found.items():
        assert requirement.url is None
        assert hashes, name
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes), name
        assert name in locked() or requirement.marker, name
    for name, requirement in locked().items():
        assert found[name][0].specifier == requirement.specifier, name
    assert "--require-hashes -r requirements.hashes" in (ROOT / "Makefile").read_text()


def test_installation_refuses_another_file(tmp_path):
    """A wheel of the locked name and version, with other content."""
    version = str(next(iter(locked()["accelerate"].specifier)).version)
    with zipfile.ZipFile(tmp_path / f"accelerate-{version}-py3-none-any.whl", "w") as wheel:
        info = f"accelerate-{version}.dist-info"
        wheel.writestr("accelerate/__init__.py", "raise SystemExit('not what was locked')")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: accelerate\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    digests = hashed()["accelerate"][1]
    pinned = f"accelerate=={version} {' '.join(f'--hash=sha256:{digest}' for digest in digests)}\n"
    tried = {}
    for name, text in (("hashed", pinned), ("bare", f"accelerate=={version}\n")):
        (tmp_path / name).write_text(text)
        command = [
            sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index", "--target",
            str(tmp_path / "there"), "--find-links", str(tmp_path), "-r", str(tmp_path / name),
        ]  # fmt: skip
        tried[name] = subprocess.run(command, capture_output=True, text=True)
    assert tried["bare"].returncode == 0, tried["bare"].stderr
    assert tried["hashed"].returncode != 0
    assert "DO NOT MATCH THE HASHES" in tried["hashed"].stderr


def test_the_lock_satisfies_the_project():
    """Every direct requirement, of the package, its notebooks and its tests, with a version in its range."""
    extras = project()["optional-dependencies"]
    for line in [*project()["dependencies"], *extras["reproduction"], *extras["dev"]]:
        wanted = Requirement(line)
        (pin,) = locked()[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pin.version), line


def test_the_lowest_versions_are_those_that_the_project_allows():
    """`make test-lowest` tests what pyproject.toml says; the extras that it leaves out are not needed by fast tests."""
    lines = (ROOT / "requirements-lowest.txt").read_text().splitlines()
    lowest = [Requirement(line) for line in lines if line and not line.startswith("#")]
    extras = project()["optional-dependencies"]
    bounds = {}
    for wanted in map(Requirement, [*project()["dependencies"], *extras["reproduction"], *extras["dev"]]):
        (bounds[wanted.name],) = (each.version for each in wanted.specifier if each.operator == ">=")
    assert {requirement.name for requirement in lowest} == set(bounds)
    for requirement in lowest:
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert Version(pin.version) == Version(bounds[requirement.name]), requirement.name


def test_records_name_the_versions_of_what_the_project_requires():
    required = [Requirement(line).name for line in project()["dependencies"]]
    assert list(PACKAGES) == required
    assert environment("")["packages"] == {name: metadata.version(name) for name in required}


def test_what_commands_import_of_the_extra_is_in_it():
    extra = {Requirement(line).name for line in project()["optional-dependencies"]["reproduction"]}
    assert extra >= set(OF_THE_EXTRA)


def test_conda_installs_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "coded-resnext"
    python, pip, by_pip = environment["dependencies"]
    assert pip == "pip"
    assert by_pip == {"pip": ["-r requirements.lock", "-e ."]}
    assert Requirement(project()["name"] + project()["requires-python"]).specifier.contains(
        re.fullmatch(r"python=(\d+\.\d+)", python)[1]
    )
    assert "prefix" not in environment  # what an export leaves behind


def test_the_readme_names_both_commands():
    readme = (ROOT / "README.md").read_text()
    assert "make reproduce" in readme
    assert "make test" in readme


def test_the_readmes_python_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["logits"].shape == (8, 10)
    assert names["early"].shape == names["cat"].shape == (8,)
    assert names["loss"].item() > 0


def test_looking_at_codes_and_records_imports_no_torch():
    """A reader without a GPU, or without patience, sees schemes, tables and figures in a second."""
    script = (
        "import sys, coded_resnext, coded_resnext.reproduction.notebooks.reproduce;"
        "coded_resnext.load_scheme(10, 10, 3).certificate(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def run_without_the_extra(script: str, cwd: Path, **environment: str) -> str:
    """What a script prints in a process where pandas, matplotlib and the notebooks' packages cannot be imported."""
    absent = {Requirement(line).name for line in project()["optional-dependencies"]["reproduction"]}
    whole = f"absent = {absent}\n{WITHOUT_THE_EXTRA}\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", whole], capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_needs_nothing_of_the_reproductions(tmp_path):
    """Trained, cut and asked."""
    script = """
from pathlib import Path
from coded_resnext import EarlyExit, TrainingParameters, extract_subnetwork, fit, load_images, predict
import torch
p = TrainingParameters(layers=(1, 1, 1), width=4, branch_width=1, epochs=2, warmup_epochs=1)
checkpoint = fit(p, folder=Path.cwd())
model, images = checkpoint.network(), load_images('digits', 'test')
cut = extract_subnetwork(model, [3])
print(predict(cut, images, 100, torch.device('cpu')).logits.shape, checkpoint.description.metrics)
EarlyExit(model, 'margin', {'layer2.0': 0.5}).predict(torch.randn(2, 1, 8, 8))
"""
    said = run_without_the_extra(script, tmp_path)
    assert "torch.Size([1297, 1])" in said
    assert "clean_train_accuracy" in said


@pytest.mark.slow
def test_the_wheel_alone_answers_from_shipped_weights(tmp_path):
    """Built from a source distribution's files, unpacked outside the repository."""
    source, installed = tmp_path / "source", tmp_path / "installed"
    for name in ("src", "data/weights", "notebooks/presets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(installed)
    script = """
import contextlib
import sys
import torch
from coded_resnext import CodedResNeXt, coded_resnext29_10x11d, extract_subnetwork, fit, paths
from coded_resnext.__main__ import main
from coded_resnext.early_exit.calibration import load_calibration
assert not paths.IS_CHECKOUT, paths.ROOT
images = torch.randn(2, 3, 32, 32)
for name in ("cifar10-small", "cifar10-small-plain"):
    print(CodedResNeXt.from_pretrained(name)(images).shape)
coded = CodedResNeXt.from_pretrained("cifar10-small")
calibration = load_calibration(paths.WEIGHTS / "cifar10-small-coded-s0", coded)
print(coded.options["num_classes"], sorted(calibration.thresholds("margin", "drop", 0.5)))
print(extract_subnetwork(coded, [3])(images).shape)
try:
    CodedResNeXt.from_pretrained("cifar10-small-coded-s1")
except ValueError as error:
    print(error)
with contextlib.redirect_stderr(sys.stdout):
    assert main(["figures"]) == main(["reproduce"]) == 1
    tiny = ["layers=[1,1,1]", "width=4", "branch_width=1", "epochs=1", "warmup_epochs=0"]
    tiny = [part for option in tiny for part in ("-p", option)]
    assert main(["train", "digits", "mine-s0", *tiny]) == 0
    assert main(["train", "--data", "clothes", *tiny]) == 0
    assert main(["predict", "clothes/test", "--model", "clothes/coded-s0"]) == 0
    assert main(["predict", "clothes/test/3 sides/0.png", "--model", "cifar10-small"]) == 0
    assert main(["calibrate", "clothes/coded-s0"]) == 0
    assert main(["export", "--model", "clothes/coded-s0", "--classes", "3 sides", "--out", "three"]) == 0
    assert main(["predict", "clothes/test/3 sides/0.png", "--model", "three"]) == 0
    assert main(["explore", "--model", "clothes/coded-s0", "--images", "clothes/test", "--out", "e.html"]) == 0
"""
    drawn.clothes(tmp_path / "clothes", per_class=6, test=1)
    said = run_without_the_extra(script, tmp_path, PYTHONPATH=str(installed), CODED_RESNEXT_OUT=str(tmp_path / "out"))
    assert said.count("torch.Size([2, 10])") == 2
    assert "torch.Size([2, 1])" in said
    assert "unknown model 'cifar10-small-coded-s1'; did you mean" in said
    assert "(the repository has more)" in said
    assert said.count("% (codeword") == 8
    assert "early exit" in said
    assert "targets from" in said
    assert "logit" in said
    assert "open it in a browser" in said
    assert "error: this needs pandas" in said
    assert "error: this needs nbformat" in said


def test_torch_hub_finds_the_networks():
    model = torch.hub.load(str(ROOT), "pretrained", "cifar10-small", source="local")
    assert model.class_names[3] == "cat"
    assert model(model.preprocess(Image.new("RGB", (64, 48), "red"))).shape == (1, 10)


WITHOUT_TORCH = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in ('torch', 'timm') else find(name, *rest)
"""


@pytest.mark.parametrize("name", ["01_code_design", "11_paper_vs_ours"])
def test_notebooks_on_binder_need_no_torch(name, tmp_path):
    """What is installed there draws from records."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    environment = {**os.environ, "CODED_RESNEXT_OUT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH + code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_binder_has_what_the_project_asks_for():
    python, *packages = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    assert Requirement(project()["name"] + project()["requires-python"]).specifier.contains(python.split("=")[1])
    there = {line.replace("-base", "") for line in packages}
    wanted = [*project()["dependencies"], *project()["optional-dependencies"]["reproduction"]]
    names = {Requirement(line).name for line in there}
    assert "torch" not in names
    assert {line for line in wanted if Requirement(line).name in names} <= there


def test_what_archives_are_told_is_what_is_cited():
    archive = json.loads((ROOT / ".zenodo.json").read_text())
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for key in ("title", "version", "license"):
        assert archive[key] == cited[key]
    assert archive["version"] == project()["version"]
    assert archive["creators"] == [{"name": author["name"]} for author in project()["authors"]]
