"""A cluster of one node, all of it real: control plane, scheduler, kubelet, kube-proxy, containerd.

It stands where the gateway stands in the interop laboratory: clients on `wan` reach the node's
address, a host behind it is called `web`, and both know nothing of pods and Services.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from interop.rig.namespaces import Namespace
from interop.rig.topology import SERVER_ADDRESS, Laboratory
from tests.kubernetes.cluster.api import Api, eventually
from tests.kubernetes.cluster.binaries import binary
from tests.kubernetes.cluster.control_plane import ControlPlane
from tests.kubernetes.node.machine import Machine
from tests.kubernetes.node.names import DOMAIN, start_names
from tests.kubernetes.node.runtime import POD_NETWORK, SOCKET, Containerd

NODE = "node"
NODE_ADDRESS = SERVER_ADDRESS
_KUBELET_PORT = 10250
_CLOUD = "203.0.113"
_NO_EVICTION = ("imagefs.available", "nodefs.available", "nodefs.inodesFree")


class NodeCluster:
    """Brings all up; `api` is the administrator's view, `laboratory` what is around the node."""

    def __init__(self, folder: Path, sandbox_archive: Path) -> None:
        self.folder = folder
        self._cloud = itertools.count(1)
        self.laboratory = Laboratory(folder / "laboratory")
        self._closers = [self.laboratory.close]
        try:
            self._start(sandbox_archive)
        except BaseException:
            self.close()
            raise

    def _start(self, sandbox_archive: Path) -> None:
        network = self.network_of(self.laboratory.server)
        self.laboratory.server.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        # Clients on the wide-area net have a default route; the home router needs one to our cloud.
        self.laboratory.nat.namespace.ip("route", "add", f"{_CLOUD}.0/24", "via", NODE_ADDRESS)
        self.machine = Machine(self.folder / "machine", network)
        self._closers.append(self.machine.close)
        self.plane = ControlPlane(
            self.folder / "plane",
            address=NODE_ADDRESS,
            network=network,
            prefix=["nsenter", f"--net={network}"],
        )
        self._closers.append(self.plane.stop)
        certificate, key = self.plane.authority.client(
            "kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"]
        )
        self.plane.add_arguments(
            "kube-apiserver",
            f"--kubelet-client-certificate={certificate}",
            f"--kubelet-client-key={key}",
            "--kubelet-preferred-address-types=InternalIP",
        )
        self.plane.start()
        self.plane.start_controllers()
        self.plane.start_scheduler()
        self.api = Api(self.plane, self.plane.admin())
        self._closers.append(self.api.close)
        self.containerd = Containerd(self.machine, sandbox_archive)
        self._start_kubelet()
        self._start_proxy()
        start_names(self.machine, self.api, NODE_ADDRESS)
        eventually(self._ready, seconds=90, what="the node is ready")

    def close(self) -> None:
        """End everything, the last first."""
        for closer in reversed(self._closers):
            closer()
        self._closers.clear()

    def _ready(self) -> bool:
        conditions = self.api.get("node", NODE)["status"]["conditions"]
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def network_of(self, namespace: Namespace) -> Path:
        """The file of one of the laboratory's network namespaces."""
        return Path("/run/netns") / namespace.name

    def await_running(self, pod: str, namespace: str, seconds: float = 60) -> None:
        """Wait until a pod is in phase Running; fails with what kubectl can tell about it."""

        def phase() -> bool:
            return bool(self.api.get("pod", pod, namespace)["status"]["phase"] == "Running")

        try:
            eventually(phase, seconds=seconds, what=f"{pod} runs")
        except AssertionError as error:
            error.add_note(self.api.kubectl("describe", "pod", pod, "--namespace", namespace))
            raise

    def play_load_balancer(self, service: str, namespace: str) -> str:
        """Do what a cloud's controller does: announce an address in the Service's status.

        Returns the address, a new one each time, which clients on `wan` and `lan` have a route to.
        """
        address = f"{_CLOUD}.{next(self._cloud)}"
        status = {"loadBalancer": {"ingress": [{"ip": address}]}}
        self.api.kubectl(
            *("patch", "service", service, "--namespace", namespace, "--subresource=status"),
            *("--type=merge", "--patch", json.dumps({"status": status})),
        )
        return address

    # --- the node's daemons

    def _start_kubelet(self) -> None:
        folder = self.machine.folder
        (folder / "resolv.conf").touch()
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "port": _KUBELET_PORT,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.plane.authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.machine.cgroup}",
            "failCgroupV1": False,  # version 1 works, it is only not wanted any more
            "failSwapOn": False,
            "clusterDNS": [NODE_ADDRESS],
            "clusterDomain": DOMAIN,
            "resolvConf": str(folder / "resolv.conf"),
            "volumePluginDir": str(folder / "volume-plugins"),
            # The disk is the machine's, and other things fill it.
            "evictionHard": dict.fromkeys(_NO_EVICTION, "0%"),
            "imageGCHighThresholdPercent": 100,
            "shutdownGracePeriod": "0s",
        }
        self._start_daemon(
            "kubelet",
            configuration,
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
            "--root-dir=/var/lib/kubelet",
            f"--cert-dir={folder / 'kubelet-pki'}",
            "--kubeconfig="
            + str(self.plane.inner_kubeconfig("kubelet", f"system:node:{NODE}", ["system:nodes"])),
        )

    def _start_proxy(self) -> None:
        config = self.plane.inner_kubeconfig("kube-proxy", "system:kube-proxy")
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "bindAddress": NODE_ADDRESS,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "clusterCIDR": POD_NETWORK,
            "hostnameOverride": NODE,
            "clientConnection": {"kubeconfig": str(config)},
            # The table's size is the whole machine's.
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
        self._start_daemon("kube-proxy", configuration)

    def _start_daemon(self, name: str, configuration: dict[str, object], *arguments: str) -> None:
        path = self.machine.folder / f"{name}.json"
        path.write_text(json.dumps(configuration, indent=1))
        self.machine.start(name, [str(binary(name)), f"--config={path}", *arguments])

    def tail(self, name: str, lines: int = 30) -> Sequence[str]:
        """The end of the log of containerd, kubelet or kube-proxy."""
        text = (self.machine.folder / f"{name}.log").read_text(errors="replace")
        return text.splitlines()[-lines:]
