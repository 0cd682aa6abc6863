"""What a record keeps of its run's codewords, so that figures can be drawn of them without the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...codes.scheme import load_scheme, scheme_path
from ..records.records import CODEWORDS


def not_built_in(schemes: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
    """What a record keeps of its run's codewords: those that no built-in scheme has, as `CODEWORDS`; else nothing.

    Args:
        schemes: words by coded block, as a checkpoint describes them.
    """
    kept = {}
    for words in schemes.values():
        active = words[0].count("1")
        built_in = scheme_path(len(words), len(words[0]), active)
        if not built_in.is_file() or load_scheme(len(words), len(words[0]), active).to_text().split() != list(words):
            kept[str(active)] = list(words)
    return {CODEWORDS: kept} if kept else {}
