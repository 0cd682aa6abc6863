"""The site of `make docs`: it builds without a warning, opens from the disk and asks for nothing."""

import re
import subprocess
import sys

import pytest

import coded_resnext
from coded_resnext.paths import ROOT
from coded_resnext.reproduction.figures.claim_pages import PAGES
from coded_resnext.reproduction.notebooks.strict import notebook_names


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for package in ("sphinx", "myst_nb", "furo", "latex2mathml"):
        pytest.importorskip(package, reason="make docs installs the extra [docs]")
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-d", str(folder / "doctrees"), "-c", "docs", ".", str(folder / "html")]
    done = subprocess.run([sys.executable, "-m", "sphinx", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
def test_everything_is_in_it(site):
    assert "docs/index.html" in (site / "index.html").read_text()
    names = {f"notebooks/{name}" for name in notebook_names()} | {f"docs/claims/{page.stem}" for page in PAGES}
    assert all((site / f"{name}.html").is_file() for name in names)
    reference = (site / "docs" / "reference.html").read_text()
    assert all(f'id="coded_resnext.{name}"' in reference for name in coded_resnext.__all__ if name != "__version__")


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site):
    loads = re.compile(r'<(script|img|iframe)[^>]*src="(https?:)?//|<link[^>]*href="(https?:)?//')
    for page in site.rglob("*.html"):
        assert not loads.search(page.read_text()), page.name
    assert "<math" in (site / "notebooks" / "00_tour.html").read_text()
