"""Carries a deed out in a data plane: each is one call of `Plane`. The gateway's driver and the
client's host share it."""

from __future__ import annotations

from typing import assert_never

from ferrule.dataplane.interface import Plane
from ferrule.gateway import effects as g


def perform(plane: Plane, deed: g.PlaneDeed) -> None:
    match deed:
        case g.SendL2tp():
            plane.send_l2tp(deed.client, deed.message)
        case g.SendPpp():
            plane.send_ppp(deed.client, deed.tunnel, deed.session, deed.frame)
        case g.SendIke():
            plane.send_ike(deed.path, deed.message)
        case g.SendIp():
            plane.send_ip(deed.client, deed.tunnel, deed.session, deed.packet)
        case g.SendKeepalive():
            plane.send_keepalive(deed.client)
        case g.InstallSa():
            plane.install_sa(deed.sa)
        case g.ActivateSa():
            plane.activate_sa(deed.inbound_spi)
        case g.Reserve():
            plane.reserve(deed.inbound_spi, deed.last_sequence)
        case g.RestoreLink():
            plane.restore_link(
                deed.client,
                deed.tunnel,
                deed.session,
                deed.ns,
                deed.octets_up,
                deed.octets_down,
            )
        case g.RemoveSa():
            plane.remove_sa(deed.inbound_spi)
        case g.MoveClient():
            plane.move_client(deed.client, deed.path)
        case g.RemoveClient():
            plane.remove_client(deed.client)
        case g.AddLink():
            plane.add_link(deed.link)
        case g.RemoveLink():
            plane.remove_link(deed.client, deed.tunnel, deed.session)
        case g.BindSession():
            plane.bind_session(deed.session)
        case g.UnbindSession():
            plane.unbind_session(deed.client, deed.tunnel, deed.session)
        case g.SetPolicy():
            plane.set_policy(deed.client, deed.tunnel, deed.session, deed.policy)
        case _:
            assert_never(deed)
