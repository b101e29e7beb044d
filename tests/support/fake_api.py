"""The API server as far as the operator's reconciler needs it, in memory: for faults at a chosen
moment. The tests in tests/kubernetes have the real one."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from ferrule_operator.api import ApiError
from ferrule_operator.kinds import KINDS, Kind
from ferrule_operator.objects import Object, Ref, namespace_of, ref_of


class FakeApi:
    """Objects by reference. `fault` may raise ApiError before a call: (verb, ref)."""

    def __init__(self, *items: Object) -> None:
        self._versions = itertools.count(1000)
        self.objects: dict[Ref, Object] = {}
        self.calls: list[tuple[str, Ref]] = []
        self.fault: Callable[[str, Ref], None] = lambda verb, ref: None
        for item in items:
            self.put(item)

    def put(self, item: Object) -> Object:
        """Store as the server does: with uid, version and generation."""
        ref = ref_of(item)
        before = self.objects.get(ref)
        meta = dict(item["metadata"])
        if before is not None:
            meta["uid"] = before["metadata"]["uid"]
        meta.setdefault("uid", f"{ref.kind}-{ref.name}-uid")
        meta["resourceVersion"] = str(next(self._versions))
        generation = before["metadata"].get("generation", 1) if before else 1
        if before is not None and before.get("spec") != item.get("spec"):
            generation += 1
        meta["generation"] = generation
        stored = {**copy.deepcopy(item), "metadata": meta}
        if before is not None and "status" in before and "status" not in stored:
            stored["status"] = before["status"]
        self.objects[ref] = stored
        return copy.deepcopy(stored)

    def writes(self) -> list[str]:
        return [f"{verb} {ref}" for verb, ref in self.calls if verb not in ("get", "list")]

    def _called(self, verb: str, ref: Ref) -> None:
        self.calls.append((verb, ref))
        self.fault(verb, ref)

    # --- as Api

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        ref = Ref(kind.name, namespace, name)
        self._called("get", ref)
        found = self.objects.get(ref)
        return copy.deepcopy(found) if found is not None else None

    async def list_all(
        self, kind: Kind, namespace: str = "", selector: str = "", *, metadata_only: bool = False
    ) -> list[Object]:
        self._called("list", Ref(kind.name, namespace, ""))
        wanted = dict(
            pair.partition("=")[::2] for pair in (selector or kind.selector).split(",") if pair
        )
        found = []
        for ref, item in self.objects.items():
            labels = item["metadata"].get("labels") or {}
            if ref.kind != kind.name or namespace not in ("", ref.namespace):
                continue
            if any(labels.get(name) != value for name, value in wanted.items()):
                continue
            item = copy.deepcopy(item)
            if metadata_only:
                item = {key: item[key] for key in ("apiVersion", "kind", "metadata")}
            found.append(item)
        return found

    async def apply(self, wanted: Object) -> Object:
        ref = ref_of(wanted)
        self._called("apply", ref)
        before, version = self.objects.get(ref), wanted["metadata"].get("resourceVersion")
        if version and (before is None or before["metadata"]["resourceVersion"] != version):
            raise ApiError(409, "Conflict", "another version")
        return self.put(wanted)

    async def create(self, wanted: Object) -> Object:
        if "generateName" in wanted["metadata"]:
            name = f"{wanted['metadata']['generateName']}{next(self._versions)}"
            wanted = {**wanted, "metadata": {**wanted["metadata"], "name": name}}
        ref = ref_of(wanted)
        self._called("create", ref)
        if ref in self.objects:
            raise ApiError(409, "AlreadyExists", "it is there")
        return self.put(wanted)

    async def replace(self, wanted: Object) -> Object:
        ref = ref_of(wanted)
        self._called("replace", ref)
        before = self.objects.get(ref)
        version = wanted["metadata"].get("resourceVersion")
        if before is None or before["metadata"]["resourceVersion"] != version:
            raise ApiError(409, "Conflict", "another version")
        return self.put(wanted)

    async def delete(self, live: Object) -> None:
        self._called("delete", ref_of(live))
        self.objects.pop(ref_of(live), None)

    async def patch_status(self, live: Object, patch: Mapping[str, Any]) -> Object:
        ref = ref_of(live)
        self._called("status", ref)
        if ref not in self.objects:
            raise ApiError(404, "NotFound", "gone")
        status = {**(self.objects[ref].get("status") or {}), **patch}
        kept = {name: value for name, value in status.items() if value is not None}
        return self.put({**self.objects[ref], "status": kept})

    async def set_finalizers(self, live: Object, finalizers: list[str]) -> Object:
        ref = ref_of(live)
        self._called("finalizers", ref)
        before = self.objects[ref]
        if before["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "another version")
        meta = {**before["metadata"], "finalizers": finalizers}
        return self.put({**before, "metadata": meta})


def kinds_of(api: FakeApi) -> set[str]:
    """Namespaces and kinds that there are objects of."""
    return {f"{namespace_of(item)}/{KINDS[item['kind']].name}" for item in api.objects.values()}
