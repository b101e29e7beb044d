"""What is wrong with a configuration, said so that a person can mend it.

A problem names file, line, field path, what is wrong and the remedy. Errors of pydantic are turned
into these here; values of secret fields never appear in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Location: TypeAlias = tuple[int | str, ...]

SECRET_FIELDS: Final = frozenset(
    {
        "psk",
        "previousPsk",
        "tunnelSecret",
        "password",
        "verifier",
        "previousVerifier",
        "remoteKey",
        "key",
        "previousKey",
        "namesKey",
    }
)
_SHOWN_MAX: Final = 60  # characters of a wrong value in a message


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` counts from 1; 0 where none is known. `field` reads "gateway.pools[0].cidr"."""

    file: Path
    line: int
    field: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """For a log or an exception: "gateway.pools[0].cidr, line 12: ..."."""
        where = self.field or str(self.file)
        return (
            f"{where}, line {self.line}: {self.message}"
            if self.line
            else f"{where}: {self.message}"
        )

    def compiler_style(self) -> str:
        """For a terminal or an editor: "gateway.yaml:12: error: gateway.pools[0].cidr: ..."."""
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        field = f"{self.field}: " if self.field else ""
        return f"{place}: {self.severity}: {field}{self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds the errors and the warnings."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [str(p) for p in self.problems if p.severity is Severity.ERROR]
        super().__init__("; ".join(errors))


def field_path(location: Location) -> str:
    """("gateway", "pools", 0, "cidr") as "gateway.pools[0].cidr"."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else str(part)
    return path


def is_secret(location: Location) -> bool:
    return any(part in SECRET_FIELDS for part in location)


def explain(failure: ValidationError, root: type[BaseModel]) -> list[tuple[Location, str]]:
    """Where, and the sentence for a person, of each error of a `root.model_validate`."""
    errors = failure.errors(include_url=False)
    places = [error["loc"] for error in errors]
    return [
        _explain(error, root)
        for error in errors
        # pydantic counts only the good items of a list
        if error["type"] != "too_short" or not any(_is_below(at, error["loc"]) for at in places)
    ]


def _is_below(location: Location, above: Location) -> bool:
    return len(location) > len(above) and location[: len(above)] == above


def _explain(error: ErrorDetails, root: type[BaseModel]) -> tuple[Location, str]:
    location: Location = error["loc"]
    if error["type"] == "extra_forbidden":
        return location, _explain_unknown(location, root)
    if error["type"] == "missing":
        return location, f"is missing; {_example(location, root)}"
    if error["type"] == "value_error":
        return location, str(error["ctx"]["error"])
    value = _shown(error.get("input"), location)
    return location, _BY_TYPE.get(error["type"], _explain_other)(value, error)


def _shown(value: object, location: Location) -> str:
    if is_secret(location):
        return "this value"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = "true" if value is True else "false" if value is False else repr(value)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."


def _explain_other(value: str, error: ErrorDetails) -> str:
    return f"{value} cannot be used: {error['msg']}"


def _explain_bound(value: str, error: ErrorDetails) -> str:
    words = {
        "ge": "write {} or more",
        "gt": "write more than {}",
        "le": "write {} or less",
        "lt": "write less than {}",
    }
    for key, text in words.items():
        if key in error.get("ctx", {}):
            return f"{value} is out of range; {text.format(error['ctx'][key])}"
    return _explain_other(value, error)


def _explain_literal(value: str, error: ErrorDetails) -> str:
    wanted = error["ctx"]["expected"].replace("'", "")
    return f"{value} is not known; write one of {wanted}"


_BY_TYPE: Final = {
    "model_type": lambda value, _: (
        f"{value} stands where a mapping is expected; write 'field: value' lines below it"
    ),
    "model_attributes_type": lambda value, _: (
        f"{value} stands where a mapping is expected; write 'field: value' lines below it"
    ),
    "dict_type": lambda value, _: (
        f"{value} stands where a mapping is expected; write 'field: value' lines below it"
    ),
    "list_type": lambda value, _: (
        f"{value} stands where a list is expected; write '- item' lines, or [item, item]"
    ),
    "tuple_type": lambda value, _: (
        f"{value} stands where a list is expected; write '- item' lines, or [item, item]"
    ),
    "bool_parsing": lambda value, _: f"{value} is neither true nor false",
    "bool_type": lambda value, _: f"{value} is neither true nor false",
    "int_parsing": lambda value, _: f"{value} is not a whole number",
    "int_type": lambda value, _: f"{value} is not a whole number",
    "int_from_float": lambda value, _: f"{value} is not a whole number",
    "string_type": lambda value, _: f"{value} is not a text; put it into quotes",
    "string_too_long": lambda value, e: f"longer than {e['ctx']['max_length']} characters",
    "string_too_short": lambda value, e: "is empty; write a text",
    "too_short": lambda value, e: f"too few items; write {e['ctx']['min_length']} or more",
    "too_long": lambda value, e: f"too many items; write {e['ctx']['max_length']} or fewer",
    "literal_error": _explain_literal,
    "enum": _explain_literal,
    "greater_than_equal": _explain_bound,
    "greater_than": _explain_bound,
    "less_than_equal": _explain_bound,
    "less_than": _explain_bound,
}


def _explain_unknown(location: Location, root: type[BaseModel]) -> str:
    name = str(location[-1])
    here = model_at(root, location[:-1])
    names = field_names(here) if here is not None else ()
    by_lower = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"there is no such field; did you mean {by_lower[close[0]]}?"
    if elsewhere := _paths_of(name, root):
        return f"there is no such field here; {name} belongs to {elsewhere[0]}"
    return f"there is no such field; the fields here are {', '.join(names)}"


def _example(location: Location, root: type[BaseModel]) -> str:
    name = str(location[-1])
    here = model_at(root, location[:-1])
    if here is not None:
        for key, field in here.model_fields.items():
            if (field.alias or key) == name and field.examples:
                return f"write for example {name}: {field.examples[0]}"
    return f"write {name}: with a value"


def field_names(model: type[BaseModel]) -> tuple[str, ...]:
    """As they stand in the file."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def model_at(root: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The model whose fields stand at `location`, or None."""
    model: type[BaseModel] | None = root
    for part in location:
        if isinstance(part, int):
            continue
        field = next(
            (
                f
                for name, f in (model.model_fields if model else {}).items()
                if (f.alias or name) == part
            ),
            None,
        )
        model = _model_in(field.annotation) if field is not None else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        if (model := _model_in(inner)) is not None:
            return model
    return None


def _paths_of(name: str, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Where in the tree a field of this name stands: the paths of the models that have it."""
    found = []
    for key, field in model.model_fields.items():
        alias = field.alias or key
        if alias == name:
            found.append(prefix or "the top level")
        inner = _model_in(field.annotation)
        if inner is not None:
            found += _paths_of(name, inner, f"{prefix}.{alias}" if prefix else alias)
    return found
