"""A directive that documents every public name of the package, under the room where it lives: no list to keep."""

import inspect
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import coded_resnext


class PublicNames(SphinxDirective):
    """A section a room."""

    def run(self) -> list[nodes.Node]:
        public = [(name, getattr(coded_resnext, name)) for name in coded_resnext.__all__ if name != "__version__"]
        sections = []
        for room, names in groupby(sorted(public, key=_room), key=_room):
            section = nodes.section(ids=[nodes.make_id(f"room {room}")])
            section += nodes.title(text=room)
            section += self.parse_text_to_nodes("\n\n".join(_directive(*pair) for pair in names))
            sections.append(section)
        return sections


def _room(pair: tuple[str, object]) -> str:
    return pair[1].__module__.split(".")[1]


def _directive(name: str, thing: object) -> str:
    if inspect.isclass(thing):
        return f".. autoclass:: coded_resnext.{name}\n   :members:"
    return f".. autofunction:: coded_resnext.{name}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
