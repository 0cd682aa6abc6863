"""The paper's numbers, and tables as text."""

import pandas as pd
import pytest

from coded_resnext import paths
from coded_resnext.reproduction.figures import text
from coded_resnext.reproduction.records import paper as tables

COLUMNS = ["item", "data_set", "condition", "metric", "value", "read_from"]
ITEMS = sorted(path.stem for path in paths.PAPER.glob("*.csv"))

pytestmark = pytest.mark.usefixtures("no_records")


# The paper's numbers


@pytest.mark.parametrize("item", ITEMS)
def test_the_papers_numbers_are_tidy(item):
    frame = pd.read_csv(paths.PAPER / f"{item}.csv")
    assert list(frame) == COLUMNS
    assert set(frame["item"]) == {item}
    assert set(frame["data_set"]) <= {"CIFAR-10", "CIFAR-100", "ImageNet"}
    assert set(frame["read_from"]) <= {"text", "table", "plot", "computed"}
    assert pd.api.types.is_numeric_dtype(frame["value"])
    assert not frame.duplicated(["data_set", "condition", "metric"]).any()
    assert len(tables.paper(item)) == len(frame)


def test_every_table_and_plot_with_numbers_is_there():
    figures = {"figure-2a", "figure-2b", "figure-2c", "figure-4", "figure-5", "figure-6", "figure-8"}
    assert {"table-1", "table-2", "table-3", "table-4", *figures} <= set(ITEMS)


def test_table_2():
    table = tables.paper("table-2").set_index(["data_set", "network"])["value"]
    assert table["CIFAR-10"].to_dict() == {"coded": 94.41, "plain": 93.66}
    assert table["CIFAR-100"].to_dict() == {"coded": 78.28, "plain": 76.86}
    assert table["ImageNet"].to_dict() == {"coded": 78.12, "plain": 78.05}


def test_table_3_is_two_balanced_schemes():
    for ratio, rows in tables.paper("table-3").groupby("ratio"):
        words = rows.pivot(index="class", columns="branch", values="value")
        ones = int(ratio.split("/")[0])
        assert words.shape == (10, 10)
        assert (words.sum(axis=1) == ones).all()
        assert (words.sum(axis=0) == ones).all()


def test_conditions_become_columns_and_a_data_set_chooses():
    frame = tables.paper("figure-2a", "cifar100")
    assert set(frame["data_set"]) == {"CIFAR-100"}
    assert frame.query("set == 'active' and removed == 8")["value"].tolist() == [72.7]
    assert set(tables.paper("figure-2a", "digits")["data_set"]) == {"CIFAR-10"}
    assert set(tables.paper("figure-2b", "imagenet")["data_set"]) == {"CIFAR-10"}
    assert set(tables.paper("figure-5", "digits")["data_set"]) == {"CIFAR-100"}  # the only one of that figure
    with pytest.raises(ValueError, match=r"unknown item of the paper 'figure-2'; did you mean .*'figure-2a'"):
        tables.paper("figure-2")


# Tables as text


def test_text_is_aligned_and_missing_cells_are_empty():
    frame = pd.DataFrame({"kind": ["coded", "plain"], "accuracy": [9.5, 100.0], "std": [None, 0.25]})
    assert text.as_text(frame) == (
        "kind   accuracy   std\n"
        "-----  --------  ----\n"
        "coded       9.5\n"
        "plain     100.0  0.25\n"
    )  # fmt: skip


def test_tables_are_saved_for_reading_and_in_full():
    frame = pd.DataFrame({"a|b": ["x|y"], "share": [100 / 3]})
    markdown, csv = text.save_table(frame, "digits", "table-2-accuracy")
    assert markdown.parent == paths.FIGURES / "digits"
    assert markdown.read_text() == "| a\\|b | share |\n|---|--:|\n| x\\|y | 33.33 |\n"
    pd.testing.assert_frame_equal(pd.read_csv(csv), frame)


def test_cells_that_are_markdown_stay():
    frame = pd.DataFrame({"a": ["[b](c.md)"], "d": ["[e]"]})
    assert text.as_markdown(frame, marked=["a"]) == "| a | d |\n|---|---|\n| [b](c.md) | \\[e\\] |\n"
