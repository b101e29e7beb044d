"""The IKE endpoint: demultiplexing, and the verbs that the gateway and the client call.

One endpoint serves one gateway, or one client, in either role. It finds the ISAKMP SA of a
message by its cookies and gives it to the exchange's module; errors end here as effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ferrule.core.deadlines import Deadline
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Address, Cookie, IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.ike import (
    dpd,
    informational,
    main_mode,
    main_mode_initiator,
    phase2,
    quick_mode,
    quick_mode_initiator,
)
from ferrule.ike.admission import SWEEP_SECONDS, Admission
from ferrule.ike.effects import IkeEffect, IkeFailed, IsakmpSaDown
from ferrule.ike.header import NO_COOKIE, Header, parse_header
from ferrule.ike.iana import ExchangeType, NotifyType
from ferrule.ike.image import (
    IkeImage,
    ipsec_image,
    ipsec_of,
    isakmp_image,
    isakmp_of,
)
from ferrule.ike.informational_send import send_deletes
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState, SaView
from ferrule.ike.policy import IkePolicy
from ferrule.ike.refusals import clear_notify
from ferrule.ike.sa_table import SaTable
from ferrule.ike.timing import QUICK_MODE_SECONDS
from ferrule.ike.turn import Turn

# Reasons by which the peer knows nothing of the SA any more: a Delete would only be noise.
_SILENT: Final = frozenset({Reason.PEER_DEAD, Reason.INITIAL_CONTACT})
_RECEIVERS: Final = {
    ExchangeType.IDENTITY_PROTECTION: main_mode.receive,
    ExchangeType.QUICK_MODE: quick_mode.receive,
    ExchangeType.INFORMATIONAL: informational.receive,
    ExchangeType.TRANSACTION: informational.receive_transaction,
}


class IkeEndpoint:
    """`policy` may be replaced at any time; it counts for what starts after that."""

    def __init__(
        self,
        policy: IkePolicy,
        entropy: Callable[[int], bytes],
        choose_cookie: Callable[[Path], Cookie],
        choose_spi: Callable[[IsakmpSaId], Spi],
    ) -> None:
        """`choose_cookie` draws a cookie for an exchange over a path; it may raise ProtocolError,
        and the first message is dropped. `choose_spi` draws an inbound SPI for an ISAKMP SA."""
        self.policy = policy
        self._entropy = entropy
        self._choose_cookie = choose_cookie
        self._choose_spi = choose_spi
        self._table = SaTable()
        self._admission = Admission()
        self._sweep_at: float | None = None

    def _turn(self, now: float) -> Turn:
        return Turn(
            self.policy,
            self._entropy,
            self._choose_cookie,
            self._choose_spi,
            self._table,
            self._admission,
            now,
        )

    @property
    def deadline(self) -> Deadline | None:
        """When `expire` has something to do."""
        times = [at for at in (self._table.timers.next, self._sweep_at) if at is not None]
        return Deadline(min(times), "ike") if times else None

    def cookies_of(self, isakmp_sa: IsakmpSaId) -> tuple[Cookie, Cookie] | None:
        """The initiator's and the responder's, of an ISAKMP SA that is here."""
        sa = self._table.isakmp.get(isakmp_sa)
        return None if sa is None else (sa.icookie, sa.rcookie)

    def find(self, icookie: Cookie, rcookie: Cookie) -> IsakmpSaId | None:
        """The ISAKMP SA, up or not, with these cookies."""
        sa = self._table.find(icookie, rcookie)
        return None if sa is None else sa.id

    # --- messages ---

    def receive(self, path: Path, message: bytes, now: float) -> list[IkeEffect]:
        """An ISAKMP message, without the four zero octets of the NAT-T port."""
        turn = self._turn(now)
        try:
            self._dispatch(turn, path, message)
        except ProtocolError as error:
            turn.drop(path, error.reason, error.detail)
        if self._sweep_at is None and self._admission.sources:
            self._sweep_at = now + SWEEP_SECONDS
        return turn.effects

    def _dispatch(self, turn: Turn, path: Path, message: bytes) -> None:
        header = parse_header(message)
        message = message[: header.length]
        if header.major_version != 1:
            self._on_version(turn, path, header, message)
            return
        sa = self._find(path, header)
        if sa is None:
            self._on_stranger(turn, path, header, message)
            return
        receiver = _RECEIVERS.get(header.exchange)  # type: ignore[call-overload]
        if receiver is None:
            raise ProtocolError(Reason.EXCHANGE_TYPE, f"exchange {header.exchange}")
        receiver(turn, sa, path, header, message)

    def _find(self, path: Path, header: Header) -> IsakmpSa | None:
        if header.rcookie == NO_COOKIE:
            first = self._table.find_first(header.icookie, path.peer)
            return first or self._table.find_initiating(header.icookie)
        found = self._table.find(header.icookie, header.rcookie)
        return found or self._table.find_initiating(header.icookie)

    def _on_stranger(self, turn: Turn, path: Path, header: Header, message: bytes) -> None:
        if header.rcookie != NO_COOKIE:
            raise ProtocolError(Reason.UNKNOWN_COOKIE, "")
        if header.exchange == ExchangeType.IDENTITY_PROTECTION:
            main_mode.on_first_message(turn, path, header, message)
        elif header.exchange == ExchangeType.AGGRESSIVE:
            self._refuse(turn, path, header, message, Reason.AGGRESSIVE_MODE)
        elif header.exchange == ExchangeType.TRANSACTION:
            raise ProtocolError(Reason.XAUTH, "a transaction exchange out of the blue")
        else:
            raise ProtocolError(Reason.EXCHANGE_TYPE, f"exchange {header.exchange}")

    def _on_version(self, turn: Turn, path: Path, header: Header, message: bytes) -> None:
        if header.rcookie != NO_COOKIE:
            raise ProtocolError(Reason.IKE_VERSION, f"version {header.major_version}")
        self._refuse(turn, path, header, message, Reason.IKE_VERSION)

    def _refuse(
        self, turn: Turn, path: Path, header: Header, message: bytes, reason: Reason
    ) -> None:
        """Answer a first message that starts nothing; nothing is kept of it."""
        policy = turn.policy
        if not turn.admission.take_token(
            path.peer.host, policy.per_source_rate, policy.per_source_burst, turn.now
        ):
            raise ProtocolError(Reason.SOURCE_RATE, reason.value)
        kind = NotifyType.NO_PROPOSAL_CHOSEN
        if reason is Reason.IKE_VERSION:
            kind = NotifyType.INVALID_MAJOR_VERSION
        reply = clear_notify(header.icookie, turn.choose_cookie(path), kind, turn.fresh_id())
        if len(reply) <= len(message):
            turn.send(path, reply)
        if reason is Reason.IKE_VERSION:
            turn.drop(path, reason, f"version {header.major_version}")
        else:
            turn.fail(path, reason, "")

    # --- time ---

    def expire(self, now: float) -> list[IkeEffect]:
        """What is due at `now`."""
        turn = self._turn(now)
        for kind, number, message_id in self._table.timers.pop_expired(now):
            if kind == "isakmp":
                self._expire_isakmp(turn, IsakmpSaId(number))
            elif kind == "quick":
                self._expire_quick_mode(turn, IsakmpSaId(number), message_id)
            else:
                ipsec = self._table.ipsec.get(Spi(number))
                if ipsec is not None:
                    phase2.remove(turn, ipsec, Reason.PHASE2_EXPIRED, tell_peer=True)
        if self._sweep_at is not None and self._sweep_at <= now:
            self._admission.sweep(now)
            self._sweep_at = now + SWEEP_SECONDS if self._admission.sources else None
        return turn.effects

    def _expire_isakmp(self, turn: Turn, number: IsakmpSaId) -> None:
        sa = self._table.isakmp.get(number)
        if sa is None:
            return
        for name in sa.deadlines.pop_expired(turn.now):
            if number in self._table.isakmp:
                main_mode.on_timer(turn, sa, name)
        if number in self._table.isakmp:
            self._table.rearm(sa)

    def _expire_quick_mode(self, turn: Turn, number: IsakmpSaId, message_id: int) -> None:
        sa = self._table.isakmp.get(number)
        quick = sa.quick_modes.get(message_id) if sa is not None else None
        if sa is not None and quick is not None:
            quick_mode.on_timer(turn, sa, quick)

    # --- orders ---

    def close(self, reason: Reason, now: float) -> list[IkeEffect]:
        """Everything ends: Deletes for all that is up."""
        turn = self._turn(now)
        for sa in list(self._table.isakmp.values()):
            self._close_sa(turn, sa, reason)
        for ipsec in list(self._table.ipsec.values()):
            phase2.remove(turn, ipsec, reason, tell_peer=False)
        return turn.effects

    def close_sa(self, isakmp_sa: IsakmpSaId, reason: Reason, now: float) -> list[IkeEffect]:
        """End an ISAKMP SA with the IPsec SAs that it, or a predecessor that is gone, made."""
        turn = self._turn(now)
        sa = self._table.isakmp.get(isakmp_sa)
        if sa is not None:
            self._close_sa(turn, sa, reason)
        return turn.effects

    def _close_sa(self, turn: Turn, sa: IsakmpSa, reason: Reason) -> None:
        if sa.state is not MainModeState.UP:
            if sa.state is not MainModeState.FAILED:
                turn.effects.append(IkeFailed(sa.path, reason, f"in {sa.state.value}"))
            main_mode.forget(turn, sa)
            return
        ending = self._table.orphans(sa)
        if reason not in _SILENT:
            spis = [ipsec.inbound_spi for ipsec in ending]
            send_deletes(turn, sa, spis, with_isakmp=True)
        for ipsec in ending:
            phase2.remove(turn, ipsec, reason, tell_peer=False)
        self._table.remove_isakmp(sa)
        turn.effects.append(IsakmpSaDown(sa.id, reason, with_ipsec_sas=True))

    def delete_ipsec_sa(self, inbound_spi: Spi, reason: Reason, now: float) -> list[IkeEffect]:
        """End one pair of IPsec SAs."""
        turn = self._turn(now)
        ipsec = self._table.ipsec.get(inbound_spi)
        if ipsec is not None:
            phase2.remove(turn, ipsec, reason, tell_peer=reason not in _SILENT)
        return turn.effects

    def rekey_ipsec_sa(self, inbound_spi: Spi, now: float) -> list[IkeEffect]:
        """Quick Mode by us for a pair that nears its limits. Nothing without an ISAKMP SA."""
        turn = self._turn(now)
        ipsec = self._table.ipsec.get(inbound_spi)
        carrier = self._table.carrier(ipsec) if ipsec is not None else None
        if ipsec is not None and carrier is not None:
            wish = quick_mode_initiator.rekey_wish(carrier, ipsec)
            quick_mode_initiator.start(turn, carrier, wish)
        return turn.effects

    def establish_ipsec_sa(self, isakmp_sa: IsakmpSaId, now: float) -> list[IkeEffect]:
        """Client role: Quick Mode with what the policy offers."""
        turn = self._turn(now)
        sa = self._table.isakmp.get(isakmp_sa)
        if sa is not None and sa.state is MainModeState.UP:
            wish = quick_mode_initiator.client_wish(turn, sa)
            quick_mode_initiator.start(turn, sa, wish)
        return turn.effects

    def initiate(self, path: Path, now: float) -> list[IkeEffect]:
        """Client role: start Main Mode. `IsakmpSaUp` tells when to `establish_ipsec_sa`."""
        turn = self._turn(now)
        main_mode_initiator.start(turn, path)
        return turn.effects

    def heard(self, inbound_spi: Spi, now: float) -> list[IkeEffect]:
        """Authenticated ESP came in: the peer lives, and has read Quick Mode message 2."""
        turn = self._turn(now)
        ipsec = self._table.ipsec.get(inbound_spi)
        if ipsec is None:
            return turn.effects
        ipsec.peer.last_heard = max(ipsec.peer.last_heard, now)
        sa = self._table.isakmp.get(ipsec.isakmp_sa)
        if sa is not None and ipsec.quick_mode is not None:
            quick = sa.quick_modes.get(ipsec.quick_mode)
            if quick is not None:
                phase2.activate(turn, sa, quick, ipsec)
        return turn.effects

    def moved(self, isakmp_sa: IsakmpSaId, path: Path) -> None:
        """The data plane proved a newer address of the peer."""
        sa = self._table.isakmp.get(isakmp_sa)
        if sa is not None and sa.path != path:
            self._table.move(sa, path)

    # --- to another process and back ---

    def export(
        self,
        identity: str,
        isakmp_sas: Iterable[IsakmpSaId],
        spis: Iterable[Spi],
        offset: float,
        now: float,
    ) -> IkeImage:
        """What is carried of these SAs, all of one `identity`. `offset` makes Unix time of the
        caller's clock."""
        isakmp = (self._table.isakmp.get(number) for number in isakmp_sas)
        ipsec = (self._table.ipsec.get(spi) for spi in spis)
        return IkeImage(
            identity,
            tuple(
                isakmp_image(sa, offset, now)
                for sa in isakmp
                if sa is not None and sa.state is MainModeState.UP
            ),
            tuple(ipsec_image(sa, offset) for sa in ipsec if sa is not None),
        )

    def restore(self, image: IkeImage, offset: float, now: float) -> tuple[IsakmpSaId, ...]:
        """Go on with these SAs; none of their cookies and SPIs is here. Returns the new handles, in
        the order of `image.isakmp_sas`."""
        turn, table = self._turn(now), self._table
        numbers: dict[int, IsakmpSaId] = {}
        for one in image.isakmp_sas:
            sa = isakmp_of(one, table.new_id(), image.identity, offset)
            numbers[one.number] = sa.id
            table.add_restored(sa)
            table.join_peer(sa, one.last_heard - offset)
            sa.home = one.home
            for quick in sa.quick_modes.values():
                table.arm_quick_mode(sa, quick, now + QUICK_MODE_SECONDS[0])
        for pair in image.ipsec_sas:
            maker = numbers.setdefault(pair.isakmp_sa, table.new_id())  # it may be gone
            peer = table.peer(image.identity, pair.host)
            table.add_ipsec(ipsec_of(pair, maker, peer, offset))
        restored = tuple(numbers[one.number] for one in image.isakmp_sas)
        for number in restored:
            sa = table.isakmp[number]
            if sa.peer is not None and sa.peer.isakmp[-1] is sa:
                dpd.resume(turn, sa)
            table.rearm(sa)
        return restored

    def forget(self, isakmp_sas: Iterable[IsakmpSaId], spis: Iterable[Spi]) -> None:
        """These go on elsewhere: not a word about them, to nobody."""
        for number in isakmp_sas:
            sa = self._table.isakmp.get(number)
            if sa is not None:
                self._table.remove_isakmp(sa)
        for spi in spis:
            ipsec = self._table.ipsec.get(spi)
            if ipsec is not None:
                self._table.remove_ipsec(ipsec)

    def forget_half_open(self, peer: Address | None = None) -> None:
        """Phase 1 exchanges that are not up, of everybody or of one peer: they begin anew."""
        for sa in list(self._table.isakmp.values()):
            if sa.state is not MainModeState.UP and peer in (None, sa.path.peer):
                self._admission.remove(sa.id)
                self._table.remove_isakmp(sa)

    def sas(self) -> list[SaView]:
        """For status output."""
        return [
            SaView(
                sa.id,
                sa.role.value,
                sa.state.value,
                sa.identity,
                sa.path,
                str(sa.transform) if sa.transform else "",
                sa.natt,
                sa.created,
                tuple(
                    ipsec.inbound_spi
                    for ipsec in (sa.peer.ipsec.values() if sa.peer else ())
                    if ipsec.isakmp_sa == sa.id
                ),
            )
            for sa in self._table.isakmp.values()
        ]
