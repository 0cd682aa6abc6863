"""docs/reliability.md, whose counted parts are written anew between two lines."""

from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
END = "<!-- until here -->"


def put(counted_by: str, text: str) -> None:
    """Replace what is counted by `make <counted_by>`.

    Raises:
        ValueError: a document without such lines.
    """
    begin = f"<!-- counted by make {counted_by} -->"
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    if not found or END not in rest:
        raise ValueError(f"{DOCUMENT} has no {begin!r} with {END!r} behind it")
    DOCUMENT.write_text(f"{before}{begin}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
