from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.runtime.config_problems import ConfigError
from ferrule.runtime.config_yaml import Document, TypedInt

FILE = Path("gateway.yaml")

TEXT = """\
# a comment
a: 1
b:
  - x: "two"
    y: 2027-01-31

  - {x: 0123, z: [1.50, yes, true, 0x1F, 1_000]}
nothing:
base: &base
  k: 1
  l: 2
derived:
  <<: *base
  l: 3
"""


def test_values_and_lines() -> None:
    document = Document(FILE, TEXT)
    assert document.data == {
        "a": 1,
        "b": [
            {"x": "two", "y": "2027-01-31"},
            {"x": 123, "z": [1.5, "yes", True, 31, 1000]},
        ],
        "base": {"k": 1, "l": 2},
        "derived": {"k": 1, "l": 3},
    }
    for location, line in (
        (("a",), 2),
        (("b",), 3),
        (("b", 0), 4),
        (("b", 0, "y"), 5),
        (("b", 1, "z", 2), 7),
        (("b", 0, "missing"), 4),
        (("b", 5), 3),
        (("nothing",), 8),
        (("derived", "l"), 14),
        (("derived", "k"), 10),
        (("elsewhere",), 1),
        ((), 1),
    ):
        assert document.line(location) == line, location


def test_numbers_keep_their_text() -> None:
    data = Document(FILE, "[0123, 1.50, 0x1F]").data
    assert isinstance(data[0], TypedInt)
    assert [item.text for item in data] == ["0123", "1.50", "0x1F"]


def test_json_is_yaml_with_its_halves_of_characters() -> None:
    assert Document(FILE, json.dumps({"a": "🔑"})).data == {"a": "🔑"}


@pytest.mark.parametrize("text", ["-_", "._", "0x_", "9" * 5000])
def test_what_only_looks_like_a_number_is_text(text: str) -> None:
    assert Document(FILE, f"a: {text}").data == {"a": text}


def test_psk_has_the_line_of_psk_file() -> None:
    assert Document(FILE, "\n\npskFile: x\n").line(("psk",)) == 3


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_nothing_is_an_empty_mapping(text: str) -> None:
    assert Document(FILE, text).data in ({}, None)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: [1,\n", 3, "not valid YAML"),
        ("a:\n\tb: 1\n", 2, "mind the indentation"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a: 1\nb: 2\na: 3\n", 3, "stands twice"),
        ("a: {b: 1, b: 2}\n", 1, "stands twice"),
        ("--- 1\n--- 2\n", 2, "single document"),
        ("a: 1\nb: \x01\n", 2, "a character that YAML forbids"),
        ("a: !secret x\n", 1, "the tag !secret is not known"),
        ("? [1]\n: 2\n", 1, "a plain word"),
        ("a: &a [*a]\n", 1, "contain themselves"),
        ("a: *b\n", 1, "undefined alias"),
        ('a: "\\ud800"\n', 1, "half a character"),
        ('a: 1\n"\\udc00": 1\n', 2, "half a character"),
        ("<<: 5\n", 1, "<< takes a mapping"),
        ("[" * 1500, 0, "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        Document(FILE, text)
    (problem,) = error.value.problems
    assert problem.line == line
    assert says in problem.message


def test_a_bomb_of_aliases_is_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    with pytest.raises(ConfigError, match="too many"):
        Document(FILE, bomb)


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet="ab:-[]{}&*!|>'\"#%@,?<~=0.1 \n\t\\\x00é", max_size=40) | st.text(max_size=30)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert Document(FILE, text).line(("a", 0)) >= 0


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=6), JSON_VALUES, max_size=5), st.booleans())
def test_json_is_read_alike_in_both_ways(data: dict[str, object], escaped: bool) -> None:
    """A line break in front keeps it from being taken for JSON."""
    text = json.dumps(data, ensure_ascii=escaped)
    if any(mark in text for mark in "\x85\u2028\u2029"):
        return  # bare, these end a line in YAML, which folds them to a blank
    with contextlib.suppress(ConfigError):  # YAML forbids characters that JSON allows
        assert Document(FILE, text).data == Document(FILE, "\n" + text).data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": {"b": 1,\n "b": 2}}', "twice"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"a": ', "not valid YAML"),
    ],
)
def test_faults_of_json_are_told_with_their_lines(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Document(FILE, text)
    assert caught.value.problems[0].line == text.count("\n") + 1


def test_json_keeps_what_was_typed_and_knows_its_lines() -> None:
    document = Document(
        FILE, '{"users": [\n{"password": 1.50, "n": 7, "none": null},\n{"n": 8}\n]}'
    )
    first = document.data["users"][0]
    assert (first["password"].text, first["n"].text) == ("1.50", "7")
    assert isinstance(first["n"], TypedInt)
    assert "none" not in first
    assert document.line(("users", 1, "n")) == 3
    assert Document(FILE, '{"a": NaN}').data == {"a": "NaN"}
