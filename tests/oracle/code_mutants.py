"""
Bugs for the judge's code, made by machine: each is one small change of a module's syntax tree.

What is mutated is whatever decides: comparisons and their boundaries, numbers, keys and names that come in pairs, signs,
branches, and statements that keep or report something. A mutant's id says where and what, and stays the same while the
code around it changes. Texts that only people read are left alone.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "harness" / "sora_stats_harness"

LEFT_ALONE: Final = {
    "judge/__init__.py": "is empty",
    "judge/accelerator.py": "is the bridge to the code in C, which has planted bugs of its own",
    "judge/checks/__init__.py": "gives names",
    "judge/checks/relation_table.py": "is a table, which the reference has a second time",
    "judge/drift.py": "words a report",
    "judge/incident_evidence.py": "changes no status",
    "judge/incidents.py": "changes no status",
    "judge/requirement.py": "is data",
    "judge/requirements.py": "is a list",
    "judge/standard_checks.py": "is a list",
    "judge/value_text.py": "words a report",
    "judge/verdict.py": "is data",
}
"""Modules of the judge in which no bugs are planted, and why."""

PAIRS: Final = (
    ("after", "before"),
    ("client_id", "channel_id"),
    ("earlier", "later"),
    ("early", "late"),
    ("first", "last"),
    ("high", "low"),
    ("high_from", "low_from"),
    ("left", "right"),
    ("newer", "older"),
    ("newer_ns", "older_ns"),
    ("received_ns", "sent_ns"),
)
"""Names of attributes that one may take for each other."""

OPPOSITES: Final = {name: other for one, two in PAIRS for name, other in ((two, one), (one, two))}
SWAPPED_CALLS: Final = {"max": "min", "min": "max", "any": "all", "all": "any"}

_Comparison = type[ast.cmpop]
BOUNDARIES: Final[dict[_Comparison, _Comparison]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
COMPARISONS: Final[dict[_Comparison, _Comparison]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeMutant:
    """One change of one module."""

    module: str
    """Its path in the package."""
    function: str
    """The qualified name of the outermost function that is changed; of a constant, its name."""
    operator: str
    before: str
    after: str
    occurrence: int
    """Among those that the rest doesn't tell apart."""
    lines: tuple[int, int]
    make: Callable[[], ast.Module]
    """Gives the module as it is with the change."""

    @property
    def id(self) -> str:
        """Where and what, in one line."""
        again = f" ({self.occurrence})" if self.occurrence > 1 else ""
        return f"{self.module} {self.function}: {self.operator}: {self.before} -> {self.after}{again}"


Change = tuple[str, str, Callable[[ast.AST], ast.AST]]
"""An operator, what comes out in words, and how to make it of the node."""


def modules() -> list[str]:
    """The modules that decide, by their paths in the package."""
    found = [path.relative_to(PACKAGE).as_posix() for path in sorted((PACKAGE / "judge").rglob("*.py"))]
    return ["api/strict_json.py", *(path for path in found if path not in LEFT_ALONE)]


@cache
def mutants() -> tuple[CodeMutant, ...]:
    """All of them, in the order of the code."""
    return tuple(mutant for module in modules() for mutant in mutants_of(module))


def drawn(one_in: int) -> list[CodeMutant]:
    """About one in so many of each module's, by the hash of their ids; of each at least one."""
    by_module: dict[str, list[CodeMutant]] = {}
    for mutant in mutants():
        by_module.setdefault(mutant.module, []).append(mutant)
    chosen: set[str] = set()
    for each in by_module.values():
        ids = sorted((mutant.id for mutant in each), key=lambda name: hashlib.sha256(name.encode()).digest())
        chosen.update(ids[: -(-len(ids) // one_in)])
    return [mutant for mutant in mutants() if mutant.id in chosen]


@cache
def parse(module: str) -> ast.Module:
    """A module as it was when it was first looked at."""
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def mutants_of(module: str) -> Iterator[CodeMutant]:
    """Those of one module."""
    tree = parse(module)
    counted: Counter[tuple[str, ...]] = Counter()
    for function, path, node in _places(tree):
        for operator, after, make in _changes(node, _parents(tree, path)):
            before = _text(node)
            key = (function, operator, before, after)
            counted[key] += 1
            yield CodeMutant(
                module=module,
                function=function,
                operator=operator,
                before=before,
                after=after,
                occurrence=counted[key],
                lines=(node.lineno, node.end_lineno or node.lineno),
                make=partial(_changed, tree, path, make),
            )


OPERATORS: Final = ("boundary", "branch", "call", "comparison", "key", "sign")

Step = tuple[str, int | None]
"""A field of a node, and the place in it where it is a list."""
_Code = ast.expr | ast.stmt


def _places(tree: ast.Module) -> Iterator[tuple[str, tuple[Step, ...], _Code]]:
    """Every statement and expression of a function, and the values of constants: the function, the way to it, the node."""
    for place, node in enumerate(tree.body):
        way: tuple[Step, ...] = (("body", place),)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            if isinstance(node.value, ast.Constant | ast.BinOp):
                yield node.target.id, (*way, ("value", None)), node.value
        elif isinstance(node, ast.FunctionDef):
            yield from _inside(node.name, way, node)
        elif isinstance(node, ast.ClassDef):
            for number, member in enumerate(node.body):
                if isinstance(member, ast.FunctionDef):
                    yield from _inside(f"{node.name}.{member.name}", (*way, ("body", number)), member)


def _inside(function: str, way: tuple[Step, ...], node: ast.AST) -> Iterator[tuple[str, tuple[Step, ...], _Code]]:
    for name, value in ast.iter_fields(node):
        if name in ("args", "returns", "annotation", "decorator_list") and not isinstance(node, ast.Call):
            continue
        for place, below in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(below, ast.AST) or isinstance(below, ast.Assert | ast.Raise | ast.JoinedStr):
                continue
            path = (*way, (name, place))
            if isinstance(below, ast.expr | ast.stmt):
                yield function, path, below
            yield from _inside(function, path, below)


def _parents(tree: ast.AST, path: tuple[Step, ...]) -> list[tuple[ast.AST, str]]:
    """The nodes above, nearest first, each with the field that leads down."""
    found: list[tuple[ast.AST, str]] = []
    for name, place in path:
        found.append((tree, name))
        below = getattr(tree, name)
        tree = below if place is None else below[place]
    return found[::-1]


def _changed(tree: ast.Module, path: tuple[Step, ...], make: Callable[[ast.AST], ast.AST]) -> ast.Module:
    """A copy of the module with one node replaced; only the statement around it is copied deeply."""
    first, rest = path[0], path[1:]
    body = list(tree.body)
    assert first[1] is not None, "a module's body is a list"
    above: ast.AST = deepcopy(body[first[1]])
    body[first[1]] = above  # type: ignore[call-overload]  # a statement
    for name, place in rest[:-1]:
        below = getattr(above, name)
        above = below if place is None else below[place]
    name, place = rest[-1]
    node = getattr(above, name) if place is None else getattr(above, name)[place]
    made = make(node)
    ast.copy_location(made, node)
    for each in ast.walk(made):
        if isinstance(each, ast.expr | ast.stmt) and not hasattr(each, "lineno"):
            ast.copy_location(each, node)
    if place is None:
        setattr(above, name, made)
    else:
        getattr(above, name)[place] = made
    return ast.Module(body=body, type_ignores=[])


def _text(node: ast.AST) -> str:
    """A node in one line; of a long statement its beginning."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else text[:87] + "..."


# -- operators --------------------------------------------------------------------------------------------------------


def _changes(node: _Code, parents: list[tuple[ast.AST, str]]) -> Iterator[Change]:
    """What can be made of a node."""
    above, field = parents[0]
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from _compared(node, tested=field == "test")
    elif isinstance(node, ast.Constant):
        yield from _constant(node, parents)
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        yield from _arithmetic(node)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        if (other := OPPOSITES.get(node.attr)) is not None:
            yield "key", f".{other}", lambda each: ast.Attribute(value=each.value, attr=other, ctx=ast.Load())  # type: ignore[attr-defined]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SWAPPED_CALLS:
        yield "sign", SWAPPED_CALLS[node.func.id], _renamed
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield "sign", _text(node.operand), lambda each: each.operand  # type: ignore[attr-defined]
    elif isinstance(node, ast.BoolOp):
        for place, operand in enumerate(node.values):
            if isinstance(operand, ast.Constant):
                continue  # `x or ""`, for the types
            rest = [each for each in range(len(node.values)) if each != place]
            yield "branch", f"without {_text(operand)}", lambda each, rest=rest: _without(each, rest)  # type: ignore[misc]
    if field == "test" and isinstance(above, ast.If | ast.IfExp | ast.While):
        if not isinstance(above, ast.While):
            yield "branch", "True", lambda _: ast.Constant(value=True)
        yield "branch", "False", lambda _: ast.Constant(value=False)
    elif field == "ifs":
        yield "branch", "no filter", lambda _: ast.Constant(value=True)
    elif isinstance(node, ast.stmt) and not (
        isinstance(node, ast.Assign) and any(_is_init(each) for each, _ in parents)
    ):
        yield from _dropped(node)


def _is_init(node: ast.AST) -> bool:
    """Where what is dropped makes every use raise."""
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _compared(node: ast.Compare, *, tested: bool) -> Iterator[Change]:
    """The same with another operator; where a branch depends on it alone, that is taken always and never besides."""
    for name, table in (("boundary", BOUNDARIES), ("comparison", COMPARISONS)):
        other = table.get(type(node.ops[0]))
        if other is not None and not (tested and name == "comparison"):

            def make(each: ast.AST, other: _Comparison = other) -> ast.AST:
                assert isinstance(each, ast.Compare), "it was one"
                return ast.Compare(left=each.left, ops=[other()], comparators=each.comparators)

            yield name, _text(make(node)), make


def _constant(node: ast.Constant, parents: list[tuple[ast.AST, str]]) -> Iterator[Change]:
    value = node.value
    above, field = parents[0]
    if isinstance(above, ast.Expr) or any(ast.unparse(each) == "-2 ** 63" for each, _ in parents[1:2]):
        return  # a docstring; a time before all times, which `-(2**62)` would be as well
    new: object
    if isinstance(value, bool):
        operator, new = "sign", not value
    elif isinstance(value, int):
        if isinstance(above, ast.Subscript) and field == "slice":
            operator, new = "key", 1 if value == 0 else 0
        elif isinstance(above, ast.UnaryOp):
            return
        else:
            operator, new = "boundary", value + 1 if abs(value) < 1000 else value * 2
    elif isinstance(value, str) and _is_key(parents):
        operator, new = "key", value + "_"
    else:
        return
    yield operator, repr(new), lambda _: ast.Constant(value=new)


def _is_key(parents: list[tuple[ast.AST, str]]) -> bool:
    """Whether a text names something, and isn't only read by people."""
    above, field = parents[0]
    if isinstance(above, ast.Subscript):
        return field == "slice"
    if isinstance(above, ast.Compare):
        return True
    if isinstance(above, ast.Call) and isinstance(above.func, ast.Attribute):
        return above.func.attr in ("get", "startswith", "endswith", "place", "pop")
    if isinstance(above, ast.Tuple) and len(parents) > 1:
        around, _ = parents[1]
        return isinstance(around, ast.Compare) or (isinstance(around, ast.keyword) and around.arg in ("field", "place"))
    return False


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[Change]:
    other = ARITHMETIC.get(type(node.op))
    if other is None:
        return

    def make(each: ast.AST) -> ast.AST:
        if isinstance(each, ast.BinOp):
            return ast.BinOp(left=each.left, op=other(), right=each.right)
        assert isinstance(each, ast.AugAssign), "it is one or the other"
        return ast.AugAssign(target=each.target, op=other(), value=each.value)

    if not isinstance(node, ast.AugAssign) or not isinstance(node.value, ast.List | ast.Call | ast.ListComp):
        yield "sign", _text(make(node)), make


def _renamed(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name), "it was one"
    other = ast.copy_location(ast.Name(id=SWAPPED_CALLS[node.func.id], ctx=ast.Load()), node)
    return ast.Call(func=other, args=node.args, keywords=node.keywords)


def _without(node: ast.AST, rest: list[int]) -> ast.AST:
    assert isinstance(node, ast.BoolOp), "it was one"
    kept = [node.values[place] for place in rest]
    return kept[0] if len(kept) == 1 else ast.BoolOp(op=node.op, values=kept)


def _dropped(node: ast.stmt) -> Iterator[Change]:
    """A statement that isn't executed: a call, something that is kept, a violation that is given, a way out."""
    if isinstance(node, ast.Expr):
        if isinstance(node.value, ast.Call | ast.Yield | ast.YieldFrom):
            yield "call", "nothing", _never
    elif isinstance(node, ast.Assign):
        if any(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            yield "call", "nothing", _never
    elif isinstance(node, ast.AugAssign):
        yield "call", "nothing", _never
    elif isinstance(node, ast.Delete | ast.Continue | ast.Break):
        yield "branch", "nothing", _never


def _never(node: ast.AST) -> ast.AST:
    """Kept where it isn't reached: a generator stays one, and a method that calls `super` still knows its class."""
    assert isinstance(node, ast.stmt), "it was one"
    return ast.If(test=ast.Constant(value=False), body=[node], orelse=[])
