"""The log: structlog over the standard library, one JSON object or one coloured line an event.

Secrets cannot be written: `Secret` values, raw octets and fields with telling names are masked,
and tracebacks carry no variables. What peers sent as text cannot move a terminal's cursor or fake
a line: control characters are escaped and long texts cut.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ferrule.core.secret import Secret

MASK: Final = "***"
TEXT_MAX: Final = 2000  # characters
_DEPTH_MAX: Final = 6
_TELLING: Final = frozenset(
    {
        "psk",
        "previous_psk",
        "password",
        "secret",
        "tunnel_secret",
        "verifier",
        "previous_verifier",
        "nt_hash",
        "key",
        "keys",
        "keymat",
        "skeyid",
        "nt_response",
        "challenge",
    }
)
_MULTI_LINE: Final = frozenset({"exception", "stack"})


def configure_logging(
    format: Literal["auto", "json", "console"] = "auto",
    level: str = "info",
    stream: TextIO | None = None,
) -> None:
    """Send all logging of this process to `stream` (standard error). May be called again.

    `auto` is console on a terminal, else JSON. Colours only on a terminal. `level` is that of
    loggers named "ferrule" or "ferrule.*"; others write warnings and errors only."""
    out = stream if stream is not None else sys.stderr
    terminal = out.isatty()
    console = format == "console" or (format == "auto" and terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        mask_secrets,
        tame_texts if console else cut_texts,
        _in_order,
    ]
    renderer: Processor
    if console:
        renderer = structlog.dev.ConsoleRenderer(
            colors=terminal, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        renderer = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger("ferrule").setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A processor: no secret leaves, whatever name it goes by."""
    return _masked_mapping(event, 0)


def tame_texts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A processor for terminals: no control characters, no endless texts."""
    for name, value in event.items():
        if isinstance(value, str):
            multi_line = name in _MULTI_LINE
            event[name] = _escaped(_cut(value, multi_line), multi_line)
    return event


def cut_texts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A processor for JSON, which escapes by itself: no endless texts."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _cut(value, name in _MULTI_LINE)
    return event


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return first | dict(event)


def _masked_mapping(fields: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    return {
        name: MASK
        if str(name).lower() in _TELLING and value is not None
        else _masked(value, depth + 1)
        for name, value in fields.items()
    }


def _masked(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} octets>"
    if depth > _DEPTH_MAX:
        return "..."
    if isinstance(value, Mapping):
        return _masked_mapping(value, depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item, depth + 1) for item in value]
    return value if isinstance(value, logging.LogRecord) else str(value)


def _cut(text: str, multi_line: bool) -> str:
    limit = 10 * TEXT_MAX if multi_line else TEXT_MAX
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _escaped(text: str, multi_line: bool) -> str:
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or (multi_line and char == "\n")
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )
