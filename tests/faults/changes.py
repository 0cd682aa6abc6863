"""Small mistakes made in a syntax tree, one at a time: what a test that looks should notice.

Not made are those that change nothing but words or checks: in docstrings, annotations, what is raised, text, `strict`
of zip, and the order of arguments where it is free.
"""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SYMMETRIC = {"min", "max", "math.hypot", "torch.promote_types"}
NO_CODE = {"annotation", "returns", "decorator_list"}
SHOWN = 16  # letters; what is changed is shown with what stands around it, from so many on, and after


class Change(NamedTuple):
    """One mistake.

    Attributes:
        function: qualified name of the innermost one, and the line it begins in; None at module and class level.
        text: the place, before and after.
    """

    function: tuple[str, int] | None
    text: str


def changes(tree: ast.Module) -> Iterator[Change]:
    """Every mistake; it is in the tree while it is yielded, and gone afterwards."""
    seen: dict[str, int] = {}
    for place in _places(tree, (), None):
        for replacement in _replacements(place):
            if isinstance(replacement, ast.Pass):
                around = place.node
                before, after = ast.unparse(around), ""
                place.put(replacement)
            else:
                around = next(node for node in (*place.above[::-1], tree) if len(ast.unparse(node)) >= SHOWN)
                before = ast.unparse(around)
                place.put(replacement)
                after = ast.unparse(around)
            if before != after:
                text = f"{place.function[0] if place.function else 'module'}: {_shown(before, after)}"
                seen[text] = seen.get(text, 0) + 1
                yield Change(place.function, text if seen[text] == 1 else f"{text} ({seen[text]})")
            place.put(place.node)


class _Place(NamedTuple):
    """Where a node stands: in a field of the last node above it, or in the list that the field holds."""

    node: ast.AST
    above: tuple[ast.AST, ...]
    field: str
    index: int | None
    function: tuple[str, int] | None

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.above[-1], self.field, node)
        else:
            getattr(self.above[-1], self.field)[self.index] = node


def _places(node: ast.AST, above: tuple[ast.AST, ...], function: tuple[str, int] | None) -> Iterator[_Place]:
    above = (*above, node)
    for field, value in ast.iter_fields(node):
        if field in NO_CODE:
            continue
        inside = function
        if isinstance(node, ast.FunctionDef):  # its defaults too: they show when it is called
            classes = [outer.name for outer in above if isinstance(outer, ast.ClassDef | ast.FunctionDef)]
            inside = ".".join(classes), min([node, *node.decorator_list], key=lambda part: part.lineno).lineno
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _is_no_code(child):
                yield _Place(child, above, field, index, inside)
                if not isinstance(child, ast.Raise):
                    yield from _places(child, above, inside)


def _is_no_code(node: ast.AST) -> bool:
    is_text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    is_check = isinstance(node, ast.keyword) and node.arg == "strict"
    return is_text or is_docstring or is_check or isinstance(node, ast.Import | ast.ImportFrom)


def _replacements(place: _Place) -> Iterator[ast.AST]:
    node = place.node
    if type(node) in SWAPPED and (place.function or not isinstance(node, ast.BitOr)):  # X | None names a type
        yield SWAPPED[type(node)]()
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _other_values(node.value))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Slice):
        yield from _other_slices(node)
    elif isinstance(node, ast.Call) and len(node.args) > 1 and ast.unparse(node.func) not in SYMMETRIC:
        first, second, *more = node.args
        if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
            yield ast.Call(node.func, [second, first, *more], node.keywords)
    elif isinstance(node, ast.stmt) and place.function and _can_be_missed(place):
        yield ast.Pass()
    if place.field in ("test", "ifs") and not _is_negated_above(node):
        yield ast.UnaryOp(ast.Not(), node)


def _is_negated_above(node: ast.AST) -> bool:
    """A `not` is removed and `==` swapped as an expression like any other."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return not isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    return isinstance(node, ast.UnaryOp)


def _other_values(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    return [value + 1, value - 1] if isinstance(value, int | float) else []


def _other_slices(node: ast.Slice) -> Iterator[ast.Slice]:
    """Off by one; a bound that is a number is changed as a number."""
    lower = ast.Constant(1) if node.lower is None else ast.BinOp(node.lower, ast.Add(), ast.Constant(1))
    upper = ast.Constant(-1) if node.upper is None else ast.BinOp(node.upper, ast.Sub(), ast.Constant(1))
    if not isinstance(node.lower, ast.Constant | ast.UnaryOp):
        yield ast.Slice(lower, node.upper, node.step)
    if not isinstance(node.upper, ast.Constant | ast.UnaryOp):
        yield ast.Slice(node.lower, upper, node.step)


def _can_be_missed(place: _Place) -> bool:
    """Whether a function without this statement may still run: it gives no name its first value."""
    if isinstance(place.node, ast.Assign):
        function = [node for node in place.above if isinstance(node, ast.FunctionDef)][-1]
        earlier = [n for n in ast.walk(function) if isinstance(n, ast.Name | ast.arg) and n.lineno < place.node.lineno]
        known = {n.arg if isinstance(n, ast.arg) else n.id for n in earlier}
        names = [n.id for target in place.node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        return set(names) <= known
    return isinstance(place.node, ast.Expr | ast.AugAssign | ast.Raise | ast.Continue)


def _shown(before: str, after: str) -> str:
    """Both on one line, from a little before they differ."""
    differ = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after))
    begin = max(0, differ - SHOWN)
    texts = [" ".join(text[begin : differ + 2 * SHOWN].split()) for text in (before, after)]
    return f"`{texts[0]}` → `{texts[1]}`" if after else f"without `{texts[0]}`"
