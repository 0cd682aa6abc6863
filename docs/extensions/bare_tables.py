"""A title for the tables in figures/, which are Markdown and nothing else; the pages that link to them are listed."""

from pathlib import PurePosixPath

from sphinx.application import Sphinx


def title(app: Sphinx, name: str, source: list[str]) -> None:
    path = PurePosixPath(name)
    if path.parts[0] == "figures" and path.name != "README":
        source[0] = f"---\norphan: true\n---\n# {path.name}\n\n[All of {path.parts[1]}](README.md)\n\n{source[0]}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", title)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
