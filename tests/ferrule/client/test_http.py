"""URLs as typed, and responses however they are cut."""

from __future__ import annotations

import pytest

from ferrule.client.http import HttpError, Response, Url, build_get, parse_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://10.0.0.1", Url("10.0.0.1", 80, "/")),
        ("http://intranet:8080/a/b?c=d#e", Url("intranet", 8080, "/a/b?c=d")),
        ("HTTP://Example.COM/", Url("example.com", 80, "/")),
    ],
)
def test_parse_url(text: str, url: Url) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/",
        "example.com",
        "http://",
        "http://user:secret@example.com/",
        "http://[2001:db8::1]/",
        "http://example.com:99999/",
        "http://example.com/a b",
        "http://exämple.com/",
    ],
)
def test_urls_that_cannot_be_fetched(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_url(text)


def test_request() -> None:
    request = build_get(Url("intranet", 8080, "/a"))
    assert request.startswith(b"GET /a HTTP/1.1\r\nHost: intranet:8080\r\n")
    assert request.endswith(b"\r\n\r\n")
    assert b"Connection: close\r\n" in request


RESPONSES = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, False),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, False),
    (b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nsorry", 404, 5, True),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4;x=y\r\nwiki\r\nA\r\n0123456789\r\n0\r\nTrailer: z\r\n\r\n",
        200,
        14,
        False,
    ),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        2,
        False,
    ),
]


@pytest.mark.parametrize(("octets", "status", "body", "until_close"), RESPONSES)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_responses_cut_anywhere(
    octets: bytes, status: int, body: int, until_close: bool, step: int
) -> None:
    response = Response()
    for at in range(0, len(octets), step):
        assert not response.done
        response.feed(octets[at : at + step])
    assert response.done is not until_close
    response.finish()
    assert response.done
    assert (response.status, response.octets) == (status, body)


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
    ],
)
def test_what_is_no_response(octets: bytes) -> None:
    with pytest.raises(HttpError):
        Response().feed(octets)


@pytest.mark.parametrize(
    "octets", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"]
)
def test_an_end_too_early(octets: bytes) -> None:
    response = Response()
    response.feed(octets)
    with pytest.raises(HttpError, match="ended within"):
        response.finish()
