"""What lies in the store and what crosses the ring is of no use without the keys."""

from __future__ import annotations

import base64
import re
import time

from cluster.rig.cluster import NAMES_KEY, STORE_KEY, Cluster
from cluster.rig.crowd import PASSWORD, Crowd
from cluster.rig.laboratory import PODS, back_address
from cluster.rig.witness import RingWitness
from ferrule.crypto.mschap import nt_password_hash
from interop.rig.peers import Client
from interop.rig.scenario import PASSWORDS, PSK, profile_of
from support.measured import Measured

TO_ADDRESS = 4  # a kind of the ring
PATTERN = "5ec7e75a9d"  # what pings carry


def needles(alice: Client) -> dict[str, bytes]:
    """What nobody may find: name and octets. Texts, and keys as the client's kernel has them."""
    found = {
        "the pre-shared key": PSK.encode(),
        "the store's key": STORE_KEY.encode(),
        "the names' key": NAMES_KEY.encode(),
        "alice's password": PASSWORDS["alice"].encode(),
        "alice's password's hash": nt_password_hash(PASSWORDS["alice"]),
        "the crowd's password": PASSWORD.encode(),
        "a user's name": b"alice",
        "a user's name of the crowd": b"crowd-",
    }
    state = alice.guest.run("ip", "xfrm", "state").output
    keys = re.findall(r"(?:auth-trunc|enc|aead|auth) \S+ 0x([0-9a-f]+)", state)
    assert len(keys) >= 4, state
    for number, key in enumerate(keys):
        found[f"key {number} of the client's kernel"] = bytes.fromhex(key)
    return found


def shapes(octets: bytes) -> dict[str, bytes]:
    """As they are, in hexadecimal and in Base64 digits."""
    return {
        "": octets,
        " in hexadecimal": octets.hex().encode(),
        " in base64": base64.b64encode(octets).rstrip(b"=")[:-1],
        " in UTF-16": octets.decode("latin-1").encode("utf-16-le"),
    }


def search(where: str, haystack: bytes, wanted: dict[str, bytes]) -> list[str]:
    """What was found."""
    return [
        f"{name}{shape} in {where}"
        for name, octets in wanted.items()
        for shape, text in shapes(octets).items()
        if text in haystack
    ]


def _answer_by_way_of_another(cluster: Cluster, address: str) -> None:
    """Inner packets to the client enter a pod that does not have it: they cross the ring."""
    owner = cluster.owner_of("alice")
    other = next(pod for pod in cluster.pods if pod is not owner)
    way = ("via", back_address(other.number))
    cluster.laboratory.web.ip("route", "replace", f"{address}/32", *way)


def test_a_dump_tells_nothing(
    cluster: Cluster, alice: Client, people: Crowd, measured: Measured
) -> None:
    """Set-ups, relays, a planned hand-over and a take-over go by; then both are searched."""
    rings = [RingWitness(cluster.laboratory, number) for number in range(PODS)]
    people.grow(20)
    session = alice.connect(profile_of("alice"))
    _answer_by_way_of_another(cluster, session.address)
    people.traffic(4)
    alice.ping(count=5)
    wanted = needles(alice)
    cluster.balancer.rotate(1)
    alice.guest.run("ping", "-n", "-c", "10", "-i", "0.1", "-p", PATTERN, "198.51.100.2")
    cluster.balancer.rotate(0)
    cluster.laboratory.web.ip("route", "del", f"{session.address}/32")
    assert sum(ring.count(TO_ADDRESS) for ring in rings) >= 15
    dumps = [cluster.store.dump()]
    pod = cluster.owner_of("alice")
    pod.terminate()
    pod.await_end(45)
    cluster.restart(pod)
    cluster.owner_of("alice").kill()
    time.sleep(6)
    dumps.append(cluster.store.dump())
    for ring in rings:
        ring.close()
    said = b"\0".join(datagram.payload for ring in rings for datagram in ring.kept)
    measured.add(
        f"searched {sum(map(len, dumps)) >> 10} kB of the store and {len(said) >> 10} kB of the"
        f" ring for {len(wanted)} secrets"
    )
    assert min(map(len, dumps)) > 10_000
    assert len(said) > 100_000
    found = search("the ring", said, wanted | {"a ping's pattern": bytes.fromhex(PATTERN) * 3})
    outer = {
        "a client's outer address": bytes(map(int, alice.address.split("."))),
        "a client's outer address as text": alice.address.encode(),
    }
    for number, dump in enumerate(dumps):
        found += search(f"dump {number}", dump, wanted | outer)
    assert found == []
    people.leave()


def test_the_search_finds_what_is_there() -> None:
    """A search that finds nothing is worth what it would find."""
    secret = bytes(range(200, 216))
    for shape, text in shapes(secret).items():
        assert search("here", b"..." + text + b"...", {"it": secret})[0] == f"it{shape} in here"
    assert search("here", b"nothing", {"it": secret}) == []
