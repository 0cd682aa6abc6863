"""Every text that is generated from records: parts of the README, the claims' pages, what was computed in all."""

from __future__ import annotations

from pathlib import Path

from ... import paths
from ...errors import Refused
from ...files import write_atomically
from .again import again_page
from .claim_pages import claim_pages
from .compute import compute_page
from .headlines import from_few_images, headline_table, owed


def documents() -> dict[Path, str]:
    """The text of every generated file, by its path from the repository's root; of the README with its own text around.

    Raises:
        ValueError: a README without a mark.
    """
    readme = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    for part, text in (("results", headline_table()), ("owed", owed()), ("few", from_few_images())):
        readme = _put(readme, part, text)
    pages = {Path("docs/claims") / name: text for name, text in {**claim_pages(), "again.md": again_page()}.items()}
    return {Path("README.md"): readme, Path("docs/compute.md"): compute_page(), **pages}


def write_documents() -> list[Path]:
    """Write what `documents` has; returns the paths."""
    written = documents()
    for path, text in written.items():
        write_atomically(paths.ROOT / path, text.encode())
    return list(written)


def _put(readme: str, part: str, text: str) -> str:
    """The README with a part between its two marks replaced."""
    start, end = f"<!-- {part} -->\n", f"<!-- /{part} -->"
    before, found, rest = readme.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise Refused(f"README.md has no place for {part}: it needs the lines {start.strip()} and {end}")
    return f"{before}{start}{text}{end}{after}"
