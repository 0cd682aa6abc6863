"""What installs the project agrees with itself."""

import re
import subprocess
import sys
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from coded_resnext.paths import ROOT


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


def test_the_lock_satisfies_the_project():
    """Every direct requirement, of the package, its notebooks and its tests, with a version in its range."""
    extras = project()["optional-dependencies"]
    for line in [*project()["dependencies"], *extras["reproduction"], *extras["dev"]]:
        wanted = Requirement(line)
        (pin,) = locked()[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pin.version), line


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


def test_the_library_needs_nothing_of_the_reproductions(tmp_path):
    """Trained, cut and asked, in a process where pandas, matplotlib and the notebooks' packages cannot be imported."""
    absent = [Requirement(line).name for line in project()["optional-dependencies"]["reproduction"]]
    script = (
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        f"absent = set({absent})\n"
        "PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in absent else find(name, *rest)\n"
        "from pathlib import Path\n"
        "from coded_resnext import EarlyExit, TrainingParameters, extract_subnetwork, fit, load_images, predict\n"
        "import torch\n"
        "p = TrainingParameters(layers=(1, 1, 1), width=4, branch_width=1, epochs=2, warmup_epochs=1)\n"
        f"checkpoint = fit(p, folder=Path({str(tmp_path)!r}))\n"
        "model, images = checkpoint.network(), load_images('digits', 'test')\n"
        "cut = extract_subnetwork(model, [3])\n"
        "print(predict(cut, images, 100, torch.device('cpu')).logits.shape, checkpoint.description.metrics)\n"
        "EarlyExit(model, 'margin', {'layer2.0': 0.5}).predict(torch.randn(2, 1, 8, 8))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([1297, 1])" in done.stdout
    assert "clean_train_accuracy" in done.stdout
