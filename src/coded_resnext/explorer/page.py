"""The page as one file: the data in it, the tables that need no script, and a policy under which nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..files import write_atomically
from .measure import explore

HERE = Path(__file__).parent
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
LISTED = 200  # rows of a table at most; a page of 1,000 classes stays a page
CELLS = 40_000  # of the tables of branch removals


@dataclass(frozen=True)
class Page:
    """A finished page, which JupyterLab shows as the value of a cell."""

    html: str

    def save(self, path: Path) -> Path:
        """Write the page, whole or not at all."""
        write_atomically(path, self.html.encode(errors="backslashreplace"))  # names of files may be no Unicode
        return path

    def _repr_html_(self) -> str:
        sandbox = "allow-scripts allow-downloads"  # an origin of its own: nothing of the notebook's is within reach
        return (
            f'<iframe title="Explorer" sandbox="{sandbox}" width="100%" height="860" '
            f'srcdoc="{escape(self.html)}"></iframe>'
        )


def explorer_page(model: str, images: Path | None = None) -> Page:
    """Look into a network: the page of `python -m coded_resnext explore`; in a notebook this one call shows it.

    Args:
        model: a name of shipped weights, or a run's folder.
        images: a folder `<class>/<image>`; the test images of the network's own data set without.
    Raises:
        ValueError, FileNotFoundError: see `pictures.read_folder` and `measure.open_subject`.
    """
    return make_page(explore(model, images))


def make_page(data: Mapping[str, Any]) -> Page:
    """The page of what `measure.describe` found."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    template = Template((HERE / "page.html").read_text(encoding="utf-8"))
    html = template.substitute(
        policy=policy,
        title=escape(f"Inside {data['network']['name']}"),
        lede=escape(_lede(data)),
        style=style,
        tour=_tour(data),
        tables="\n".join(_tables(data)),
        data=as_json(data),
        script=script,
    )
    return Page(html)


def as_json(data: Any) -> str:
    """JSON that ends no script element, whatever names are in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return "".join(UNSAFE.get(character, character) for character in text)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _lede(data: Mapping[str, Any]) -> str:
    network, measured = data["network"], data["measured"]
    kind = f"{len(data['blocks'])} coded blocks of {network['branches']} branches" if network["coded"] else "plain"
    of = f", drawn from {data['found']:,}" if data["found"] > measured else ""
    text = (
        f"A network for {len(data['classes']):,} classes, trained on {network['data']}: {kind}, "
        f"{network['parameters']:,} parameters, {network['multiply_adds']:,} multiply-adds an image. "
        f"Measured on {measured:,} images ({data['source']}{of}); {len(data['images'])} of them are in this page."
    )
    if not network["coded"]:
        text += (
            " It is a plain network: no codewords, so this page cannot show energies against them, class paths, early "
            "exits, early confusions or what a branch is worth to a class."
        )
    return text


def _tour(data: Mapping[str, Any]) -> str:
    """Five links; a step that these images or this network do not have says so."""
    first, blocks = data["first"], data["blocks"]
    start, end = (blocks[0], blocks[-1]) if blocks else ("", "")

    def at_image(kind: str, block: str) -> str | None:
        return None if first[kind] is None or not blocks else f"#image={first[kind]}&block={block}&at=image"

    removal = data["removal"]
    exits = data["exits"].get("policies")
    steps = [
        (at_image("easy", start), "An easy image: the first coded block knows it already."),
        (at_image("late", end), "A late one: it is decided at the end."),
        (at_image("turned", start), "Wrong early, right late: step through the blocks and see it turn."),
        ("#a=0&b=1&at=classes" if blocks else None, "Two classes: what their paths share, and what both cost."),
        ("#threshold=1&at=threshold" if exits else f"#remove={start}:0&at=removal" if "images" in removal else None,
         "Stop early: what a threshold saves and loses." if exits or "images" not in removal
         else "Take a branch away: which classes miss it."),
    ]  # fmt: skip
    items = [
        f'<li><a href="{escape(link)}">{escape(text)}</a></li>'
        if link
        else f'<li class="off">{escape(text)} <em>Not in this page.</em></li>'
        for link, text in steps
    ]
    return f'<ol class="tour">{"".join(items)}</ol>'


def _tables(data: Mapping[str, Any]) -> Iterable[str]:
    classes, blocks = data["classes"], data["blocks"]
    yield _table("Images", *_images(data))
    if not blocks:
        return
    right = data["right"]
    rows = [
        [name, _tenths(spent), "" if right is None else _tenths(right["blocks"][i])]
        for i, (name, spent) in enumerate(zip([*blocks, "softmax"], data["spent"], strict=True))
    ]
    yield _table("Blocks as decoders", ["block", "multiply-adds spent, %", "right, %"], rows)
    yield _table("Classes alone", *_paths(data))
    exits = data["exits"]
    if "why" in exits:
        yield f'<p class="note">No thresholds: {escape(exits["why"])}</p>'
    else:
        head = ["policy", "accuracy, %", "multiply-adds, %", *(f"leave at {name}, %" for name in [*blocks, "softmax"])]
        rows = [
            [policy, f"{p['accuracy'] / 100:.2f}", f"{p['multiply_adds'] / 100:.2f}", *map(_tenths, p["exits"])]
            for policy, of in exits["policies"].items()
            for p in of["points"]
        ]
        yield _table("Stopping early", head, rows)
    if data["confusions"] is not None:
        rows = [
            [name, classes[true], classes[answer], count, distance]
            for name, block in zip(blocks, data["confusions"]["blocks"], strict=True)
            for true, answer, count, distance in block["pairs"]
        ]
        yield _table("Confusions", ["block", "is", "taken for", "images", "distance of codewords"], rows)
    removal = data["removal"]
    if "why" in removal:
        yield f'<p class="note">No branch was taken away: {escape(removal["why"])}</p>'
    elif len(classes) * len(blocks) * data["network"]["branches"] <= CELLS and len(classes) <= LISTED:
        rows = [["none", *removal["whole"]]]
        for name, branches in zip(blocks, removal["without"], strict=True):
            rows += [[f"{name}, branch {n + 1}", *counts] for n, counts in enumerate(branches)]
        head = ["without", *(f"{name} (of {n})" for name, n in zip(classes, removal["each"], strict=True))]
        yield _table("Right images of each class without a branch", head, rows)


def _images(data: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    classes = data["classes"]
    head = ["image", "is", *(f"{name}: nearest, margin" for name in data["blocks"]), "softmax"]
    rows = []
    for i, image in enumerate(data["images"][:LISTED]):
        blocks = [f"{classes[k]}, {m / 1000:.3f}" for k, m in zip(image["nearest"], image["margin"], strict=True)]
        softmax = f"{classes[image['answer']]}, {_tenths(image['confidence'])} %"
        rows.append([i, label_of(image, classes), *blocks, softmax])
    return head, rows


def label_of(image: Mapping[str, Any], classes: Sequence[str]) -> str:
    """What an image is, in words."""
    if image["label"] >= 0:
        return classes[image["label"]]
    return f"foreign ({image['folder']})" if image["folder"] else "not said"


def _paths(data: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    rows = []
    for k, name in enumerate(data["classes"][: 5 * LISTED]):
        parameters, adds = union_size(data, [k])
        words = [data["schemes"][s][k] for s in dict.fromkeys(data["scheme_of"])]
        rows.append([name, f"{parameters:,}", f"{adds:,}", *words])
    stages = list({s: data["blocks"][i] for i, s in reversed(list(enumerate(data["scheme_of"])))}.items())
    head = ["class", "parameters", "multiply-adds", *(f"codeword from {name} on" for _, name in reversed(stages))]
    return head, rows


def union_size(data: Mapping[str, Any], classes: Sequence[int]) -> tuple[int, int]:
    """Parameters and multiply-adds of the union of some classes' paths, as the page computes them."""
    sizes = data["sizes"]
    totals = [fixed + len(classes) * one for fixed, one in zip(sizes["fixed"], sizes["class"], strict=True)]
    for scheme, branch in zip(data["scheme_of"], sizes["branch"], strict=True):
        words = [data["schemes"][scheme][k] for k in classes]
        kept = sum("1" in bits for bits in zip(*words, strict=True))
        totals = [total + kept * one for total, one in zip(totals, branch, strict=True)]
    return totals[0], totals[1]


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    columns = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(str(row[0]))}</th>{"".join(f"<td>{escape(str(v))}</td>" for v in row[1:])}</tr>'
        for row in rows
    )
    return (
        f"<details><summary>{escape(title)}</summary>"
        f'<div class="scroll tall" tabindex="0" role="region" aria-label="Table: {escape(title)}">'
        f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _tenths(value: int) -> str:
    return f"{value / 10:.1f}"
