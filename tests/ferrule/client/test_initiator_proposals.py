"""The proposals of built-in clients, played by the initiator against a gateway on its defaults.

Each ends in the choice that the operator's order makes, or in a refusal that names what is weak.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferrule.client.settings import ClientSettings
from ferrule.core.reasons import Reason
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash
from ferrule.gateway.settings import GatewaySettings
from ferrule.ike.iana import (
    KEY_IKE,
    AuthenticationAlgorithm,
    AuthenticationMethod,
    EncapsulationMode,
    EncryptionAlgorithm,
    EspTransform,
    HashAlgorithm,
    Phase1Attribute,
    Phase2Attribute,
)
from ferrule.ike.policy import Phase1Transform, RawTransform
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.runtime.proposals import (
    DEFAULT_PHASE1,
    DEFAULT_PHASE2,
    WEAK_PHASE1,
    parse_phase1,
    parse_phase2,
    phase1_suites,
    phase2_suites,
)
from support.pair import Pair, client_settings, gateway_settings

VECTORS = Path(__file__).parents[2] / "vectors" / "client_proposals.json"
CLIENTS = json.loads(VECTORS.read_text())["clients"]


_HASH_NUMBERS = {
    "md5": HashAlgorithm.MD5,
    "sha1": HashAlgorithm.SHA1,
    "sha256": HashAlgorithm.SHA2_256,
    "sha384": HashAlgorithm.SHA2_384,
}
_ESP_NUMBERS = {
    "md5": AuthenticationAlgorithm.HMAC_MD5,
    "sha1": AuthenticationAlgorithm.HMAC_SHA1,
    "sha256": AuthenticationAlgorithm.HMAC_SHA2_256,
    "sha384": AuthenticationAlgorithm.HMAC_SHA2_384,
}


def phase1_offer(words: str) -> list[Phase1Transform | RawTransform]:
    """What a line of the file puts on the wire."""
    cipher, hash_word, *rest = words.split("-")
    if cipher == "des":
        return [
            RawTransform(
                KEY_IKE,
                (
                    (Phase1Attribute.ENCRYPTION_ALGORITHM, EncryptionAlgorithm.DES_CBC),
                    (Phase1Attribute.HASH_ALGORITHM, _HASH_NUMBERS[hash_word]),
                    (
                        Phase1Attribute.AUTHENTICATION_METHOD,
                        AuthenticationMethod.PRE_SHARED_KEY,
                    ),
                    (Phase1Attribute.GROUP_DESCRIPTION, Group[rest[0].upper()].value),
                ),
            )
        ]
    if "none" in (cipher, hash_word):
        return [
            Phase1Transform(
                None if cipher == "none" else Cipher(cipher),
                None if hash_word == "none" else Hash(hash_word),
                Group[rest[0].upper()],
            )
        ]
    return [Phase1Transform(*suite) for suite in parse_phase1(words)]


def phase2_offer(words: str) -> list[EspSuite | RawTransform]:
    cipher, _, hash_word = words.partition("-")
    if cipher == "des":
        return [
            RawTransform(
                EspTransform.DES,
                (
                    (Phase2Attribute.ENCAPSULATION_MODE, EncapsulationMode.UDP_TRANSPORT),
                    (Phase2Attribute.AUTHENTICATION_ALGORITHM, _ESP_NUMBERS[hash_word]),
                ),
            )
        ]
    return list(parse_phase2(words))


def settings_of(client: dict[str, Any]) -> ClientSettings:
    settings = client_settings(
        offer_phase1=tuple(t for words in client["phase1"] for t in phase1_offer(words)),
        offer_phase2=tuple(t for words in client["phase2"] for t in phase2_offer(words)),
        offer_proposal_each=client["proposal_each"],
        offer_vendor_ids=tuple(client["vendor_ids"]),
        offer_nonce_octets=client["nonce_octets"],
        offer_ike_seconds=client["ike_seconds"],
        offer_esp_seconds=client["esp_seconds"],
        offer_esp_kilobytes=client["esp_kilobytes"],
        offer_local_port=client["local_port"],
        offer_peer_port=client["peer_port"],
        offer_pfs=Group[client["pfs"].upper()] if "pfs" in client else None,
    )
    l2tp = L2tpPolicy(
        host_name="client",
        vendor=client["l2tp"]["vendor"],
        receive_window=client["l2tp"]["window"],
    )
    return replace(settings, l2tp=l2tp)


def gateway_of(allow_weak: str) -> GatewaySettings:
    """As the configuration's defaults make it, with or without `ipsec.allowWeak`."""
    lines = DEFAULT_PHASE1
    if allow_weak == "modp1024":
        lines = (*lines, *WEAK_PHASE1["modp1024"])
    return gateway_settings(
        phase1=tuple(Phase1Transform(*suite) for suite in phase1_suites(lines)),
        phase2=phase2_suites(DEFAULT_PHASE2),
        allow_modp1024=allow_weak == "modp1024",
    )


@pytest.mark.parametrize("allow_weak", ["default", "modp1024"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client["name"])
def test_what_becomes_of_a_client(client: dict[str, Any], allow_weak: str) -> None:
    expected = client["expected"][allow_weak]
    pair = Pair(settings=gateway_of(allow_weak))
    probe = pair.probe(settings_of(client), nat="198.51.100.9")
    assert pair.loop.run(100, lambda: probe.done)
    record = pair.gateway.record
    if isinstance(expected, str):
        reason = Reason(expected.removeprefix("refused:"))
        (failed,) = record.failures
        assert failed.reason is reason
        assert probe.report.trouble is not None
        assert probe.report.trouble.reason in (Reason.NO_PROPOSAL, Reason.NO_PHASE2_PROPOSAL)
        assert "modp1024" in failed.detail  # a person sees what was offered
        return
    assert probe.report.trouble is None
    (phase1,) = record.isakmp_ups
    (phase2,) = record.ipsec_ups
    assert (phase1.suite, phase2.suite) == (expected["phase1"], expected["phase2"])
    steps = {step.step.value: step.facts for step in probe.report.steps}
    assert steps["phase1"]["suite"] == expected["phase1"]
    assert steps["phase2"]["suite"] == expected["phase2"]
    assert steps["ping"]["received"] == 3


def test_every_vector_says_where_it_comes_from() -> None:
    assert all(client["source"] for client in CLIENTS)
    names = " ".join(client["name"] for client in CLIENTS)
    for family in ("Windows", "macOS", "iOS", "Android", "ChromeOS", "NetworkManager"):
        assert family in names
