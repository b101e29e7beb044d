"""Objects: data of Secrets, what differs, the digest of what was applied."""

from __future__ import annotations

import pytest

from ferrule_operator.names import APPLIED_ANNOTATION
from ferrule_operator.objects import (
    Object,
    annotation,
    data_of,
    differences,
    encoded,
    stamped,
    texts_of,
)
from support.operator import secret


@pytest.mark.parametrize(
    ("wanted", "live", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [".a.b"]),
        ({"a": 1}, {}, [".a"]),
        ({"a": {}, "b": [], "c": "", "d": None, "e": False}, {}, []),
        ({"a": True}, {}, [".a"]),
        ({"a": [{"n": 1}]}, {"a": [{"n": 1, "default": 2}]}, []),
        ({"a": [1, 2]}, {"a": [1]}, [".a"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [".a[1]"]),
        ({"a": {"b": 1}}, {"a": "text"}, [".a"]),
        ({"a": [1]}, {"a": {}}, [".a"]),
    ],
)
def test_differences(wanted: Object, live: Object, paths: list[str]) -> None:
    assert list(differences(wanted, live)) == paths


def test_the_stamp_tells_of_a_field_that_is_wanted_no_more() -> None:
    item: Object = {"kind": "Service", "metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}}
    less: Object = {**item, "spec": {"x": 1}}
    assert list(differences(less, item)) == []
    assert annotation(stamped(item), APPLIED_ANNOTATION) != annotation(
        stamped(less), APPLIED_ANNOTATION
    )
    assert stamped(item) == stamped(stamped(item) | {"metadata": {"name": "a"}})


def test_the_stamp_of_a_secret_says_nothing_of_its_values() -> None:
    one, two = secret("s", {"a": "x"}), secret("s", {"a": "y"})
    two["metadata"] = one["metadata"]
    assert stamped(one)["metadata"] == stamped(two)["metadata"]
    three = {**one, "data": {**one["data"], "b": ""}}
    assert stamped(three)["metadata"] != stamped(one)["metadata"]


def test_data_of_secrets() -> None:
    assert data_of({"data": encoded({"a": "ü"})}) == {"a": "ü".encode()}
    assert texts_of({"data": {**encoded({"a": "ü"}), "b": "//4=", "c": "not base64!"}}) == {
        "a": "ü"
    }
    assert data_of({}) == {}
