"""Every text that is made from records: parts of the README and of preset files, the claims, what was computed."""

from __future__ import annotations

from pathlib import Path

from ... import paths
from ...errors import Refused
from ...files import write_atomically
from ..records.presets import preset_path, shipped_presets
from .again import again_page
from .by_images import worth_by_images
from .claim_pages import claim_pages
from .compute import compute_page, preset_entries
from .headlines import from_few_images, headline_table, owed

MADE, MADE_END = "# made from records by python -m coded_resnext pages", "# end of what is made"  # in a preset's file


def documents() -> dict[Path, str]:
    """The text of every generated file, by its path from the repository's root; of the README with its own text around.

    Raises:
        ValueError: a README without a mark.
    """
    readme = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    made = {"results": headline_table(), "owed": owed(), "images": worth_by_images(), "few": from_few_images()}
    for part, text in made.items():
        readme = _put(readme, f"<!-- {part} -->", f"<!-- /{part} -->", text, f"README.md has no place for {part}")
    pages = {Path("docs/claims") / name: text for name, text in {**claim_pages(), "again.md": again_page()}.items()}
    presets = {Path("notebooks/presets") / f"{name}.yaml": _with_entries(name) for name in shipped_presets()}
    return {Path("README.md"): readme, Path("docs/compute.md"): compute_page(), **pages, **presets}


def write_documents() -> list[Path]:
    """Write what `documents` has; returns the paths."""
    written = documents()
    for path, text in written.items():
        write_atomically(paths.ROOT / path, text.encode())
    return list(written)


def _with_entries(preset: str) -> str:
    """A preset's file with what its records say."""
    text = preset_path(preset).read_text(encoding="utf-8")
    return _put(text, MADE, MADE_END, preset_entries(preset), f"{preset}.yaml has no place for what its records say")


def _put(page: str, start: str, end: str, text: str, otherwise: str) -> str:
    """A page with the part between its two marks, lines of their own, replaced."""
    before, found, rest = page.partition(f"{start}\n")
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise Refused(f"{otherwise}: it needs the lines {start} and {end}")
    return f"{before}{start}\n{text}{end}{after}"
