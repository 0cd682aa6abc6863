"""Tables of subnetworks from records: of coded runs, averaged over them, and of benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .tables import Record, run_kinds

SHARES = ("parameters", "without_shortcuts", "multiply_adds", "convolutions", "file_bytes")


def size_table(records: Sequence[Record], paper: pd.DataFrame) -> pd.DataFrame:
    """What one class's subnetwork keeps of the full network: a row a count, the paper's percentage where it has one.

    Every class keeps as much, since all codewords of a scheme weigh the same; the means would show it if not.

    Args:
        paper: kept-parameters of one data set; the text's share is of parameters, by a count that it does not state.
    """
    theirs = paper[paper["counted"] == "as the text says"]["value"].iloc[0]
    record = _coded(records)[0]
    full, singles = record["full"], pd.DataFrame(record["singles"])
    names = {
        "parameters": "parameters",
        "without_shortcuts": "parameters, projection shortcuts aside",
        "multiply_adds": "multiply-adds, with energies",
        "convolutions": "multiply-adds, convolutions and fc",
        "file_bytes": "bytes of the weights' file",
    }
    rows = []
    for key, name in names.items():
        one = singles[key].mean()
        rows.append({
            "count": name, "full": full[key], "one class": one, "%": 100 * one / full[key],
            "paper, %": theirs if key == "without_shortcuts" else float("nan"),
        })  # fmt: skip
    return pd.DataFrame(rows)


def single_table(records: Sequence[Record]) -> pd.DataFrame:
    """Average precision of every class's subnetwork and of the full network's logit, over runs."""
    frame = pd.DataFrame([row for record in _coded(records) for row in record["singles"]])
    kept = ["average_precision", "average_precision_full", "parameters", "multiply_adds", "file_bytes"]
    return frame.groupby("class", sort=False)[kept].mean().reset_index()


def subset_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row for each number of classes: accuracies (mean and deviation over subsets and runs), kept shares in percent.

    `difference` is the subnetwork's accuracy less the full network's among the same classes, on the same images.
    """
    rows = []
    for record in _coded(records):
        for row in record["curves"]:
            shares = {f"{key}_percent": 100 * row[key] / record["full"][key] for key in SHARES}
            difference = row["accuracy"] - row["accuracy_full"]
            rows.append(
                {**{k: row[k] for k in ("classes", "accuracy", "accuracy_full")}, "difference": difference} | shares
            )
    groups = pd.DataFrame(rows).groupby("classes")
    deviation = groups[["accuracy", "accuracy_full", "difference"]].std().add_suffix("_std")
    return pd.concat([groups.size().rename("subsets"), groups.mean(), deviation], axis=1).reset_index()


def coupling_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row for each block and designed overlap: the bound, the number of pairs and what was measured, over runs."""
    frame = pd.DataFrame([row for record in _coded(records) for row in record["coupling"]])
    groups = frame.groupby(["block", "designed", "bound", "pairs"], sort=False)
    return groups.agg({"measured": "mean", "low": "min", "high": "max"}).reset_index()


def surgery_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row a class forgotten and taught anew: accuracies of the others and its own, over runs, in percent."""
    frame = pd.DataFrame([row for record in _coded(records) for row in record["points"]])
    return frame.groupby("class", sort=False).mean().reset_index()


def latency_table(record: Record) -> pd.DataFrame:
    """Medians and quartiles in ms, images a second, and how much faster than the full network, of stage "latency"."""
    frame = pd.DataFrame(record["points"]).rename(columns={"at_once": "at once"})
    same = ["runtime", "batch", "at once"]
    full = frame[frame["network"] == "full"].set_index(same)["seconds"]
    speedup = [full[tuple(row[same])] / row["seconds"] for _, row in frame.iterrows()]
    times = {"ms": "seconds", "lower quartile": "lower_quartile", "upper quartile": "upper_quartile"}
    table = frame[[*same, "network"]].assign(**{name: 1e3 * frame[key] for name, key in times.items()})
    return table.assign(**{"images/s": frame["batch"] / frame["seconds"], "times faster": speedup})


def profile_table(record: Record) -> pd.DataFrame:
    """Milliseconds of every part, full and cut to one class, and its multiply-adds, of stage "profile"."""
    frame = pd.DataFrame(record["points"]).rename(columns={"at_once": "at once"})
    same = ["batch", "at once", "part"]
    full, one = (frame[frame["network"] == name].set_index(same) for name in ("full", "one class"))
    return pd.DataFrame({
        "full, ms": 1e3 * full["seconds"],
        "one class, ms": 1e3 * one["seconds"],
        "% of full": 100 * full["seconds"] / full["seconds"].groupby(same[:2]).sum(),
        "times faster": full["seconds"] / one["seconds"],
        "times fewer multiply-adds": full["multiply_adds"] / one["multiply_adds"],
    }).reset_index()  # fmt: skip


def _coded(records: Sequence[Record]) -> list[Record]:
    """Records of the plain recipe; ablations are left out.

    Raises:
        ValueError: there is none.
    """
    chosen = [record for record, kind in zip(records, run_kinds(records), strict=True) if kind == "coded"]
    if not chosen:
        raise ValueError("no record of a coded run: evaluate stage 'subnetworks' first")
    return chosen
