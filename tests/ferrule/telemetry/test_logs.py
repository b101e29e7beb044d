from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from ferrule.core.credentials import PapProof
from ferrule.core.secret import Secret
from ferrule.telemetry import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The process's logging as it was, with pytest's own handlers."""
    root, ours = logging.getLogger(), logging.getLogger("ferrule")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])
    structlog.reset_defaults()


def log(stream: io.StringIO, format: Any = "json", level: str = "info") -> Any:
    logs.configure_logging(format, level, stream)
    return structlog.get_logger("ferrule.test")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_json_object_a_line_with_the_important_first() -> None:
    out = io.StringIO()
    log(out).info("session up", user="alice", seconds=1.5, routes=["a", "b"], none=None)
    (line,) = lines(out)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "session up",
        "user": "alice",
        "seconds": 1.5,
        "routes": ["a", "b"],
        "none": None,
    }


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_levels(level: str, written: list[str]) -> None:
    out = io.StringIO()
    logger = log(out, level=level)
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
    assert [line["event"] for line in lines(out)] == written


def test_others_are_heard_from_warnings_up_and_by_name() -> None:
    out = io.StringIO()
    log(out, level="debug")
    foreign = logging.getLogger("pyroute2.test")
    foreign.info("quiet")
    foreign.warning("%s of %d", "one", 2, extra={"password": "hunter2"})
    (line,) = lines(out)
    assert (line["event"], line["logger"]) == ("one of 2", "pyroute2.test")
    assert line["password"] == "***"


SECRETS: dict[str, Any] = {
    "psk": "hunter2",
    "Password": b"hunter2",
    "value": Secret(b"hunter2"),
    "listed": [Secret(b"hunter2"), {"verifier": "plain:hunter2"}],
    "nested": {"a": {"b": (Secret(b"hunter2"),)}},
    "octets": b"hunter2",
    "view": memoryview(b"hunter2"),
    "proof": PapProof("alice", Secret(b"hunter2")),
    "deep": [[[[[[[[[Secret(b"hunter2")]]]]]]]]],
}


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("name", SECRETS)
def test_secrets_cannot_be_written(name: str, format: str) -> None:
    out = io.StringIO()
    log(out, format).warning("event", **{name: SECRETS[name]})
    text = out.getvalue()
    assert "event" in text
    assert "hunter2" not in text
    assert b"hunter2".hex() not in text


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_is_written_without_variables(format: str) -> None:
    out = io.StringIO()
    logger = log(out, format)
    password = "hunter" + "2"
    try:
        raise RuntimeError(f"bug {len(password)}")
    except RuntimeError:
        logger.exception("a bug")
    text = out.getvalue()
    assert "RuntimeError: bug 7" in text
    assert "test_logs.py" in text
    assert "hunter2" not in text


HOSTILE = "\x1b[2J\x1b]0;owned\x07\nlevel=critical event=fake\r\x85\u202eevil"


def test_a_peers_text_cannot_move_the_cursor_or_fake_a_line() -> None:
    out = Terminal()
    log(out, "console").info("set-up failed", client=HOSTILE)
    logging.getLogger("other").warning("from %s", HOSTILE)
    text = out.getvalue()
    assert text.count("\n") == 2
    assert "\x1b[2J" not in text
    assert "\x1b]0;" not in text
    assert "\u202e" not in text
    assert "\\x1b]0;owned" in text


def test_json_keeps_texts_whole_and_on_one_line() -> None:
    out = io.StringIO()
    log(out).info("set-up failed", client=HOSTILE, long="x" * 100_000)
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().isascii()
    (line,) = lines(out)
    assert line["client"] == HOSTILE
    assert line["long"].endswith("... (100000 characters)")
    assert len(line["long"]) < 2100


@pytest.mark.parametrize(
    ("format", "stream", "json_lines", "coloured"),
    [
        ("auto", io.StringIO, True, False),
        ("auto", Terminal, False, True),
        ("console", io.StringIO, False, False),
        ("json", Terminal, True, False),
    ],
)
def test_colours_and_lines_for_eyes_only_on_a_terminal(
    format: str, stream: type[io.StringIO], json_lines: bool, coloured: bool
) -> None:
    out = stream()
    log(out, format).info("hello", user="alice")
    assert out.getvalue().startswith("{") == json_lines
    assert ("\x1b[" in out.getvalue()) == coloured


def test_configuring_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    log(first)
    log(second).info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1
