"""The ladder of pod security: what each rung gives to which container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ferrule_operator.manifests.stateful_set import pod_template
from support.operator import parent

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "InitTun": {},
    "DevicePlugin": {"profile": "DevicePlugin", "tunResource": "squat.ai/tun"},
    "HostPath": {"profile": "HostPath"},
}


def pod(profile: str, **more: Any) -> dict[str, Any]:
    spec = {"podSecurity": {**PROFILES[profile], **more}}
    found: dict[str, Any] = pod_template(parent(spec))["spec"]
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_who_serves_clients_has_no_privilege(profile: str) -> None:
    spec = pod(profile)
    (main,) = spec["containers"]
    assert main["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "runAsNonRoot": True,
    }
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))


@pytest.mark.parametrize(
    ("profile", "added"),
    [
        ("InitTun", ["NET_ADMIN", "MKNOD"]),
        ("DevicePlugin", ["NET_ADMIN"]),
        ("HostPath", ["NET_ADMIN"]),
    ],
)
def test_the_init_step_has_what_it_needs(profile: str, added: list[str]) -> None:
    (init,) = pod(profile)["initContainers"]
    context = init["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": added}
    assert context["runAsUser"] == 0  # another uid gets no capability at all
    assert not context["allowPrivilegeEscalation"]
    assert context["readOnlyRootFilesystem"]


def mounts(container: Mapping[str, Any]) -> dict[str, bool]:
    return {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}


def test_init_tun_shares_a_folder_in_memory() -> None:
    spec = pod("InitTun")
    assert mounts(spec["initContainers"][0]) == {"/etc/ferrule": True, "/dev/net": False}
    assert mounts(spec["containers"][0]) == {
        "/etc/ferrule": True,
        "/run/ferrule": False,
        "/dev/net": True,
    }
    volume = next(v for v in spec["volumes"] if v["name"] == "dev-net")
    assert volume["emptyDir"]["medium"] == "Memory"  # a disk may be mounted nodev


def test_a_device_plugin_serves_both_containers() -> None:
    spec = pod("DevicePlugin", hostUsers=False)
    for container in (spec["initContainers"][0], spec["containers"][0]):
        assert container["resources"]["limits"]["squat.ai/tun"] == "1"
        assert "/dev/net" not in mounts(container)
    assert spec["hostUsers"] is False
    assert "hostUsers" not in pod("InitTun")


def test_host_path_mounts_the_nodes_device() -> None:
    spec = pod("HostPath")
    volume = next(v for v in spec["volumes"] if v["name"] == "tun")
    assert volume["hostPath"] == {"path": "/dev/net/tun", "type": "CharDevice"}
    for container in (spec["initContainers"][0], spec["containers"][0]):
        assert "/dev/net/tun" in mounts(container)


def test_secrets_of_users_can_become_more_without_a_new_pod() -> None:
    sources = next(v for v in pod("InitTun")["volumes"] if v["name"] == "config")
    secrets = [source["secret"] for source in sources["projected"]["sources"]]
    assert [secret.get("optional", False) for secret in secrets] == [False] * 2 + [True] * 7
