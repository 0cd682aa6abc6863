"""What notebook 01 shows: the paper's schemes, its search and the designer's side by side."""

import pytest

from coded_resnext import distance_upper_bound, load_scheme, paths
from coded_resnext.__main__ import main
from coded_resnext.codes.scheme import scheme_path
from coded_resnext.errors import NothingToShow
from coded_resnext.reproduction.figures import codebooks
from coded_resnext.reproduction.measure import schemes as shipped
from coded_resnext.reproduction.records import paper as numbers
from coded_resnext.reproduction.records.records import read_record


def recorded(stage, sizes):
    return read_record(numbers.SCHEME_RECORDS, stage, scheme_path(*sizes).stem)["metrics"]


def test_published_schemes_against_the_bounds():
    """The paper reaches the bound in four of six cases."""
    table = codebooks.overview().query("scheme == 'published'")
    assert table["bound"].tolist() == [distance_upper_bound(*sizes) for sizes in numbers.NETWORK_SIZES]
    assert (table["bound"] - table["distance"]).tolist() == [0, 0, 0, 0, 2, 2]
    assert table["pairs"].tolist()[:2] == [20, 30]  # of the words of table 3; the others were not printed


def test_the_designs_are_the_best_there_are():
    table = codebooks.overview().query("scheme == 'ours'")
    assert (table["distance"] == table["bound"]).all()
    assert (table["spread"] == 0).all()
    assert table["pairs"].iloc[0] < 20


def test_the_papers_search_reaches_what_was_published():
    """At the published distance, where lists are long enough to choose from, with the published columns."""
    for sizes, reached in numbers.published().items():
        again = recorded(numbers.SEARCH, sizes)
        assert again["distance"] >= reached["minimum distance"]
        if sizes.num_classes == 1000:
            columns = again["smallest_column"], again["largest_column"]
            assert columns == (reached["smallest column sum"], reached["largest column sum"])


DESIGNED = [*numbers.NETWORK_SIZES[2:], *numbers.ABLATION_SIZES]


@pytest.mark.parametrize("sizes", DESIGNED, ids=lambda s: scheme_path(*s).stem)
def test_records_are_of_the_shipped_schemes(sizes):
    scheme, metrics = load_scheme(*sizes), recorded(numbers.DESIGN, sizes)
    columns = scheme.column_sums
    certificate = scheme.certificate()
    assert {key: metrics[key] for key in ("distance", "bound", "column_spread", "close_pairs")} == {
        key: certificate[key] for key in ("distance", "bound", "column_spread", "close_pairs")
    }
    assert (metrics["smallest_column"], metrics["largest_column"]) == (columns.min(), columns.max())


def test_the_bound_falls_as_classes_are_added():
    table = codebooks.bounds_by_classes()
    for active, rows in table.groupby("active"):
        assert rows["classes"].is_monotonic_increasing
        assert rows["bound"].is_monotonic_decreasing
        assert rows["bound"].iloc[0] == 2 * active
        reached = rows.dropna(subset="reached")
        assert (reached["reached"] == reached["bound"]).all()


def test_without_records_there_is_nothing_to_show(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(paths, "COMMITTED_RESULTS", tmp_path)
    with pytest.raises(NothingToShow, match=r"no lexicographic record of .*make schemes makes it"):
        codebooks.overview()


def test_table_3():
    table = codebooks.table_3()
    assert table.iloc[[0, -1]].to_numpy().tolist() == [
        ["airplane", "1010100011", "1001001000"], ["truck", "0100110011", "1100000010"],
    ]  # fmt: skip


def test_remaking_compares_with_what_ships(monkeypatch, tmp_path, capsys):
    """With one scheme that takes no time: the same file passes, a changed one is named, and replaced when asked for."""
    file = tmp_path / "10x10-7.txt"
    file.write_text(scheme_path(10, 10, 7).read_text())
    monkeypatch.setattr(shipped, "scheme_path", lambda *sizes: file)
    monkeypatch.setattr(shipped, "NETWORK_SIZES", ())
    monkeypatch.setattr(shipped, "published", dict)
    monkeypatch.setattr(shipped, "ABLATION_SIZES", numbers.ABLATION_SIZES[-1:])
    assert main(["schemes"]) == 0
    assert capsys.readouterr().out.endswith("as shipped\n")
    right = file.read_text()
    file.write_text(right.replace("1", "0", 1))
    assert main(["schemes"]) == 1
    said = capsys.readouterr()
    assert "not as shipped" in said.out
    assert "10x10-7.txt came out otherwise than shipped" in said.err
    assert main(["schemes", "--write"]) == 0
    assert capsys.readouterr().out.endswith("written\n")
    assert file.read_text() == right
