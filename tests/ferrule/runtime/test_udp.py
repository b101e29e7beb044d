"""UDP ports on loopback: what arrives, from where, and which of our addresses answers."""

from __future__ import annotations

import errno
import select
import socket

import pytest

from ferrule.core.ids import Address, Path
from ferrule.runtime.udp import UdpPort, open_natt_port


class Peer:
    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.address = Address(*self.socket.getsockname())

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def read_all(port: UdpPort, count: int) -> list[tuple[Path, bytes]]:
    got: list[tuple[Path, bytes]] = []
    while len(got) < count:
        assert select.select([port], [], [], 5)[0], f"only {len(got)} of {count} came"
        port.read(lambda path, data: got.append((path, data)), 64)
    return got


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_the_path_names_the_address_that_was_reached(bound: str) -> None:
    port = UdpPort(bound, 0, natt=True)
    with Peer() as peer:
        peer.socket.sendto(b"one", ("127.0.0.1", port.local.port))
        ((path, data),) = read_all(port, 1)
        assert data == b"one"
        assert path == Path(peer.address, Address("127.0.0.1", port.local.port), True)
    port.close()


def test_the_answer_leaves_from_the_address_that_was_reached() -> None:
    port = UdpPort("0.0.0.0", 0, natt=False)
    with Peer() as peer:
        peer.socket.sendto(b"hello", ("127.0.0.5", port.local.port))
        ((path, _),) = read_all(port, 1)
        assert path.local.host == "127.0.0.5"
        port.send(path, b"answer")
        assert peer.socket.recvfrom(100) == (b"answer", ("127.0.0.5", port.local.port))
    port.close()


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_a_batch_ends_and_known_peers_keep_their_path(bound: str) -> None:
    port = UdpPort(bound, 0, natt=True)
    with Peer() as peer:
        for number in range(10):
            peer.socket.sendto(bytes([number]), ("127.0.0.1", port.local.port))
        assert select.select([port], [], [], 5)[0]
        seen: list[tuple[Path, bytes]] = []
        assert port.read(lambda path, data: seen.append((path, data)), 4) == 4
        seen += read_all(port, 6)
        assert [data[0] for _, data in seen] == list(range(10))
        assert all(path is seen[0][0] for path, _ in seen)
        assert port.read(lambda *_: None, 4) == 0
    port.close()


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_a_peer_that_is_gone_does_not_end_the_reading(bound: str) -> None:
    """Linux tells a sender of the ICMP error only on a connected socket, but be sure."""
    port = UdpPort(bound, 0, natt=True)
    with Peer() as gone, Peer() as peer:
        path = Path(gone.address, Address("127.0.0.1", port.local.port), True)
        gone.socket.close()
        port.send(path, b"into the void")
        peer.socket.sendto(b"still here", ("127.0.0.1", port.local.port))
        assert [data for _, data in read_all(port, 1)] == [b"still here"]
    port.close()


def test_send_errors_are_counted() -> None:
    port = UdpPort("127.0.0.1", 0, natt=True)
    path = Path(Address("255.255.255.255", 9), port.local, True)
    port.send(path, b"broadcast is not allowed")
    assert port.send_errors == 1
    port.close()


def test_a_taken_port_is_an_error_that_leaks_no_socket() -> None:
    with Peer() as peer, pytest.raises(OSError, match="in use"):
        UdpPort("127.0.0.1", peer.address.port, natt=True)


def test_the_receive_buffer_is_what_the_kernel_granted() -> None:
    port = UdpPort("127.0.0.1", 0, natt=True, receive_buffer=1 << 17)
    assert port.receive_octets == 1 << 17
    port.close()


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_ike_and_esp_of_the_natt_port_queue_apart(bound: str) -> None:
    """More IKE than its buffer holds displaces no ESP; both answer from the one port."""
    esp, ike = open_natt_port(bound, 0, receive_buffer=1 << 16)
    assert ike is not None
    assert esp.local == ike.local
    number = esp.local.port
    with Peer() as peer:
        for _ in range(1000):
            peer.socket.sendto(bytes(4) + b"a message of IKE", ("127.0.0.1", number))
        for data in (b"\x00\x00\x00\x01 an ESP packet", b"\xff", b"", bytes(3)):
            peer.socket.sendto(data, ("127.0.0.1", number))
        heard = read_all(esp, 4)
        assert [data for _, data in heard] == [
            b"\x00\x00\x00\x01 an ESP packet",
            b"\xff",
            b"",
            b"\0\0\0",
        ]
        assert esp.overflowed == 0
        assert ike.overflowed > 0
        assert {data for _, data in read_all(ike, 16)} == {bytes(4) + b"a message of IKE"}
        for port in (esp, ike):
            port.send(heard[0][0], b"answer")
            assert peer.socket.recvfrom(100) == (b"answer", ("127.0.0.1", number))
    esp.close()
    ike.close()


def test_a_second_server_does_not_share_the_natt_port() -> None:
    esp, ike = open_natt_port("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        open_natt_port("127.0.0.1", esp.local.port)
    esp.close()
    assert ike is not None
    ike.close()


def test_without_steering_one_socket_gets_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: UdpPort) -> None:
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    monkeypatch.setattr(UdpPort, "steer_by_marker", refuse)
    both, none = open_natt_port("127.0.0.1", 0)
    assert none is None
    with Peer() as peer:
        for data in (bytes(4) + b"IKE", b"not IKE"):
            peer.socket.sendto(data, ("127.0.0.1", both.local.port))
        assert [data for _, data in read_all(both, 2)] == [bytes(4) + b"IKE", b"not IKE"]
    both.close()


def test_paths_of_strangers_are_not_kept() -> None:
    port = UdpPort("127.0.0.1", 0, natt=False, keep_paths=False)
    with Peer() as peer:
        for _ in range(2):
            peer.socket.sendto(b"again", ("127.0.0.1", port.local.port))
        (one, _), (other, _) = read_all(port, 2)
        assert one == other
        assert one is not other
    port.close()
