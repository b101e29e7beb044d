"""The StatefulSet of a gateway, and the ladder of ways to a TUN device.

An init container, uid 0 with NET_ADMIN, makes the TUN, its routes and the nft table, and ends.
The main container is uid 65532 without any capability. Which way the device node comes:
InitTun makes it in a memory-backed volume (MKNOD), DevicePlugin requests a resource that brings
it, HostPath mounts the node's.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from ferrule_operator.bundles import SHARDS
from ferrule_operator.manifests.child import Parent
from ferrule_operator.names import (
    ADDRESS_VARIABLE,
    CONFIG_FILE,
    CONFIG_FOLDER,
    CONTAINER,
    HTTP_PORT,
    IKE_PORT,
    INIT_CONTAINER,
    MEMBER_VARIABLE,
    NATT_PORT,
    OWNER,
    REMOTE_PORT,
    RESTART_ANNOTATION,
    RING_PORT,
    RUN_FOLDER,
    config_secret,
    pods_service,
    users_secret,
)
from ferrule_operator.objects import Object, child_labels, selector_labels
from ferrule_operator.rendering import restart_digest

GRACE_SECONDS: Final = 30  # beyond drain.timeoutSeconds
SETTLE_SECONDS: Final = 10
_REQUESTS: Final = {"cpu": "100m", "memory": "192Mi"}
_CONFIG = f"{CONFIG_FOLDER}/{CONFIG_FILE}"
_DEVICE: Final = "/dev/net/tun"


def stateful_set(parent: Parent) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": parent.metadata(parent.name),
        "spec": {
            "replicas": parent.spec.replicas,
            "serviceName": pods_service(parent.name),
            # Each pod's ordinal is its identity; nobody waits for anybody, but in an update, where
            # one pod after the other goes, the highest ordinal first.
            "podManagementPolicy": "Parallel",
            # Without a partition a pod that is lost during an update comes back as it was before.
            # With pods in parallel, Kubernetes 1.37 may then delete and make it again for ever.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            # The next one goes when sessions have come to this one, not in the same moment.
            **({"minReadySeconds": SETTLE_SECONDS} if parent.shared else {}),
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": selector_labels(parent.name)},
            "template": pod_template(parent),
        },
    }


def pod_template(parent: Parent) -> Object:
    template = parent.spec.pod_template
    return {
        "metadata": {
            "labels": {**template.labels, **child_labels(parent.name)},
            "annotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(HTTP_PORT),
                **template.annotations,
                RESTART_ANNOTATION: restart_digest(parent.spec),
            },
        },
        "spec": _pod(parent),
    }


def _pod(parent: Parent) -> dict[str, Any]:
    spec, settings = parent.spec, parent.settings
    template = spec.pod_template
    pod: dict[str, Any] = {
        "serviceAccountName": parent.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.drain.timeout_seconds + GRACE_SECONDS,
        "securityContext": {
            "fsGroup": OWNER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_init_container(parent)],
        "containers": [_main_container(parent)],
        "volumes": _volumes(parent),
    }
    if not spec.pod_security.host_users:
        pod["hostUsers"] = False
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if template.node_selector:
        pod["nodeSelector"] = template.node_selector
    if template.tolerations:
        pod["tolerations"] = [_plain(toleration) for toleration in template.tolerations]
    if template.priority_class_name:
        pod["priorityClassName"] = template.priority_class_name
    if template.affinity is not None:
        pod["affinity"] = _plain(template.affinity)
    elif parent.shared:  # whatever the number of replicas: scaling must not replace pods
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",  # DoNotSchedule stops rolling updates
                "labelSelector": {"matchLabels": selector_labels(parent.name)},
            }
        ]
    return pod


def _init_container(parent: Parent) -> dict[str, Any]:
    made_here = parent.spec.pod_security.profile == "InitTun"
    return {
        "name": INIT_CONTAINER,
        "image": parent.settings.image,
        "imagePullPolicy": parent.settings.image_pull_policy,
        "args": ["init-tun", "--config", _CONFIG, "--owner", str(OWNER)],
        "securityContext": {
            **_hardened(["NET_ADMIN", *(["MKNOD"] if made_here else [])]),
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
        },
        **_device_request(parent, {}),
        "volumeMounts": [_config_mount(), *_device_mounts(parent, read_only=False)],
    }


def _main_container(parent: Parent) -> dict[str, Any]:
    template = parent.spec.pod_template
    resources = _plain(template.resources)
    if not any(resources.values()):
        resources = {"requests": dict(_REQUESTS)}
    return {
        "name": CONTAINER,
        "image": parent.settings.image,
        "imagePullPolicy": parent.settings.image_pull_policy,
        "args": ["serve", "--config", _CONFIG],
        **_environment(parent),
        "securityContext": {
            **_hardened([]),
            "runAsUser": OWNER,
            "runAsGroup": OWNER,
            "runAsNonRoot": True,
        },
        **_device_request(parent, resources),
        "ports": _ports(parent),
        "startupProbe": _probe("/healthz", period=1, failures=120),
        "livenessProbe": _probe("/healthz", period=10, failures=3),
        "readinessProbe": _probe("/readyz", period=2, failures=3),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            _config_mount(),
            {"name": "run", "mountPath": RUN_FOLDER},
            *_device_mounts(parent, read_only=True),
        ],
    }


def _environment(parent: Parent) -> dict[str, Any]:
    """All pods read one configuration: who each is, it learns here."""
    variables = [_plain(variable) for variable in parent.spec.pod_template.env]
    if parent.shared:
        own = {MEMBER_VARIABLE: "metadata.name", ADDRESS_VARIABLE: "status.podIP"}
        variables = [variable for variable in variables if variable["name"] not in own]
        variables += [
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in own.items()
        ]
    return {"env": variables} if variables else {}


def _hardened(capabilities: list[str]) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], **({"add": capabilities} if capabilities else {})},
    }


def _device_request(parent: Parent, resources: dict[str, Any]) -> dict[str, Any]:
    """The container's resources, with the device where a plugin brings it: in every container."""
    device = parent.spec.pod_security.tun_resource
    if device is not None:
        limits = {**resources.get("limits", {}), device: "1"}
        requests = {**resources.get("requests", {}), device: "1"}
        resources = {"limits": limits, "requests": requests}
    return {"resources": resources} if resources else {}


def _device_mounts(parent: Parent, *, read_only: bool) -> list[dict[str, Any]]:
    match parent.spec.pod_security.profile:
        case "InitTun":
            mount: dict[str, Any] = {"name": "dev-net", "mountPath": "/dev/net"}
            return [{**mount, "readOnly": True} if read_only else mount]
        case "HostPath":
            return [{"name": "tun", "mountPath": _DEVICE}]
        case "DevicePlugin":
            return []


def _volumes(parent: Parent) -> list[dict[str, Any]]:
    secrets = [{"secret": {"name": config_secret(parent.name)}}]
    secrets += [
        {"secret": {"name": users_secret(parent.name, shard), "optional": shard > 0}}  # type: ignore[dict-item]
        for shard in range(SHARDS)
    ]
    memory = {"medium": "Memory", "sizeLimit": "64Mi"}
    volumes: list[dict[str, Any]] = [
        {"name": "config", "projected": {"defaultMode": 0o440, "sources": secrets}},
        {"name": "run", "emptyDir": memory},
    ]
    match parent.spec.pod_security.profile:
        case "InitTun":
            # In memory: on a disk that is mounted nodev the node can't be opened.
            volumes.append({"name": "dev-net", "emptyDir": {**memory, "sizeLimit": "1Mi"}})
        case "HostPath":
            volumes.append({"name": "tun", "hostPath": {"path": _DEVICE, "type": "CharDevice"}})
        case "DevicePlugin":
            pass
    return volumes


def _config_mount() -> dict[str, Any]:
    return {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True}


def _ports(parent: Parent) -> list[dict[str, Any]]:
    on_host = parent.spec.exposure.type == "HostPort"
    ports: list[dict[str, Any]] = [
        {"name": "ike", "containerPort": IKE_PORT, "protocol": "UDP"},
        {"name": "natt", "containerPort": NATT_PORT, "protocol": "UDP"},
        {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
        {"name": "remote", "containerPort": REMOTE_PORT, "protocol": "TCP"},
    ]
    if parent.shared:
        ports.append({"name": "ring", "containerPort": RING_PORT, "protocol": "UDP"})
    if on_host:
        ports[0]["hostPort"], ports[1]["hostPort"] = 500, 4500
    return ports


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _plain(section: BaseModel) -> dict[str, Any]:
    """As core/v1 has it, as it was given: `{}` and absent are not the same everywhere."""
    return section.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
