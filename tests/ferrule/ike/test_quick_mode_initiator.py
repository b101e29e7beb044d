"""Quick Mode as initiator: rekeys by the gateway."""

import pytest

from ferrule.core.reasons import Reason
from ferrule.crypto.suites import Group
from ferrule.ike.effects import (
    ActivateIpsecSa,
    IkeFailed,
    InstallIpsecSa,
    RemoveIpsecSa,
)
from support.ike import keys_agree, policy, stop_after, up


@pytest.mark.parametrize("pfs", [None, Group.ECP256])
@pytest.mark.parametrize("port", [1701, 53_712, 0])
def test_rekey_by_us(pfs: Group | None, port: int) -> None:
    link = up(policy(offer_pfs=pfs, offer_local_port=port))
    old, old_client = link.server.only(InstallIpsecSa), link.client.only(InstallIpsecSa)
    link.run(link.server, link.server.ike.rekey_ipsec_sa(old.inbound_spi, link.now))
    new = link.server.of(InstallIpsecSa)[-1]
    assert link.server.of(ActivateIpsecSa)[-1].replaces == old.inbound_spi
    assert (new.suite, new.local_port, new.peer_port) == (old.suite, 1701, port)
    assert new.life_seconds == old.life_seconds
    assert new.inbound_key.reveal() != old.inbound_key.reveal()
    if port == 1701:  # the client's selector checks are those of a server
        assert link.client.of(ActivateIpsecSa)[-1].replaces == old_client.inbound_spi
    keys_agree(link)
    assert link.server.ike.rekey_ipsec_sa(99, link.now) == []  # type: ignore[arg-type]


def test_message_2_is_repeated_and_then_given_up() -> None:
    link = up(server=policy(dpd_seconds=0), quick=False)
    stop_after(link, 1)
    link.quick()
    link.advance(60)
    assert link.server.only(IkeFailed).reason is Reason.PHASE2_TIMEOUT
    assert link.server.only(RemoveIpsecSa).reason is Reason.PHASE2_TIMEOUT
    second = [m for name, _, m in link.log[6:] if name == "server"]
    assert len(second) >= 4
    assert len(set(second[:4])) == 1
    assert link.client.of(IkeFailed)[0].reason is Reason.PHASE2_TIMEOUT
