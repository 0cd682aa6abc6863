"""The README and the pages made from records: current, their links lead somewhere, what they tell to type works."""

import re
import shlex

import drawn
import numpy as np
import pytest
import yaml

from coded_resnext import paths
from coded_resnext.__main__ import _as_pairs, _parser, main
from coded_resnext.paths import ROOT
from coded_resnext.reproduction.figures.claim_pages import PAGES
from coded_resnext.reproduction.figures.claims import claims
from coded_resnext.reproduction.figures.documents import documents, write_documents
from coded_resnext.reproduction.notebooks.strict import notebook_names
from coded_resnext.reproduction.records.presets import load_preset, preset_path, shipped_presets

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [  # in blocks, and in lines of text; a command may be broken over two lines
    re.sub(r"\s+", " ", line)
    for line in [
        *re.findall(r"^(?:python -m coded_resnext|make) .*$", README, re.MULTILINE),
        *re.findall(r"`((?:python -m coded_resnext|make)\s[^`]*)`", README),
    ]
]


@pytest.fixture
def only_committed(monkeypatch, committed_results):
    """Whatever other tests wrote is not there."""
    monkeypatch.setattr(paths, "RESULTS", committed_results)


# What is generated


@pytest.mark.usefixtures("only_committed")
def test_what_is_generated_is_current():
    """From the records in git; else: python -m coded_resnext pages."""
    for path, text in documents().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, path
    there = {path.relative_to(ROOT) for path in (ROOT / "docs" / "claims").glob("*.md")}
    assert there == {path for path in documents() if path.parent.name == "claims"}


def test_every_preset_says_what_to_type_and_to_expect():
    """Made from its records: a number that none of them made is a difference to `test_what_is_generated_is_current`."""
    for name in shipped_presets():
        content = yaml.safe_load(preset_path(name).read_text(encoding="utf-8"))
        assert content["command"] == f"make reproduce PRESET={name}"
        assert {"time", "expect"} <= set(content)
        cards = {path.stem for path in paths.WEIGHTS.glob("*.json")}
        shipped = {f"{name}-{run}" for run in load_preset(name).runs} & cards
        assert set(content.get("weights", {})) == shipped


@pytest.mark.usefixtures("only_committed")
def test_a_preset_without_a_place_for_it_is_refused(monkeypatch, tmp_path):
    given = tmp_path / "digits.yaml"
    given.write_text("title: digits\n")
    monkeypatch.setattr("coded_resnext.reproduction.figures.documents.preset_path", lambda name: given)
    with pytest.raises(ValueError, match=r"\.yaml has no place for what its records say: it needs the lines # made"):
        documents()


def test_every_row_of_a_claim_says_its_kind():
    """Also of a claim that a single preset has runs for."""
    for page in sorted((ROOT / "docs" / "claims").glob("*.md")):
        if page.name == "again.md":  # whose tables have no kinds
            continue
        rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
        kinds = {cells[1] for cells in rows if cells[0] != "| claim" and len(cells) > 4}
        assert kinds <= {"level", "claim", "check", "count"}, page.name


def test_every_claim_has_one_page():
    rows = [row for page in PAGES for row in page.rows]
    assert len(rows) == len(set(rows))
    for preset in shipped_presets():
        assert set(claims(preset)["claim"]) <= set(rows), preset


def test_a_readme_without_marks_is_refused(monkeypatch, tmp_path):
    readme = tmp_path / "README.md"
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    parts = ("results", "owed", "images", "few")
    empty = "".join(f"<!-- {part} -->\n{part}\n<!-- /{part} -->\n" for part in parts)
    readme.write_text(f"before\n{empty}after\n")
    write_documents()
    text = readme.read_text()
    assert text.startswith("before\n<!-- results -->\n| ")
    assert not any(f"\n{part}\n" in text for part in parts)
    assert text.endswith("<!-- /few -->\nafter\n")
    assert (tmp_path / "docs" / "claims" / "accuracy.md").is_file()
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="no place for results: it needs the lines <!-- results -->"):
        write_documents()


# What is linked


PAGES_OF_TEXT = ["README.md", "CONTRIBUTING.md", "LOG.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", [str((ROOT / page).relative_to(ROOT)) for page in PAGES_OF_TEXT])
def test_links_and_pictures_are_there(page):
    page = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http", "#")):
            assert (page.parent / target.split("#")[0]).exists(), target


def test_pictures_are_described():
    assert all(len(words) > 40 for words in re.findall(r"!\[([^\]]*)\]", README))


def test_every_notebook_is_in_the_map():
    assert re.findall(r"^\| \[(\w+)\]\(notebooks/", README, re.MULTILINE) == notebook_names()


# What is typed


def test_there_are_commands():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    """By the command line's own parser; of make, the goal and its variables are in the Makefile."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")  # make -n would run what has $(MAKE) in it
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)
        assert all(re.search(rf"\$\([^)]*\b{word.partition('=')[0]}\b", makefile) for word in words[2:])
        return
    options = _parser().parse_args(_as_pairs(words[3:]))
    preset = getattr(options, "preset", None)
    if preset is not None and words[3] not in ("train",):
        assert load_preset(preset)


def block(section: str) -> list[str]:
    """The commands of the first block of a section."""
    return [
        line
        for line in README.split(f"## {section}\n")[1].split("```")[1].splitlines()
        if line.startswith("python -m coded_resnext")
    ]


def run(line: str, capsys) -> str:
    capsys.readouterr()
    assert main(shlex.split(line)[3:]) == 0, line
    return capsys.readouterr().out


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder to be in, with what the README's commands name."""
    monkeypatch.chdir(tmp_path)
    picture = drawn.shape(3, 100, np.random.default_rng(0))
    picture.resize((640, 480)).save("photo.jpg")
    picture.convert("L").resize((8, 8)).save("three.png")
    (tmp_path / "folder" / "cat").mkdir(parents=True)
    picture.resize((32, 32)).save(tmp_path / "folder" / "cat" / "one.png")


@pytest.mark.usefixtures("photos")
def test_a_photo_is_classified(capsys):
    (line,) = block("Use it on a photo")
    said = run(line, capsys)
    assert re.search(r"^photo\.jpg: \w+ [\d.]+ %, \w+ [\d.]+ %, .* \(codeword [\d.]+ away, (no )?early exit", said)


@pytest.mark.usefixtures("photos")
def test_classes_are_cut_out(capsys):
    export, predict = block("A network for the classes you need")
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:  # the extra is not installed: the folder alone
        export, predict = export.split(" --onnx")[0], predict.replace("3-8.onnx", "3-8")
    assert re.search(r"3 and 8|3, 8", run(export, capsys))
    assert re.search(r"^three\.png: [38] ", run(predict, capsys))


@pytest.mark.usefixtures("photos")
def test_a_page_is_written(capsys):
    (line,) = block("A look inside")
    assert "open it in a browser" in run(line, capsys)
