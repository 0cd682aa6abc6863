"""Captions of all that is drawn, and the pages that list it."""

import re
import sys

import nbformat
import pytest
from made_up import decoding, write

from coded_resnext import paths
from coded_resnext.errors import NothingToShow
from coded_resnext.reproduction.figures.captions import CAPTIONS, HOMES, WITH_DATA, caption
from coded_resnext.reproduction.figures.contents import overview, preset_page
from coded_resnext.reproduction.figures.registry import FIGURES, TABLES
from coded_resnext.reproduction.records.presets import notebook_names, shipped_presets

OF_ALL_PRESETS = {"regimes", "energy-and-removal"}  # their records are not one preset's
COMMITTED = paths.ROOT / "figures"
DRAWN = sorted(path.parent.name for path in COMMITTED.glob("*/README.md"))


def test_every_figure_and_table_has_a_caption():
    assert set(CAPTIONS) == {*FIGURES, *TABLES}


def test_figures_have_marks():
    assert all(CAPTIONS[stem].marks for stem in FIGURES)
    assert all(words.marks for items in WITH_DATA.values() for words in items.values())


def test_what_notebooks_draw_themselves_has_a_caption():
    """A figure that is no line of the registry, drawn with the images at hand."""
    cells = {
        name: "\n".join(cell.source for cell in nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells)
        for name in notebook_names()
    }
    drawn = {name: set(re.findall(r'show_with\(.*, "([\w-]+)", ', source)) for name, source in cells.items()}
    assert {name: stems for name, stems in drawn.items() if stems} == {name: set(of) for name, of in WITH_DATA.items()}
    assert not any(re.search(r"\bsave\(", source) for source in cells.values())


@pytest.mark.usefixtures("no_records")
def test_timed_images_are_not_taken_for_the_tested():
    timed = {"batch": 1, "network": "whole network", "milliseconds": [1.0], "multiply_adds": 100.0}
    write("timing", "coded-s0", {"images": 256}, curves=[timed])
    assert "; timed on 256 test images." in caption("exit-times", "digits", drawn=True)


@pytest.mark.parametrize("stem", sorted({*FIGURES, *TABLES} - OF_ALL_PRESETS))
def test_captions_name_the_records_that_are_read(stem, monkeypatch):
    """As made for the preset that has most of them."""
    read = set()
    for module in [module for name, module in sys.modules.items() if name.startswith("coded_resnext.reproduction")]:
        for function, place in (("read_stage", 1), ("read_record", 1)):
            if hasattr(module, function):
                original = getattr(module, function)

                def noted(*given, original=original, place=place):
                    read.add(given[place])
                    return original(*given)

                monkeypatch.setattr(module, function, noted)
    items = FIGURES if stem in FIGURES else TABLES
    try:
        items[stem].make("digits")
    except NothingToShow:
        pytest.skip("digits have no such records")
    if stem in ("claims", "comparison", "table-2-accuracy"):
        read -= {"architecture"}  # of what is counted
    alternatives = {"architecture"} if stem in ("figure-4-early-decoding", "network-and-decoders") else set()
    assert read <= set(CAPTIONS[stem].stages) <= read | alternatives


@pytest.mark.usefixtures("no_records")
def test_seeds_and_images_are_counted_in_the_records():
    for seed in range(2):
        write("early", f"coded-s{seed}", changes={"seed": seed}, curves=decoding(70.0, 93.0, 95.0))
    words = caption("figure-4-early-decoding", "digits", drawn=True)
    assert "2 seeds of coded; 1,000 test images" in words
    assert "The paper on CIFAR-10: ~71.5 %" in words


@pytest.mark.usefixtures("no_records")
def test_records_that_lack_what_is_shown_do_not_count():
    energies = [{"block": "layer2.0", "energies": [[1.0]], "inactive_share": 10.0}]
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0), energies=energies)
    write("early", "coded-s1", changes={"seed": 1}, curves=decoding(70.0, 93.0, 95.0))
    assert "1 seed of coded;" in caption("energies-by-block", "digits", drawn=False)
    assert "2 seeds of coded;" in caption("figure-4-early-decoding", "digits", drawn=False)


@pytest.mark.usefixtures("no_records")
def test_without_records_a_caption_says_what_it_would_show():
    assert caption("figure-2a-branch-removal", "digits", drawn=True).startswith("Figure 2a: Removing branches.")


def test_the_pages_in_git_are_those_of_the_figures_in_git(monkeypatch, committed_results):
    """By the records in git alone: another test may have trained a run of the digits."""
    monkeypatch.setattr(paths, "FIGURES", COMMITTED)
    monkeypatch.setattr(paths, "RESULTS", committed_results)
    assert DRAWN
    assert set(DRAWN) <= set(shipped_presets())
    again = "python -m coded_resnext figures PRESET writes it anew"
    for preset in DRAWN:
        assert preset_page(preset) == (COMMITTED / preset / "README.md").read_text(), f"{preset}: {again}"
    assert overview() == (COMMITTED / "README.md").read_text(), again


def test_stages_of_no_preset_have_a_folder():
    assert all((paths.COMMITTED_RESULTS / folder).is_dir() for folder in HOMES.values())
