"""What the operator knows of the cluster: objects by kind and name, and who refers to whom.

Watches put objects in; what the operator writes goes in at once, so that a late event never makes
it write twice. Of Secrets only those are kept that are ours or that a resource refers to. An
object is never replaced by an older version of itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from ferrule_operator.bundles import SHARDS
from ferrule_operator.kinds import KINDS
from ferrule_operator.names import (
    GATEWAY_LABEL,
    MANAGED_BY_LABEL,
    MANAGER,
    config_secret,
    password_secret,
    psk_secret,
    store_secret,
    users_secret,
)
from ferrule_operator.objects import Object, Ref, label, name_of, namespace_of, uid_of, version_of

_DROPPED_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Key(NamedTuple):
    """A gateway, whether or not it exists: what is reconciled as one."""

    namespace: str
    name: str


class Cache:
    """One for the process; not thread-safe."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Object]] = {kind: {} for kind in KINDS}
        self._users: defaultdict[Key, set[str]] = defaultdict(set)
        self._pods: defaultdict[Key, set[str]] = defaultdict(set)
        # Which gateways a Secret matters to, by (namespace, name of the Secret).
        self._needed: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._needs: dict[tuple[str, str, str], frozenset[tuple[str, str]]] = {}
        self._absent: set[tuple[str, str]] = set()  # Secrets that are known not to be there
        # Made by us under our labels, so that the watch finds them: nobody asks for these.
        self._made: set[tuple[str, str]] = set()

    # --- in

    def put(self, item: Object) -> set[Key]:
        """Take a newer version of an object; returns the gateways that it matters to."""
        kind, place = item["kind"], (namespace_of(item), name_of(item))
        before = self._objects[kind].get(place)
        if before is not None and uid_of(before) == uid_of(item) and not _is_newer(item, before):
            return set()
        touched = self._keys_of(before) | self._keys_of(item)
        if kind == "Secret":
            self._absent.discard(place)
            if not touched and not is_ours(item):
                return set()
        self._objects[kind][place] = trimmed(item)
        self._index(kind, place, before, item)
        return touched

    def remove(self, item: Object) -> set[Key]:
        """The object is gone; returns the gateways that it mattered to."""
        kind, place = item["kind"], (namespace_of(item), name_of(item))
        before = self._objects[kind].get(place)
        if before is None or (uid_of(item) and uid_of(before) != uid_of(item)):
            return set()
        touched = self._keys_of(before)
        del self._objects[kind][place]
        self._index(kind, place, before, None)
        if kind == "Secret" and self._needed.get(place):
            self._absent.add(place)
        return touched

    def note_absent(self, namespace: str, name: str) -> None:
        """A Secret that was asked for is not there."""
        if (namespace, name) not in self._objects["Secret"]:
            self._absent.add((namespace, name))

    # --- out

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._objects[kind].get((namespace, name))

    def all_of(self, kind: str) -> Iterator[Object]:
        return iter(tuple(self._objects[kind].values()))

    def count(self, kind: str) -> int:
        return len(self._objects[kind])

    def gateways(self) -> set[Key]:
        """Every gateway that is there, or that a user or a leftover names."""
        gateways = {Key(*place) for place in self._objects["VpnGateway"]}
        return gateways | {key for key, users in self._users.items() if users}

    def users(self, key: Key) -> list[Object]:
        table = self._objects["VpnUser"]
        return [table[key.namespace, name] for name in self._users.get(key, ())]

    def pods(self, key: Key) -> list[Object]:
        table = self._objects["Pod"]
        return sorted((table[key.namespace, name] for name in self._pods.get(key, ())), key=name_of)

    def secrets(self, key: Key) -> dict[str, Object]:
        """All Secrets that matter to the gateway and are there, by name."""
        table = self._objects["Secret"]
        return {
            name: table[namespace, name]
            for namespace, name in self._wanted_secrets(key)
            if (namespace, name) in table
        }

    def unknown_secrets(self, key: Key) -> list[str]:
        """Names of Secrets that matter and were never looked at: ask for them."""
        table = self._objects["Secret"]
        return sorted(
            name
            for namespace, name in self._wanted_secrets(key)
            if (namespace, name) not in table
            and (namespace, name) not in self._absent
            and (namespace, name) not in self._made
        )

    def needs_secret(self, namespace: str, name: str) -> bool:
        """Does a resource refer to it?"""
        return bool(self._needed.get((namespace, name)))

    def children(self, key: Key) -> dict[Ref, Object]:
        """Objects that have, or could have, the names of the gateway's children."""
        found: dict[Ref, Object] = {}
        for ref in child_refs(key):
            item = self._objects[ref.kind].get((ref.namespace, ref.name))
            if item is not None:
                found[ref] = item
        return found

    # --- who refers to whom

    def _wanted_secrets(self, key: Key) -> set[tuple[str, str]]:
        wanted = set(self._needs.get(("VpnGateway", *key), ()))
        for name in self._users.get(key, ()):
            wanted |= self._needs.get(("VpnUser", key.namespace, name), frozenset())
        return wanted

    def _keys_of(self, item: Object | None) -> set[Key]:
        if item is None:
            return set()
        namespace, name = namespace_of(item), name_of(item)
        match item["kind"]:
            case "VpnGateway":
                return {Key(namespace, name)}
            case "VpnUser":
                return {gateway_of_user(item)}
            case "Secret":
                keys = set(self._needed.get((namespace, name), ()))
            case _:
                keys = set()
        owner = label(item, GATEWAY_LABEL) if is_ours(item) else ""
        return keys | ({Key(namespace, owner)} if owner else set())

    def _index(
        self, kind: str, place: tuple[str, str], before: Object | None, after: Object | None
    ) -> None:
        namespace, name = place
        if kind == "VpnUser":
            self._move(self._users, name, before, after, gateway_of_user)
        elif kind == "Pod":
            self._move(self._pods, name, before, after, _gateway_of_child)
        if kind not in ("VpnGateway", "VpnUser"):
            return
        owner = (kind, namespace, name)
        if kind == "VpnUser":
            made = (namespace, password_secret(name))
            self._made.discard(made)
            if after is not None and not _password_ref(after):
                self._made.add(made)
        old = self._needs.pop(owner, frozenset())
        new = frozenset(_secrets_of(after)) if after is not None else frozenset()
        for where in old:
            for key in self._keys_of(before):
                self._release(where, key)
        if after is not None:
            self._needs[owner] = new
            for where in new:
                self._needed[where] |= self._keys_of(after)
        for where in old - new:
            self._drop_if_unneeded(where)

    def _release(self, where: tuple[str, str], key: Key) -> None:
        """One needs the Secret no more; does anybody of the same gateway still?"""
        if where not in self._wanted_secrets(key):
            self._needed[where].discard(key)
            if not self._needed[where]:
                del self._needed[where]

    def _drop_if_unneeded(self, where: tuple[str, str]) -> None:
        if self._needed.get(where):
            return
        self._absent.discard(where)
        secret = self._objects["Secret"].get(where)
        if secret is not None and not is_ours(secret):
            del self._objects["Secret"][where]

    @staticmethod
    def _move(
        table: defaultdict[Key, set[str]],
        name: str,
        before: Object | None,
        after: Object | None,
        key_of: Any,
    ) -> None:
        if before is not None:
            key = key_of(before)
            table[key].discard(name)
            if not table[key]:
                del table[key]
        if after is not None:
            table[key_of(after)].add(name)


def is_ours(item: Object) -> bool:
    return label(item, MANAGED_BY_LABEL) == MANAGER


def gateway_of_user(user: Object) -> Key:
    ref = (user.get("spec") or {}).get("gatewayRef") or {}
    return Key(namespace_of(user), str(ref.get("name", "")))


def _gateway_of_child(item: Object) -> Key:
    return Key(namespace_of(item), label(item, GATEWAY_LABEL))


def child_refs(key: Key) -> Iterable[Ref]:
    """Everything that the operator may make for a gateway, but for users' passwords."""
    namespace, name = key
    for kind in ("Service", "ServiceAccount", "StatefulSet", "NetworkPolicy"):
        yield Ref(kind, namespace, name)
    yield Ref("PodDisruptionBudget", namespace, name)
    yield Ref("Service", namespace, f"{name}-pods")
    for secret in (config_secret(name), psk_secret(name), store_secret(name)):
        yield Ref("Secret", namespace, secret)
    for shard in range(SHARDS):
        yield Ref("Secret", namespace, users_secret(name, shard))


def _secrets_of(item: Object) -> Iterator[tuple[str, str]]:
    """Where the Secrets are that a resource refers to, or that are made for it."""
    namespace, spec = namespace_of(item), item.get("spec") or {}
    if item["kind"] == "VpnUser":
        yield namespace, _password_ref(item) or password_secret(name_of(item))
        return
    name = name_of(item)
    for secret in (config_secret(name), psk_secret(name), store_secret(name)):
        yield namespace, secret
    for shard in range(SHARDS):
        yield namespace, users_secret(name, shard)
    ipsec, l2tp, store = (spec.get(part) or {} for part in ("ipsec", "l2tp", "store"))
    for ref in (
        ipsec.get("pskSecretRef"),
        l2tp.get("tunnelSecretRef"),
        store.get("authSecretRef"),
        (store.get("tls") or {}).get("caSecretRef"),
    ):
        if ref and ref.get("name"):
            yield namespace, str(ref["name"])


def _password_ref(user: Object) -> str:
    """The Secret that a VpnUser names; "" where the operator makes one."""
    source = ((user.get("spec") or {}).get("password") or {}).get("valueFrom") or {}
    return str((source.get("secretKeyRef") or {}).get("name", ""))


def trimmed(item: Object) -> Object:
    """Without what nobody here reads, which is often more than half of it."""
    meta = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    annotations = meta.get("annotations") or {}
    if _DROPPED_ANNOTATION in annotations:
        meta["annotations"] = {k: v for k, v in annotations.items() if k != _DROPPED_ANNOTATION}
    found = {**item, "metadata": meta}
    if item["kind"] == "Pod":
        found["spec"] = {}  # only its status is looked at
    return found


def _is_newer(item: Object, before: Object) -> bool:
    """The API server's versions grow. Where they are no numbers, what comes later is newer."""
    new, old = version_of(item), version_of(before)
    if new.isdecimal() and old.isdecimal():
        return int(new) > int(old)
    return new != old
