"""Every figure and table by name, from records alone."""

import json
import os
import subprocess
import sys

import pytest
from made_up import decoding, point, write, write_binary, write_everything

from coded_resnext import paths
from coded_resnext.__main__ import main
from coded_resnext.errors import NothingToShow
from coded_resnext.reproduction.figures.gallery import (
    FIGURES,
    TABLES,
    draw,
    redraw,
    show,
    show_reference,
    tabulate,
)
from coded_resnext.reproduction.notebooks.strict import notebook_names, read_notebook
from coded_resnext.reproduction.records import records
from coded_resnext.reproduction.records.presets import REFERENCES

pytestmark = pytest.mark.usefixtures("no_records")


def test_a_figure_without_records_says_which_notebook_makes_them():
    with pytest.raises(NothingToShow, match="no record of stage early: 07_early_decoding makes them"):
        draw("figure-4-early-decoding", "digits")
    assert "07_early_decoding" in show("figure-4-early-decoding", "digits")


def test_an_ablation_of_one_value_is_none():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    assert "one value of mu only" in show("figure-5-coding-loss-weight", "digits")


def test_many_and_few_classes_have_different_figures():
    write_binary("coded-s0", [point(str(k)) for k in range(30)])
    assert draw("figure-8-binary-classifiers", "digits").png.exists()
    assert "see figure-8" in show("figure-2b-binary-classifiers", "digits")
    write_binary("coded-s0", [point(str(k)) for k in range(10)])
    assert draw("figure-2b-binary-classifiers", "digits").pdf.exists()
    assert "see figure-2b" in show("figure-8-binary-classifiers", "digits")


def test_the_reference_stands_beside_easy_data_only():
    """It is drawn from its own records, and written nowhere."""
    assert "no record of stage early" in show_reference("figure-4-early-decoding", "digits")
    write("early", "coded-s0", preset=REFERENCES[-1], curves=decoding(70.0, 93.0, 95.0))
    shown = show_reference("figure-4-early-decoding", "digits")
    assert shown.png.startswith(b"\x89PNG")
    assert "CIFAR-10, small" in shown.caption
    assert repr(shown) == f"figure-4-early-decoding of {REFERENCES[-1]}"
    assert not paths.FIGURES.exists()
    write("early", "coded-s0", preset=REFERENCES[0], curves=decoding(70.0, 93.0, 95.0))
    assert repr(show_reference("figure-4-early-decoding", "digits")) == f"figure-4-early-decoding of {REFERENCES[0]}"
    assert "beside the digits only" in show_reference("figure-4-early-decoding", "cifar100")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="did you mean 'figure-4-early-decoding'"):
        draw("figure-4-early-decodin", "digits")
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        tabulate("claims", "digit")


def test_a_record_of_another_schema_is_refused_by_name(capsys):
    write_everything()
    path = records.record_path("digits", "early", "coded-s0")
    record = json.loads(path.read_text()) | {"schema": 99}
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "seal"}))
    assert main(["figures", "digits"]) == 1
    assert "early-coded-s0.json has schema 99" in capsys.readouterr().err


def test_redrawing_leaves_out_what_has_no_record_and_goes_on(capsys):
    write_everything()
    redraw("digits")
    said = capsys.readouterr().out
    assert "exponent: left out, preset digits has records of one value of exponent only" in said
    assert "\nfigure-4-early-decoding\n" in said
    assert (paths.FIGURES / "digits" / "table-2-accuracy.md").exists()


def test_every_committed_result_is_redrawn_without_torch(tmp_path, committed_results):
    """From the records in git, in a process of its own: `make figures` on a machine that only draws."""
    script = (
        "import sys, pathlib\n"
        "from coded_resnext import paths\n"
        "from coded_resnext.__main__ import main\n"
        f"paths.COMMITTED_RESULTS = pathlib.Path({str(committed_results)!r})\n"
        "status = main(['figures', 'digits'])\n"
        "assert 'torch' not in sys.modules, 'drawing imported torch'\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600,
        env={**os.environ, "CODED_RESNEXT_OUT": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    drawn = [line for line in done.stdout.splitlines() if "left out" not in line]
    left_out = [line for line in done.stdout.splitlines() if "left out" in line]
    assert len(drawn) + len(left_out) == len(FIGURES) + len(TABLES)
    # Figure 8 is of many classes; digits have ten. The exponent and the sum are varied by digits-ablations, and the
    # number of training images by presets of CIFAR-10.
    elsewhere = {"figure-8-binary-classifiers", "exponent", "branch-sums", "gain-by-images"}
    of_newer_records = {
        "paths-by-distance", "branch-removal-by-block", "energies-by-block", "decoding-and-probes",
        "choice-of-dropping",
        "energies-of-images", "worth-of-branches", "subnetworks-cohesion", "exit-sureness", "exit-guarantees",
    }  # fmt: skip
    missing = {line.partition(":")[0] for line in left_out}
    assert elsewhere <= missing <= elsewhere | of_newer_records


def test_every_item_is_shown_by_a_notebook():
    """Else a reproduction would leave it as it was."""
    cells = [cell for name in notebook_names() for cell in read_notebook(name).cells]
    lines = [line for cell in cells for line in cell.source.splitlines()]
    for items, calls in ((FIGURES, ("draw(", "show(")), (TABLES, ("tabulate(", "show_table("))):
        made = [line for line in lines if any(call in line for call in calls)]
        assert [stem for stem in items if not any(f'"{stem}"' in line for line in made)] == []
