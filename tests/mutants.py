"""Small faults put into source text on purpose, to see whether a comparison of engines would notice them.

`mutants(module, text)` lists every fault of the kinds below that can be put into the functions of a module. Each has a name that
does not change when other lines do, and `chosen` picks by a hash of seed and name: a change elsewhere in the text changes nothing.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise

from simulator.events import Order


@dataclass(frozen=True)
class Mutant:
    """One fault: a piece of text in the place of another."""

    module: str
    function: str
    kind: str
    before: str
    after: str
    line: int
    start: int
    end: int
    """Bytes of the text it takes the place of"""
    turn: int = 0
    """How many like it come before it in the function"""

    def apply(self, text: str) -> str:
        """The module's text with the fault in it."""
        data = text.encode()
        assert data[self.start : self.end].decode() == self.before
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()

    @property
    def name(self) -> str:
        """What it does and where, without a line number."""
        turn = f" ({self.turn + 1})" if self.turn else ""
        return f"{self.module}.{self.function}{turn}: {_short(self.before)} -> {_short(self.after)}"

    @property
    def key(self) -> str:
        """Its name as it is compared."""
        return bare(self.name)


def bare(name: str) -> str:
    """A name without brackets and spaces: versions of Python differ in how they write an expression out."""
    return name.translate(str.maketrans('"', "'", "() "))


def _short(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------------ kinds of faults

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitXor, ast.BitAnd: ast.BitOr,
}  # fmt: skip
OTHERS = {"min": "max", "max": "min", "any": "all", "all": "any"}
NEXT = dict(zip(Order, [*list(Order)[1:], Order.LAW], strict=True))


def _flipped(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Comparisons that take the bound in or leave it out, or turn round."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            other = copy.deepcopy(node)
            other.ops[i] = COMPARISONS[type(op)]()
            yield "comparison", other


def _off_by_one(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Whole numbers one too large."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield "off by one", ast.Constant(node.value + 1)


def _calculated(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Another operation, the smaller for the larger, and for or."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        yield "operation", ast.BinOp(node.left, OPERATIONS[type(node.op)](), node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OTHERS:
        yield "operation", ast.Call(ast.Name(OTHERS[node.func.id]), node.args, node.keywords)
    if isinstance(node, ast.BoolOp):
        yield "condition", ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            yield "condition", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "condition", node.operand


def _ordered(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Another class of what happens in one instant, or two neighbours exchanged in a rank or among arguments."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Order":
        yield "order", ast.Attribute(node.value, NEXT[Order[node.attr]].name)
    items = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
    if len(items) >= 3:
        for i, (one, other) in enumerate(pairwise(items)):
            if ast.dump(one) != ast.dump(other) and not any(isinstance(x, ast.Starred | ast.Slice) for x in (one, other)):
                swapped = copy.deepcopy(node)
                into = swapped.elts if isinstance(swapped, ast.Tuple) else swapped.args  # type: ignore[attr-defined]
                into[i], into[i + 1] = into[i + 1], into[i]
                yield "rank" if isinstance(node, ast.Tuple) else "arguments", swapped  # type: ignore[misc]


KINDS: tuple[Callable[[ast.AST], Iterator[tuple[str, ast.expr]]], ...] = (_flipped, _off_by_one, _calculated, _ordered)


def _does_something(statement: ast.stmt) -> bool:
    """Whether a statement changes state beyond a local name."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    targets = statement.targets if isinstance(statement, ast.Assign | ast.Delete) else getattr(statement, "target", None)
    targets = targets if isinstance(targets, list) else [targets]
    return any(isinstance(part, ast.Attribute | ast.Subscript) for target in targets if target for part in ast.walk(target))


def _calls(statement: ast.stmt) -> bool:
    """Whether a statement is a call: two that only assign may as well be the other way round."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        if isinstance(body := getattr(node, name, None), list) and body and isinstance(body[0], ast.stmt):
            yield body


def mutants(module: str, text: str) -> list[Mutant]:
    """Every fault that can be put into the functions of a module, in the order of the text."""
    lines = text.encode().splitlines(keepends=True)
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line))

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset

    data = text.encode()
    found: list[Mutant] = []

    def add(kind: str, node: ast.expr | ast.stmt, start: int, end: int, after: str) -> None:
        before = data[start:end].decode()
        if _short(before) != _short(after):
            found.append(Mutant(module, function.name, kind, before, after, node.lineno, start, end))

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Assert | ast.Raise) or _is_for_types(node):
            return
        if isinstance(node, ast.expr) and hasattr(node, "lineno"):
            for kind in KINDS:
                for name, other in kind(node):
                    add(name, node, *span(node), f"({ast.unparse(other)})")
        if isinstance(node, ast.If | ast.While) and not isinstance(node.test, ast.Constant):
            add("condition", node.test, *span(node.test), f"(not ({ast.unparse(node.test)}))")
        for body in _bodies(node):
            for i, statement in enumerate(body):
                if _does_something(statement) or isinstance(statement, ast.Break | ast.Continue):
                    add("dropped", statement, *span(statement), "pass")
                if i and _calls(statement) and _calls(before := body[i - 1]):
                    (a, b), (c, d) = span(before), span(statement)
                    add("swapped", before, a, d, (data[c:d] + data[b:c] + data[a:b]).decode())
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.FunctionDef) and (child is node.returns or child is node.args)):
                if isinstance(node, ast.FunctionDef) and child in node.decorator_list:
                    continue
                if isinstance(node, ast.AnnAssign) and child is node.annotation:
                    continue
                visit(child)

    for function in _functions(ast.parse(text)):
        for statement in function.body:
            visit(statement)
        for i, statement in enumerate(function.body):  # `visit` looks at what is inside statements only
            if _does_something(statement):
                add("dropped", statement, *span(statement), "pass")
                if i and _calls(statement) and _calls(before := function.body[i - 1]):
                    (a, b), (c, d) = span(before), span(statement)
                    add("swapped", before, a, d, (data[c:d] + data[b:c] + data[a:b]).decode())
    unique = {(one.start, one.end, one.after): one for one in found}
    turns: Counter[str] = Counter()
    numbered = []
    for one in sorted(unique.values(), key=lambda one: (one.start, one.end, one.kind, one.after)):
        numbered.append(replace(one, turn=turns[one.name]))
        turns[one.name] += 1
    return numbered


def chosen(among: Iterable[Mutant], seed: int, share: float) -> list[Mutant]:
    """About this share of them, each by itself: by a hash of the seed and its name."""

    def draw(one: Mutant) -> float:
        return int.from_bytes(blake2b(f"{seed} {one.key}".encode(), digest_size=8).digest(), "big") / 2**64

    return [one for one in among if draw(one) < share]


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions and methods of a module; what is nested in them belongs to them."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (item for item in node.body if isinstance(item, ast.FunctionDef))


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING"
