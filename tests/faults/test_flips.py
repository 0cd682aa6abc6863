"""Damaged files are refused by name, or nothing has changed: a few places in every kind, `make faults` tries 200."""

from faults.flips import TOLD, count_damages, kinds

from coded_resnext import paths

PLACES = 12
# Nothing hashes a user's own images or presets: Pillow notices some, and a preset's own words are not parameters.
UNGUARDED = ("PNG image", "preset")


def test_damaged_files_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")  # where names of folders are remembered
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(paths, "OWN_WEIGHTS", tmp_path / "weights")
    for name, kind in kinds(tmp_path).items():
        outcomes, reasons = count_damages(kind, PLACES, seed=0)
        assert outcomes.total() == PLACES
        if name not in UNGUARDED:
            assert not reasons, name
            assert not outcomes[TOLD], name
