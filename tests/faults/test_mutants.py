"""Mistakes are made one at a time, in code alone, and taken back."""

import ast

from faults import mutants
from faults.changes import changes

CODE = '''
"""Text."""
LIMIT: int | None = 3

def largest(values: list[int], least: int = 0) -> int:
    """Text 3."""
    for value in values[1:]:
        if value > least and not value == LIMIT:
            least = value
    if least < 0:
        raise ValueError(f"below {0 + 0}")
    return max(least, 5) - 1
'''


def test_every_kind_of_mistake_is_made_and_taken_back():
    tree = ast.parse(CODE)
    before = ast.unparse(tree)
    found = {}
    for change in changes(tree):
        found[change.text] = ast.unparse(tree)
        compile(found[change.text], "code", "exec")
    assert ast.unparse(tree) == before
    assert len(set(found.values())) == len(found)
    assert before not in found.values()
    for line in (
        "LIMIT: int | None = 4", "least: int=-1", "values[2:]", "values[1:-1]", "value >= least and", "least or",
        "not value != LIMIT", "and value == LIMIT", "if not (value > least and", "if not least < 0:", "pass",
        "max(least, 6) - 1", "max(least, 5) + 1",
    ):  # fmt: skip
        assert sum(line in text for text in found.values()) >= 1, line
    for line in ("int & None", "Text 4", "0 - 0", "max(5, least)"):
        assert not any(line in text for text in found.values()), line


def test_what_is_called_harmless_is_a_mutant():
    for module, reasons in mutants.HARMLESS.items():
        texts = {change.text for change in changes(ast.parse(mutants.source(module).read_text(encoding="utf-8")))}
        assert set(reasons) <= texts, module
