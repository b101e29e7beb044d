"""Keys and passwords of a gateway: taken from Secrets, made where there are none, replaced with an
overlap. Pure; a value never gets into a note or a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ferrule_operator import credentials, rendering
from ferrule_operator.conditions import Finding, yes
from ferrule_operator.credentials import Entropy, Overlap, Unusable
from ferrule_operator.events import Note
from ferrule_operator.manifests.child import Parent
from ferrule_operator.manifests.secrets import (
    STORE_KEY,
    STORE_NAMES_KEY,
    generated_psk,
    generated_store_keys,
)
from ferrule_operator.models.references import SecretRef
from ferrule_operator.names import (
    ROTATE_ANNOTATION,
    ROTATE_STORE_ANNOTATION,
    psk_secret,
    store_secret,
)
from ferrule_operator.objects import Object, annotation, owned_by, stamped, version_of
from ferrule_operator.reasons import EventReason, GatewayCondition, Reason
from ferrule_operator.rendering import GatewaySecrets
from ferrule_operator.store_keys import KEY_OCTETS, StoreKeys, next_keys

REMOTE_KEY_OCTETS: Final = 32


@dataclass(slots=True)
class SecretsPlan:
    """What is to be done for them. `wake_at`: Unix seconds at which to look again."""

    create: list[Object] = field(default_factory=list)
    apply: list[Object] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    wake_at: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class SecretsPlanner:
    """`secrets` are all that the gateway may refer to, by name; `live` is the bundle that pods
    run on."""

    def __init__(
        self,
        parent: Parent,
        secrets: Mapping[str, Object],
        live: Mapping[str, str],
        now: float,
        entropy: Entropy,
    ) -> None:
        self.plan = SecretsPlan()
        self._parent = parent
        self._secrets = secrets
        self._live = live
        self._now = now
        self._entropy = entropy

    def run(self) -> GatewaySecrets:
        """Raises Unusable."""
        spec, live = self._parent.spec, self._live
        psk, generated = self._psk()
        overlap = self._overlap(psk)
        store_keys, names_key = self._store_keys()
        tls = spec.store.tls
        secrets = GatewaySecrets(
            psk=psk,
            remote_key=live.get(rendering.REMOTE_KEY) or self._entropy(REMOTE_KEY_OCTETS).hex(),
            previous_psk=overlap.value,
            previous_psk_until=overlap.until,
            tunnel_secret=self._text(spec.l2tp.tunnel_secret_ref),
            store_password=self._text(spec.store.auth_secret_ref),
            store_ca=self._text(tls.ca_secret_ref if tls is not None else None),
            store_keys=store_keys,
            store_names_key=names_key,
        )
        reason = Reason.GENERATED if generated else Reason.PROVIDED
        ref = spec.ipsec.psk_secret_ref
        where = ref.name if ref is not None else psk_secret(self._parent.name)
        found = yes(GatewayCondition.CREDENTIALS_READY, reason, f"Secret {where}")
        self.plan.findings.append(found)
        return secrets

    # --- the pre-shared key

    def _psk(self) -> tuple[str, bool]:
        """The key, and whether it is ours. Raises Unusable."""
        parent = self._parent
        ref = parent.spec.ipsec.psk_secret_ref
        if ref is not None:
            return self._text(ref), False
        name = psk_secret(parent.name)
        secret = self._own(name, "name it in ipsec.pskSecretRef, or delete it")
        if secret is not None and not credentials.wants_rotation(parent.gateway, secret):
            return credentials.text_at(secret, name, "psk"), True
        psk = credentials.make_psk(self._entropy)
        wanted = generated_psk(parent, name, psk, annotation(parent.gateway, ROTATE_ANNOTATION))
        if secret is None:
            self.plan.create.append(wanted)
            text = f"made a pre-shared key, in Secret {name}"
            self._note(EventReason.CREDENTIALS_GENERATED, text)
        else:
            self._replace(secret, wanted)
        return psk, True

    def _overlap(self, psk: str) -> Overlap:
        """What is accepted beside it."""
        times = self._live.get(rendering.CONFIG_OVERLAPS, "")
        kept = Overlap(self._live.get(rendering.PREVIOUS_PSK, ""), rendering.time_in(times, "psk"))
        before = self._live.get(rendering.PSK, "")
        seconds = self._parent.spec.rotation.psk_overlap
        overlap = credentials.overlap_of_text(self._now, psk, before, kept, seconds)
        if before and before != psk:
            left = round(overlap.until - self._now) if overlap.value else 0
            text = f"another pre-shared key; the one before is accepted for {left} s more"
            self._note(EventReason.CREDENTIALS_ROTATED, text)
        if overlap.value:
            self.plan.wake_at.append(overlap.until)
        return overlap

    # --- the keys of what replicas share

    def _store_keys(self) -> tuple[StoreKeys, str]:
        """What seals the shared state, and what hides names in it. Raises Unusable."""
        parent = self._parent
        if parent.spec.store.type != "Valkey":
            return StoreKeys(), ""
        name = store_secret(parent.name)
        secret = self._own(name, "delete it")
        running = rendering.store_keys_of(self._live)
        rotated_for = annotation(parent.gateway, ROTATE_STORE_ANNOTATION)
        if secret is None:
            # Somebody may have deleted it: what lies in the store is sealed by what pods have.
            key = running.key or self._make_key()
            names_key = self._live.get(rendering.STORE_NAMES_KEY) or self._make_key()
            self.plan.create.append(generated_store_keys(parent, key, names_key, rotated_for))
            text = f"made the keys of the shared state, in Secret {name}"
            self._note(EventReason.CREDENTIALS_GENERATED, text)
        else:
            key = credentials.text_at(secret, name, STORE_KEY)
            names_key = credentials.text_at(secret, name, STORE_NAMES_KEY)
            if credentials.wants_rotation(parent.gateway, secret, ROTATE_STORE_ANNOTATION):
                key = self._make_key()
                self._replace(secret, generated_store_keys(parent, key, names_key, rotated_for))
                text = "another key of the shared state, for use as soon as all pods have it"
                self._note(EventReason.CREDENTIALS_ROTATED, text)
        keys = next_keys(self._now, key, running)
        if keys.wake_at:
            self.plan.wake_at.append(keys.wake_at)
        return keys, names_key

    def _make_key(self) -> str:
        return self._entropy(KEY_OCTETS).hex()

    # --- parts

    def _own(self, name: str, otherwise: str) -> Object | None:
        """The gateway's own Secret of that name. Raises Unusable for another's."""
        secret = self._secrets.get(name)
        if secret is not None and not owned_by(secret, self._parent.gateway):
            raise Unusable(
                f"Secret {name} is there already, and is not this gateway's; {otherwise}",
                missing=False,
            )
        return secret

    def _replace(self, before: Object, wanted: Object) -> None:
        """Only if nobody else was quicker."""
        wanted["metadata"]["resourceVersion"] = version_of(before)
        self.plan.apply.append(stamped(wanted))

    def _text(self, ref: SecretRef | None) -> str:
        """What an optional reference refers to. Raises Unusable."""
        if ref is None:
            return ""
        return credentials.text_at(self._secrets.get(ref.name), ref.name, ref.key)

    def _note(self, reason: EventReason, message: str) -> None:
        self.plan.notes.append(Note(self._parent.gateway, reason, message))
