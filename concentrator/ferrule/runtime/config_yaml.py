"""YAML read into plain values, with the line of each of them (YAML 1.2, one document).

Numbers keep their text, so that `password: 0123` means what was typed. Times stay text. A key
without a value counts as not written. Left out: tags of one's own, several documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from ferrule.runtime.config_problems import ConfigError, Location, Problem, field_path

NODES_MAX: Final = 1_000_000  # aliases of aliases grow without end
_PREFIX: Final = "tag:yaml.org,2002:"


class TypedInt(int):
    """A whole number that remembers how it was written."""

    text: str


class TypedFloat(float):
    """A fraction that remembers how it was written."""

    text: str


class Document:
    """A YAML file. `data` is what it says, in plain values; `line` finds where it says it.

    JSON is YAML, and read far quicker when taken for JSON; its lines are found when asked for.
    """

    def __init__(self, file: Path, text: str) -> None:
        """Raises ConfigError for what is not YAML, for a key that stands twice, for loops."""
        self.file = file
        self._unread = text
        self._left = NODES_MAX
        self._open: set[int] = set()
        if text.startswith("{") and "\\u" not in text:
            try:
                self.data: Any = json.loads(
                    text,
                    object_pairs_hook=_plain_object,
                    parse_int=_typed_int,
                    parse_float=_typed_float,
                    parse_constant=_not_yaml,
                )
            except (ValueError, RecursionError):
                pass  # as YAML it may be right, or its fault can be told with its line
            else:
                return
        root = self._root
        self.data = self._construct(root, ()) if root is not None else {}

    @cached_property
    def _root(self) -> Node | None:
        return self._compose(self._unread)

    def line(self, location: Location) -> int:
        """The line (from 1) of this value; where it is missing, that of what surrounds it. The
        line of `pskFile` also serves for `psk`. 0 for an empty file."""
        node, line = self._root, 1 if self._root is not None else 0
        for part in location:
            pair = _child(node, part)
            if pair is None:
                break
            at, node = pair
            line = at.start_mark.line + 1
        return line

    def problem(self, location: Location, message: str) -> Problem:
        return Problem(self.file, self.line(location), field_path(location), message)

    def _compose(self, text: str) -> Node | None:
        try:
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = ", ".join(part for part in (error.context, error.problem) if part)
            raise ConfigError([self._syntax(mark.line + 1 if mark else 0, what)]) from None
        except ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ConfigError([self._syntax(line, "a character that YAML forbids")]) from None
        except (YAMLError, RecursionError) as error:
            raise ConfigError([self._syntax(0, str(error))]) from None
        return node

    def _syntax(self, line: int, what: str) -> Problem:
        return Problem(
            self.file, line, "", f"not valid YAML: {what}; mind the indentation and the quotes"
        )

    def _fail(self, node: Node, location: Location, message: str) -> ConfigError:
        line = node.start_mark.line + 1
        return ConfigError([Problem(self.file, line, field_path(location), message)])

    def _construct(self, node: Node, location: Location) -> Any:
        self._left -= 1
        if self._left < 0 or id(node) in self._open:
            raise self._fail(
                node, location, "aliases that contain themselves, or too many; write it out"
            )
        if isinstance(node, ScalarNode):
            return self._scalar(node, location)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self._construct(item, (*location, i)) for i, item in enumerate(node.value)]
            assert isinstance(node, MappingNode)
            return self._mapping(node, location)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self._fail(key_node, location, "a field name must be a plain word")
            key = self._text(key_node, location)
            value = self._construct(value_node, (*location, key))
            if key_node.tag == _PREFIX + "merge":
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        raise self._fail(key_node, location, "<< takes a mapping")
                    merged = source | merged
            elif key in own:
                raise self._fail(key_node, (*location, key), "stands twice; keep one of them")
            else:
                own[key] = value
        return {key: value for key, value in (merged | own).items() if value is not None}

    def _scalar(self, node: ScalarNode, location: Location) -> Any:
        text = self._text(node, location)
        match str(node.tag).removeprefix(_PREFIX):
            case "str" | "timestamp":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float" as kind:
                return self._number(text, kind)
            case _:
                raise self._fail(node, location, f"the tag {node.tag} is not known; leave it out")

    def _text(self, node: ScalarNode, location: Location) -> str:
        """JSON writes characters beyond the first 65536 as two halves, and JSON is YAML."""
        text: str = node.value
        if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._fail(node, location, "half a character (a lone surrogate)") from None

    @staticmethod
    def _number(text: str, kind: str) -> TypedInt | TypedFloat | str:
        """Text, where the resolver's patterns are too generous: "-_", or thousands of digits."""
        plain = text.replace("_", "").lower()
        number: TypedInt | TypedFloat
        try:
            if kind == "int":
                prefix = plain.lstrip("+-")[:2]
                number = TypedInt(plain, {"0x": 16, "0o": 8, "0b": 2}.get(prefix, 10))
            else:
                number = TypedFloat(plain.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            return text
        number.text = text
        return number


def _plain_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As `_mapping` does it. Raises ValueError for what the YAML way tells, or knows."""
    found = dict(pairs)
    if len(found) != len(pairs) or "<<" in found:
        raise ValueError
    return {key: value for key, value in found.items() if value is not None}


def _typed_int(text: str) -> TypedInt:
    number = TypedInt(text)
    number.text = text
    return number


def _typed_float(text: str) -> TypedFloat:
    number = TypedFloat(text)
    number.text = text
    return number


def _not_yaml(constant: str) -> float:
    raise ValueError(constant)


def _child(node: Node | None, part: int | str) -> tuple[Node, Node] | None:
    """The node that marks the place (a key, or the item itself), and the value."""
    if isinstance(node, SequenceNode):
        if isinstance(part, int) and part < len(node.value):
            return node.value[part], node.value[part]
        return None
    if not isinstance(node, MappingNode):
        return None
    pairs = dict(_pairs(node))
    return pairs.get(str(part)) or pairs.get(f"{part}File")


def _pairs(node: MappingNode) -> Iterator[tuple[str, tuple[Node, Node]]]:
    """Merged fields first, so that a field of the mapping's own wins in a dict."""
    for key, value in node.value:
        if key.tag == _PREFIX + "merge":
            for source in value.value if isinstance(value, SequenceNode) else [value]:
                if isinstance(source, MappingNode):
                    yield from _pairs(source)
    for key, value in node.value:
        if isinstance(key, ScalarNode) and key.tag != _PREFIX + "merge":
            yield key.value, (key, value)
