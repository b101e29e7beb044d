"""Collects the tagged remarks of the source: `RFC 2661 5.8:`, `QUIRK(android):`, `DEVIATION:`.

Only comments and docstrings are read. A remark runs from its tag to the end of its comment block or
paragraph, or to the next tag. Its place is the dotted name of what it stands in or in front of, not
a line number, so that the generated pages change only when a remark does.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

_RFC = r"RFC \d+ \d[\d.]*"
TAG = re.compile(
    rf"(?P<rfc>(?:{_RFC}(?:, | and ))*{_RFC}):(?=\s)"
    r"|QUIRK\((?P<quirk>[^)]+)\):(?=\s)"
    r"|(?P<deviation>DEVIATION):(?=\s)"
)


@dataclass(frozen=True, slots=True)
class Remark:
    """`kind` is "rfc", "quirk" or "deviation"; `names` the sections ("RFC 2661 5.8") or clients."""

    kind: str
    names: tuple[str, ...]
    text: str
    place: str


def remarks(package: Path, root: Path) -> Iterator[Remark]:
    """All remarks of the Python files below `package`, in the order of their modules."""
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        blocks = [*_comment_blocks(source), *_docstrings(tree)]
        for first, last, text in sorted(blocks):
            place = ".".join(filter(None, (module, _name_at(tree, first, last))))
            yield from _cut(text, place)


def _cut(text: str, place: str) -> Iterator[Remark]:
    """The remarks of one block; its lines are joined, so a remark is one line of prose."""
    text = " ".join(text.split())
    matches = list(TAG.finditer(text))
    for match, following in zip_longest(matches, matches[1:]):
        end = following.start() if following else len(text)
        kind = match.lastgroup or ""
        named = match[kind]
        if kind == "rfc":
            names: tuple[str, ...] = tuple(re.findall(_RFC, named))
        elif kind == "quirk":
            names = tuple(name.strip() for name in named.split(","))
        else:
            names = ()
        yield Remark(kind, names, text[match.end() : end].strip(), place)


def _comment_blocks(source: str) -> Iterator[tuple[int, int, str]]:
    """(first line, last line, text): comments on lines that follow each other are one block."""
    first = last = 0
    lines: list[str] = []
    alone = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, column = token.start
        is_alone = not token.line[:column].strip()
        if not (lines and line == last + 1 and is_alone and alone):
            if lines:
                yield first, last, "\n".join(lines)
            first, lines = line, []
        last, alone = line, is_alone
        lines.append(token.string.lstrip("#"))
    if lines:
        yield first, last, "\n".join(lines)


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node)
        if text:
            line = node.body[0].lineno
            for paragraph in re.split(r"\n\s*\n", text):
                yield line, line, paragraph


def _name_at(tree: ast.AST, first: int, last: int) -> str:
    """The dotted name of the definitions that hold line `first`, or that begin below `last`."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.stmt):
            continue
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        inside = start <= first <= (node.end_lineno or start)
        if not inside and start != last + 1:
            continue
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                inner = _name_at(node, first, last) if inside else ""
                return f"{node.name}.{inner}" if inner else node.name
            case (
                ast.Assign(targets=[ast.Name(id=name), *_])
                | ast.AnnAssign(target=ast.Name(id=name))
            ):
                return name
            case _ if inside:
                return _name_at(node, first, last)
            case _:
                pass
    return ""
