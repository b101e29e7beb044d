"""Every child as a file to look at, valid for the strict schemas of three Kubernetes versions.

`FERRULE_GOLDEN=1 pytest tests/ferrule_operator/manifests` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from ferrule_operator.objects import Object
from ferrule_operator.settings import Settings
from support.operator import SETTINGS, World, gateway, secret, user, with_password

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
VERSIONS = ("1.35", "1.36", "1.37")

CASES: Mapping[str, tuple[Mapping[str, Any], Settings]] = {
    "default": ({}, SETTINGS),
    "device-plugin": (
        {
            "podSecurity": {
                "profile": "DevicePlugin",
                "tunResource": "squat.ai/tun",
                "hostUsers": False,
            },
            "podTemplate": {
                "labels": {"team": "network"},
                "annotations": {"note": "yes"},
                "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": 2}},
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "tolerations": [{"key": "edge", "operator": "Exists"}],
                "priorityClassName": "system-cluster-critical",
                "env": [
                    {"name": "A", "value": "b"},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {
                        "name": "C",
                        "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}},
                    },
                ],
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "edge", "operator": "Exists"}]}
                            ]
                        }
                    },
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 10,
                                "podAffinityTerm": {
                                    "topologyKey": "kubernetes.io/hostname",
                                    "labelSelector": {"matchLabels": {"app": "x"}},
                                    "namespaceSelector": {},
                                },
                            }
                        ]
                    },
                },
            },
        },
        Settings(
            "registry.example/ferrule@sha256:0",
            image_pull_policy="Always",
            image_pull_secrets=("pull",),
            own_namespace="ferrule-system",
        ),
    ),
    "host-port": (
        {"exposure": {"type": "HostPort"}, "podSecurity": {"profile": "HostPath"}},
        SETTINGS,
    ),
    "load-balancer": (
        {
            "exposure": {
                "type": "LoadBalancer",
                "loadBalancerClass": "service.k8s.aws/nlb",
                "annotations": {"service.beta.kubernetes.io/aws-load-balancer-scheme": "x"},
                "sourceRanges": ["198.51.100.0/24"],
                "externalTrafficPolicy": "Cluster",
            },
            "drain": {"timeoutSeconds": 120},
        },
        SETTINGS,
    ),
    "node-port": (
        {"exposure": {"type": "NodePort", "nodePorts": {"ike": 30500}}},
        SETTINGS,
    ),
    "valkey": (
        {
            "replicas": 3,
            "store": {
                "type": "Valkey",
                "url": "valkeys://valkey.vpn:6379/0",
                "authSecretRef": {"name": "alices"},
                "tls": {"caSecretRef": {"name": "alices", "key": "ca"}},
            },
            "podTemplate": {"env": [{"name": "FERRULE_MEMBER", "value": "another"}]},
        },
        SETTINGS,
    ),
}


def children(spec: Mapping[str, Any], settings: Settings) -> list[Object]:
    world = World(
        gateway(spec=spec),
        user("alice", with_password("alices")),
        secret("alices", {"password": "wonderland", "ca": "a certificate"}),
    )
    plan = world.plan(settings)
    return plan.create + plan.apply


def text_of(items: list[Object]) -> str:
    yaml = YAML()
    yaml.width = 4096
    yaml.representer.ignore_aliases = lambda _: True
    stream = StringIO()
    for item in items:
        stream.write("---\n")
        if item["kind"] == "Secret":  # the keys; the texts are looked at elsewhere
            item = {**item, "data": dict.fromkeys(item["data"], "...")}
        yaml.dump(item, stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_children_are_as_they_were(name: str) -> None:
    text = text_of(children(*CASES[name]))
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("FERRULE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_children_are_valid(name: str, version: str) -> None:
    for item in children(*CASES[name]):
        kubernetes_validate.validate(item, version, strict=True)
