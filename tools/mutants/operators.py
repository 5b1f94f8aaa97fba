"""The changes that are made to a module: one operator, constant, keyword or statement at a time."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
}  # fmt: skip
SIGNS = {ast.Not: "dropped not", ast.USub: "sign", ast.Invert: "dropped not"}
PAIRS = (
    ("min", "max"), ("any", "all"), ("argmin", "argmax"), ("floor", "ceil"),
    ("minimum", "maximum"), ("zeros", "ones"),
)  # fmt: skip
SWAPPED = dict([*PAIRS, *((b, a) for a, b in PAIRS)])
NEGATED = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)  # by COMPARED already
BODIES = ("body", "orelse", "finalbody")  # fields with statements
NO_VALUES = ("annotation", "returns", "ctx")  # fields that compute nothing
SILENT = {"__repr__", "__str__"}


class Place(NamedTuple):
    """The statement and the function around a change."""

    statement: ast.stmt
    function: str  # "Class.method", or "" for a statement of the module


class Change(NamedTuple):
    """One change: ``new`` replaces a field of ``owner``, or one item of the field."""

    operator: str
    node: Any  # its line is the line of the change
    owner: ast.AST
    field: str
    index: int | None
    new: Any
    place: Place

    def apply(self) -> Callable[[], None]:
        """Change the tree, and return a function that restores it."""
        if isinstance(self.new, ast.AST):
            ast.copy_location(self.new, self.node)
        value = getattr(self.owner, self.field)
        if self.index is None:
            setattr(self.owner, self.field, self.new)
            return lambda: setattr(self.owner, self.field, value)
        old, value[self.index] = value[self.index], self.new
        return lambda: value.__setitem__(self.index, old)


def changes(tree: ast.Module) -> Iterator[Change]:
    """Yield every change of a module, in the order of its source."""
    return _of_body(tree, "body", "")


def _of_body(owner: ast.AST, field: str, function: str) -> Iterator[Change]:
    for index, node in enumerate(getattr(owner, field)):
        if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_ignored(node):
            continue
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if node.name not in SILENT:
                inner = f"{function}.{node.name}".lstrip(".")
                if isinstance(node, ast.FunctionDef):  # the defaults
                    yield from _of_expression(node.args, Place(node, inner))
                yield from _of_body(node, "body", inner)
            continue
        yield from _of_statement(node, owner, field, index, Place(node, function))


def _of_statement(
    node: ast.stmt, owner: ast.AST, field: str, index: int, place: Place
) -> Iterator[Change]:
    if _has_effect(node):
        yield Change("statement removed", node, owner, field, index, ast.Pass(), place)
    if isinstance(node, ast.Return) and not _is_text(node.value) and not _is_none(node.value):
        none = ast.Return(ast.copy_location(ast.Constant(None), node))
        yield Change("return value", node, owner, field, index, none, place)
    if isinstance(node, ast.Raise):
        return
    for name, value in ast.iter_fields(node):
        if name in BODIES:
            yield from _of_body(node, name, place.function)
        elif name == "handlers":
            for handler in value:
                yield from _of_body(handler, "body", place.function)
        else:
            yield from _of_field(node, name, place)
    if isinstance(node, (ast.If, ast.While)):
        yield from _negation(node, "test", None, node.test, place)
    if isinstance(node, ast.AugAssign) and type(node.op) in COMPUTED and not _is_text(node.value):
        yield Change("arithmetic", node, node, "op", None, COMPUTED[type(node.op)](), place)


def _of_field(owner: ast.AST, field: str, place: Place) -> Iterator[Change]:
    if field in NO_VALUES:
        return
    value = getattr(owner, field)
    for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
        if isinstance(child, ast.AST):
            if not (isinstance(owner, ast.keyword) and owner.arg == "strict"):
                # zip(strict=True) only guards against mistakes
                for operator, new in _in_place_of(child):
                    yield Change(operator, child, owner, field, index, new, place)
            yield from _of_expression(child, place)


def _of_expression(node: ast.AST, place: Place) -> Iterator[Change]:
    if isinstance(node, ast.JoinedStr):
        return
    for name in node._fields:
        yield from _of_field(node, name, place)
    if isinstance(node, ast.Compare):
        for index, op in enumerate(node.ops):
            yield Change("comparison", node, node, "ops", index, COMPARED[type(op)](), place)
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED and not _is_text(node):
        yield Change("arithmetic", node, node, "op", None, COMPUTED[type(node.op)](), place)
    elif isinstance(node, ast.IfExp):
        yield from _negation(node, "test", None, node.test, place)
    elif isinstance(node, ast.comprehension):
        for index, test in enumerate(node.ifs):
            yield from _negation(node, "ifs", index, test, place)
    elif isinstance(node, ast.Slice):
        for name in ("lower", "upper"):
            if getattr(node, name) is not None:
                yield Change("slice bound", node, node, name, None, None, place)
    elif isinstance(node, ast.Call):
        yield from _of_call(node, place)


def _of_call(node: ast.Call, place: Place) -> Iterator[Change]:
    field = "attr" if isinstance(node.func, ast.Attribute) else "id"
    name = getattr(node.func, field, None)
    if name in SWAPPED:
        yield Change("swap", node, node.func, field, None, SWAPPED[name], place)
    for index, keyword in enumerate(node.keywords):
        is_plain = isinstance(keyword.value, (ast.Constant, ast.UnaryOp))
        if is_plain and keyword.arg not in (None, "strict"):
            rest = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield Change("keyword dropped", node, node, "keywords", None, rest, place)


def _negation(
    owner: ast.AST, field: str, index: int | None, test: ast.expr, place: Place
) -> Iterator[Change]:
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], NEGATED):
        return
    if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        new = ast.UnaryOp(ast.Not(), test)
        yield Change("negation", test, owner, field, index, new, place)


def _in_place_of(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield expressions that can replace ``node``, each with the name of the operator."""
    if isinstance(node, ast.Constant):
        for value in _other_constants(node.value):
            yield "constant", ast.Constant(value)
    elif isinstance(node, ast.UnaryOp):
        is_number = isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
        if type(node.op) in SIGNS and not is_number:
            yield SIGNS[type(node.op)], node.operand
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", ast.BoolOp(other, node.values)


def _other_constants(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [value * 2, value / 2] if isinstance(value, float) and value else []


def _has_effect(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, (ast.Call, ast.YieldFrom))
    if isinstance(node, ast.AugAssign):
        return not _is_text(node.value)
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], (ast.Name, ast.Tuple))
    return isinstance(node, (ast.Raise, ast.Continue, ast.Break, ast.Delete))


def _is_ignored(node: ast.stmt) -> bool:
    """Say whether a statement is a docstring or an `if TYPE_CHECKING`."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and _is_text(node.value)


def _is_none(node: ast.AST | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _is_text(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr)
