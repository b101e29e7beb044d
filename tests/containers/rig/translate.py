"""A pod template in the words of the runtime, field by field as the kubelet does it.

What is not translated is refused: a field that is added to the template has to be added here.
Scheduling, probes and lifetimes have no words there; the kubelet acts on them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from containers.rig.cri import messages

Spec = Mapping[str, Any]

# pkg/securitycontext of Kubernetes, with procMount: Default
_MASKED: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PERIOD: Final = 100_000  # microseconds of cpu.cfs_period_us
_UNITS: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}

_POD_FIELDS: Final = {
    *("securityContext", "initContainers", "containers", "volumes"),
    # no words of the runtime: scheduler, API server and the kubelet itself act on them
    *("serviceAccountName", "automountServiceAccountToken", "terminationGracePeriodSeconds"),
    *("topologySpreadConstraints", "affinity", "nodeSelector", "tolerations", "imagePullSecrets"),
    *("enableServiceLinks", "priorityClassName"),
}
_POD_SECURITY_FIELDS: Final = {
    *("fsGroup", "runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile", "sysctls"),
}
_CONTAINER_FIELDS: Final = {
    *("name", "image", "command", "args", "env", "securityContext", "resources", "volumeMounts"),
    *("imagePullPolicy", "ports", "startupProbe", "livenessProbe", "readinessProbe"),
    *("terminationMessagePolicy",),
}
_CONTAINER_SECURITY_FIELDS: Final = {
    *("allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities", "runAsUser"),
    *("runAsGroup", "runAsNonRoot", "seccompProfile"),
}
_MOUNT_FIELDS: Final = {"name", "mountPath", "readOnly"}
_RESOURCES: Final = {"cpu", "memory"}


class Refused(Exception):
    """The kubelet would not start it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the pod is, and where the kubelet put what belongs to it (paths of the node)."""

    name: str
    namespace: str
    uid: str
    logs: str
    cgroup: str


def _checked(spec: Spec, fields: set[str], what: str) -> Spec:
    assert set(spec) <= fields, f"{what}: the tests do not translate {set(spec) - fields}"
    return spec


def sandbox(pod: Spec, template: Spec, identity: Identity) -> Any:
    """A PodSandboxConfig."""
    _checked(pod, _POD_FIELDS, "spec")
    security = _checked(pod.get("securityContext", {}), _POD_SECURITY_FIELDS, "securityContext")
    metadata = template.get("metadata", {})
    own = {
        "io.kubernetes.pod.name": identity.name,
        "io.kubernetes.pod.namespace": identity.namespace,
        "io.kubernetes.pod.uid": identity.uid,
    }
    return messages.PodSandboxConfig(
        metadata=messages.PodSandboxMetadata(
            name=identity.name, namespace=identity.namespace, uid=identity.uid
        ),
        hostname=identity.name,
        log_directory=identity.logs,
        labels={**metadata.get("labels", {}), **own},
        annotations=metadata.get("annotations", {}),
        linux=messages.LinuxPodSandboxConfig(
            cgroup_parent=identity.cgroup,
            security_context=messages.LinuxSandboxSecurityContext(
                namespace_options=_namespaces(),
                run_as_user=_number(security.get("runAsUser")),
                run_as_group=_number(security.get("runAsGroup")),
                supplemental_groups=_groups(security),
                seccomp=messages.SecurityProfile(),  # the kubelet's choice for every sandbox
            ),
            sysctls={item["name"]: item["value"] for item in security.get("sysctls", ())},
        ),
    )


def container(
    pod: Spec,
    spec: Spec,
    attempt: int,
    mounts: Mapping[str, str],
    extra: Mapping[str, str],
    plugin: Mapping[str, str],
    told: Mapping[str, str],
) -> Any:
    """A ContainerConfig. `mounts` are volumes by name, `extra` files of the kubelet by where they
    are seen, both with their path on the node; `plugin` is what device plugins bring, by resource;
    `told` what the downward API says, by field. Raises Refused."""
    _checked(spec, _CONTAINER_FIELDS, spec["name"])
    resources = spec.get("resources", {})
    seen = [_mount(mount, mounts) for mount in spec.get("volumeMounts", ())]
    seen += [messages.Mount(container_path=at, host_path=path) for at, path in extra.items()]
    return messages.ContainerConfig(
        metadata=messages.ContainerMetadata(name=spec["name"], attempt=attempt),
        image=messages.ImageSpec(image=spec["image"]),
        command=spec.get("command", ()),
        args=spec.get("args", ()),
        envs=[_variable(item, told) for item in spec.get("env", ())],
        mounts=seen,
        devices=_devices(resources, plugin),
        labels={"io.kubernetes.container.name": spec["name"]},
        log_path=f"{spec['name']}/{attempt}.log",
        linux=messages.LinuxContainerConfig(
            resources=_resources(resources),
            security_context=_security(pod.get("securityContext", {}), spec),
        ),
    )


def _variable(item: Spec, told: Mapping[str, str]) -> Any:
    if "valueFrom" not in item:
        return messages.KeyValue(key=item["name"], value=item["value"])
    _checked(item["valueFrom"], {"fieldRef"}, item["name"])
    return messages.KeyValue(
        key=item["name"], value=told[item["valueFrom"]["fieldRef"]["fieldPath"]]
    )


def _security(pod: Spec, spec: Spec) -> Any:
    own = _checked(spec.get("securityContext", {}), _CONTAINER_SECURITY_FIELDS, spec["name"])
    merged = {**pod, **own}
    user = merged.get("runAsUser")
    if merged.get("runAsNonRoot") and user == 0:
        raise Refused(f"{spec['name']}: runAsNonRoot, and uid 0")
    capabilities = own.get("capabilities", {})
    return messages.LinuxContainerSecurityContext(
        capabilities=messages.Capability(
            add_capabilities=capabilities.get("add", ()),
            drop_capabilities=capabilities.get("drop", ()),
        ),
        namespace_options=_namespaces(),
        run_as_user=_number(user),
        run_as_group=_number(merged.get("runAsGroup")),
        supplemental_groups=_groups(pod),
        readonly_rootfs=own.get("readOnlyRootFilesystem", False),
        no_new_privs=not own.get("allowPrivilegeEscalation", True),
        masked_paths=_MASKED,
        readonly_paths=_READ_ONLY,
        seccomp=_seccomp(merged.get("seccompProfile")),
    )


def _seccomp(profile: Spec | None) -> Any:
    kinds = messages.SecurityProfile.ProfileType
    kind = kinds.Value(profile["type"]) if profile else kinds.Value("Unconfined")
    return messages.SecurityProfile(profile_type=kind)


def _namespaces() -> Any:
    return messages.NamespaceOption(network=messages.POD, pid=messages.CONTAINER, ipc=messages.POD)


def _groups(security: Spec) -> list[int]:
    return [security["fsGroup"]] if "fsGroup" in security else []


def _number(value: int | None) -> Any:
    return None if value is None else messages.Int64Value(value=value)


def _mount(mount: Spec, volumes: Mapping[str, str]) -> Any:
    _checked(mount, _MOUNT_FIELDS, "volumeMounts")
    return messages.Mount(
        container_path=mount["mountPath"],
        host_path=volumes[mount["name"]],
        readonly=mount.get("readOnly", False),
    )


def _devices(resources: Spec, plugin: Mapping[str, str]) -> list[Any]:
    wanted = set(resources.get("limits", {})) - _RESOURCES
    return [
        messages.Device(container_path=plugin[name], host_path=plugin[name], permissions="mrw")
        for name in sorted(wanted)
    ]


def _resources(resources: Spec) -> Any:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    asked = requests.get("cpu", limits.get("cpu"))
    shares = max(2, _milli(asked) * 1024 // 1000) if asked else 2
    quota = max(1000, _milli(limits["cpu"]) * _PERIOD // 1000) if "cpu" in limits else 0
    return messages.LinuxContainerResources(
        cpu_period=_PERIOD if quota else 0,
        cpu_quota=quota,
        cpu_shares=shares,
        memory_limit_in_bytes=octets(limits["memory"]) if "memory" in limits else 0,
        oom_score_adj=1000,
    )


def _milli(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else round(float(quantity) * 1000)


def octets(quantity: str) -> int:
    """Of a quantity such as 64Mi."""
    for unit, factor in _UNITS.items():
        if quantity.endswith(unit):
            return int(quantity.removesuffix(unit)) * factor
    return int(quantity)
