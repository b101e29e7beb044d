from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ferrule_operator.api import Api, ApiError
from ferrule_operator.kinds import Kind
from ferrule_operator.objects import Object
from ferrule_operator.uninstall import delete_all


@dataclass
class Cluster:
    """Objects that stay, being deleted, for `patience` more listings of their kind."""

    objects: list[Object]
    patience: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    async def list_all(
        self, kind: Kind, namespace: str = "", selector: str = "", *, metadata_only: bool = False
    ) -> list[Object]:
        assert metadata_only
        self.asked.append((kind.name, namespace, selector))
        ours = [item for item in self.objects if item["kind"] == kind.name]
        for item in ours:
            if "deletionTimestamp" in item["metadata"]:
                item["left"] -= 1
                if item["left"] < 0:
                    self.objects.remove(item)
        return [item for item in ours if item in self.objects]

    async def delete(self, live: Object) -> None:
        assert "deletionTimestamp" not in live["metadata"], "deleted twice"
        live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        live["left"] = self.patience
        self.deleted.append(f"{live['kind']} {live['metadata']['name']}")


def item(kind: str, name: str) -> Object:
    metadata: dict[str, Any] = {"name": name, "namespace": "vpn", "uid": f"{kind}-{name}"}
    return {"kind": kind, "metadata": metadata}


async def run(cluster: Cluster, *namespaces: str, selector: str = "") -> None:
    await delete_all(cast(Api, cluster), namespaces, selector, poll_seconds=0)


@pytest.mark.parametrize("patience", [0, 3])
async def test_gateways_are_gone_before_a_user_is_deleted(patience: int) -> None:
    cluster = Cluster(
        [item("VpnUser", "alice"), item("VpnGateway", "office"), item("VpnGateway", "branch")],
        patience,
    )
    await run(cluster, "vpn", selector="a=b")
    assert cluster.objects == []
    assert cluster.deleted == ["VpnGateway office", "VpnGateway branch", "VpnUser alice"]
    assert set(cluster.asked) == {("VpnGateway", "vpn", "a=b"), ("VpnUser", "vpn", "a=b")}


async def test_no_namespace_is_all_of_them() -> None:
    cluster = Cluster([])
    await run(cluster)
    assert cluster.asked == [("VpnGateway", "", ""), ("VpnUser", "", "")]


async def test_each_namespace_is_asked() -> None:
    cluster = Cluster([])
    await run(cluster, "one", "two")
    assert [place for kind, place, _ in cluster.asked if kind == "VpnUser"] == ["one", "two"]


async def test_a_refusal_is_told() -> None:
    class Refusing(Cluster):
        async def delete(self, live: Object) -> None:
            raise ApiError(403, "Forbidden", "no")

    with pytest.raises(ApiError, match="Forbidden"):
        await run(Refusing([item("VpnGateway", "office")]))
