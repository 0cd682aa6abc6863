"""The page as a file: whole, closed to the outside, and readable without a script."""

import json
import re
import tomllib
from html.parser import HTMLParser

import pytest
from explorer_pages import HOSTILE, hostile_data, shipped_data, untrained_data

from coded_resnext.__main__ import main
from coded_resnext.explorer.page import as_json, explorer_page, make_page
from coded_resnext.paths import PACKAGE, ROOT


class Reader(HTMLParser):
    """The elements of a page, its texts by element, and what it refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.references: list[str] = []
        self.cells: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.inside = tag
        attributes = dict(attrs)
        self.references += [attributes[key] for key in ("src", "href", "action") if key in attributes]
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag in ("td", "th"):
            self.cells.append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside in ("td", "th"):
            self.cells[-1] += data
        if self.inside == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def shipped():
    return shipped_data()


def test_nothing_is_fetched_and_nothing_may_be(shipped):
    page = Reader(make_page(shipped).html)
    assert page.policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in page.policy
    assert all(reference.startswith(("#", "data:")) for reference in page.references)


def test_the_data_survives_its_way_into_the_page(shipped):
    hostile = hostile_data(shipped)
    page = Reader(make_page(hostile).html)
    assert json.loads(page.scripts[0]) == hostile
    assert not re.search("[<>&\u2028\u2029]", page.scripts[0])
    assert len(page.scripts) == 2


def test_hostile_names_are_text(shipped):
    html = make_page(hostile_data(shipped)).html
    page = Reader(html)
    assert page.elements.count("script") == 2
    assert page.elements.count("img") == 1  # the chosen image's, which the script fills
    assert set(HOSTILE) <= set(page.cells)


def test_json_is_json():
    assert json.loads(as_json({"<": "&>\u2028"})) == {"<": "&>\u2028"}


def test_tables_need_no_script(shipped):
    cells = Reader(make_page(shipped).html).cells
    point = shipped["exits"]["policies"]["margin"]["points"][1]
    assert f"{point['accuracy'] / 100:.2f}" in cells
    assert f"{shipped['network']['parameters']:,}" not in cells  # of the whole network: in the text
    assert f"{shipped['right']['blocks'][0] / 10:.1f}" in cells
    assert {"layer2.0, branch 1", "airplane (of 4)"} <= set(cells)
    assert cells.count("0") > 0


@pytest.mark.parametrize(("classes", "branches", "active"), [(43, 12, 4), (1000, 16, 6)])
def test_many_classes_stay_a_page(classes, branches, active):
    page = make_page(untrained_data(classes, branches, active, 1))
    assert len(page.html) < 5e6
    assert f"class {classes - 1:03d}" in Reader(page.html).cells


def test_the_package_has_the_pages_parts():
    """Files that are no Python come into a wheel by name alone."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    parts = {file.name for file in (PACKAGE / "explorer").iterdir() if file.is_file() and file.suffix != ".py"}
    assert set(listed["coded_resnext.explorer"]) == parts


def test_the_command_writes_one_file(run_folder, digit_folder, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    assert main(["explore", "--model", str(run_folder), "--images", str(digit_folder), "--out", str(out)]) == 0
    assert "MB, open it in a browser" in capsys.readouterr().out
    assert [file.name for file in out.parent.iterdir()] == ["page.html"]
    assert "Inside digits-run" in out.read_text(encoding="utf-8")


def test_bad_input_is_one_line(run_folder, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["explore", "--model", str(run_folder), "--images", str(tmp_path), "--out", str(out)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_a_notebook_shows_it_in_a_frame(run_folder, digit_folder):
    shown = explorer_page(str(run_folder), digit_folder)._repr_html_()
    frame = Reader(shown)
    assert frame.elements == ["iframe"]
    assert 'sandbox="allow-scripts allow-downloads"' in shown
