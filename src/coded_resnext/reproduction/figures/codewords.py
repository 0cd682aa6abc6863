"""The codewords of a run, from its records alone: built in, or written into them."""

from __future__ import annotations

from collections.abc import Sequence

from ...codes.scheme import CodingScheme, load_scheme, scheme_path
from ...errors import NothingToShow
from ..records.records import CODEWORDS, Record


def schemes_of(record: Record, blocks: Sequence[str], num_classes: int) -> dict[str, CodingScheme]:
    """The scheme of each coded block, or stage, of the run that a record is of.

    Raises:
        NothingToShow: codewords that are not built in, of an older record, which does not hold them.
    """
    has = record["parameters"]
    schemes = {}
    for block in blocks:
        active = has["active"].get(block, has["active"].get(block.split(".")[0]))
        written = record.get(CODEWORDS, {}).get(str(active))
        sizes = (num_classes, has["num_branches"], active)
        if written:
            schemes[block] = CodingScheme.from_text("\n".join(written), source=record["name"])
        elif has.get("scheme") or not scheme_path(*sizes).is_file():
            raise NothingToShow(
                f"run {record['name']} has codewords that are not built in, and its records do not hold them: "
                f"repeat stage {record['stage']}"
            )
        else:
            schemes[block] = load_scheme(*sizes)
    return schemes
