"""Just enough HTTP/1.1 for a GET (RFC 9112): build the request, read the response as it comes.

The body is counted, not kept. Left out: TLS, redirects, compression, anything but GET.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

_HEAD_MAX: Final = 64 * 1024  # octets of status line and headers
_CHUNK_LINE_MAX: Final = 1024


class HttpError(Exception):
    """The response is not one; the text says why."""


@dataclass(frozen=True, slots=True)
class Url:
    """Of scheme http. `target` is what stands in the request line."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        return self.host if self.port == 80 else f"{self.host}:{self.port}"


def parse_url(text: str) -> Url:
    """Raises ValueError, with a text for the person who typed it."""
    parts = urlsplit(text)
    if parts.scheme != "http":
        raise ValueError(f"{text}: only http:// can be fetched through the tunnel")
    if not parts.hostname or parts.username is not None:
        raise ValueError(f"{text}: a host is missing, or credentials are in the URL")
    if ":" in parts.hostname or not parts.hostname.isascii():
        raise ValueError(f"{text}: the host must be an IPv4 address or an ASCII name")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if not target.isascii() or any(c <= " " for c in target):
        raise ValueError(f"{text}: escape blanks and non-ASCII characters with %")
    return Url(parts.hostname, parts.port or 80, target)


def build_get(url: Url) -> bytes:
    return (
        f"GET {url.target} HTTP/1.1\r\nHost: {url.authority}\r\nUser-Agent: ferrule-probe\r\n"
        "Accept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode()


class _Part(Enum):
    HEAD = "head"
    LENGTH = "length"  # a body of known length
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    CHUNK_END = "chunk end"
    TRAILER = "trailer"
    UNTIL_CLOSE = "until close"
    DONE = "done"


@dataclass(slots=True)
class Response:
    """Reads one response. `done` once it is complete; `octets` counts the body so far."""

    status: int = 0
    phrase: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    octets: int = 0
    _part: _Part = _Part.HEAD
    _buffer: bytearray = field(default_factory=bytearray)
    _left: int = 0  # of the body or the chunk

    @property
    def done(self) -> bool:
        return self._part is _Part.DONE

    def feed(self, data: bytes) -> None:
        """Raises HttpError."""
        self._buffer += data
        while self._progress():
            pass

    def finish(self) -> None:
        """The peer closed its side. Raises HttpError if something is missing."""
        if self._part is _Part.UNTIL_CLOSE:
            self._part = _Part.DONE
        if not self.done:
            raise HttpError(f"the connection ended within the {self._part.value}")

    def _progress(self) -> bool:
        """Take the next piece off the buffer; False if it needs more."""
        match self._part:
            case _Part.HEAD:
                return self._take_head()
            case _Part.LENGTH:
                return self._take_body(_Part.DONE)
            case _Part.CHUNK:
                return self._take_body(_Part.CHUNK_END)
            case _Part.CHUNK_SIZE:
                return self._take_chunk_size()
            case _Part.CHUNK_END:
                if (line := self._line()) is None:
                    return False
                if line:
                    raise HttpError("a chunk longer than it says")
                self._part = _Part.CHUNK_SIZE
                return True
            case _Part.TRAILER:
                line = self._line()
                if line == b"":
                    self._part = _Part.DONE
                return line is not None
            case _Part.UNTIL_CLOSE:
                self.octets += len(self._buffer)
                self._buffer.clear()
                return False
            case _Part.DONE:
                self._buffer.clear()
                return False

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _CHUNK_LINE_MAX:
                raise HttpError("a line without an end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_MAX:
                raise HttpError("headers without an end")
            return False
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = lines[0].partition(" ")
        code, _, self.phrase = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not (len(code) == 3 and code.isdecimal()):
            raise HttpError("not an HTTP response")
        self.status = int(code)
        if self.status < 200:
            return True  # RFC 9110 15.2: an interim response; the real one follows
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self._part = self._body()
        return True

    def _body(self) -> _Part:
        """RFC 9112 6.3: how the body ends."""
        if self.status in (204, 304):
            return _Part.DONE
        if self.headers.get("transfer-encoding", "").lower().endswith("chunked"):
            return _Part.CHUNK_SIZE
        length = self.headers.get("content-length")
        if length is None:
            return _Part.UNTIL_CLOSE
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise HttpError("a Content-Length that is no number")
        self._left = int(length)
        return _Part.LENGTH if self._left else _Part.DONE

    def _take_body(self, after: _Part) -> bool:
        taken = min(self._left, len(self._buffer))
        del self._buffer[:taken]
        self.octets += taken
        self._left -= taken
        if self._left:
            return False
        self._part = after
        return True

    def _take_chunk_size(self) -> bool:
        if (line := self._line()) is None:
            return False
        digits = line.partition(b";")[0].strip()
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise HttpError("a chunk size that is no number")
        self._left = int(digits, 16)
        self._part = _Part.CHUNK if self._left else _Part.TRAILER
        return True
