"""What pyproject.toml cannot say: the presets go into the wheel, and a coded and a plain network out of data/weights,
without a second copy in git. Other weights are in the repository alone, as is all that reproduces the paper.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WEIGHTS = Path("data", "weights")
PRESETS = Path("notebooks", "presets")
NETWORKS = ("cifar10-small-coded-s0", "cifar10-small-plain-s0")


class BuildWithWeights(build_py):
    """Copies them into coded_resnext/weights and coded_resnext/presets, which paths.py knows outside a checkout."""

    def build_package_data(self) -> None:
        super().build_package_data()
        for file in PRESETS.glob("*.yaml"):
            target = Path(self.build_lib, "coded_resnext", "presets", file.name)
            self.mkpath(str(target.parent))
            self.copy_file(str(file), str(target))
        for name in NETWORKS:
            files = [WEIGHTS / f"{name}.json", WEIGHTS / f"{name}.safetensors", *WEIGHTS.glob(f"{name}/*.json")]
            for file in files:
                target = Path(self.build_lib, "coded_resnext", "weights", file.relative_to(WEIGHTS))
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithWeights})
