"""The configurations of the cluster's demo are ones that `ferrule serve` takes."""

from __future__ import annotations

import json
import socket
from ipaddress import IPv4Interface

import pytest

from ferrule.runtime.cluster_stage import (
    _KEYS,
    CLIENTS,
    PODS,
    ClusterStage,
    _configuration,
    client_host,
    store_program,
    user,
)
from ferrule.runtime.config import load
from ferrule.runtime.demo_net import (
    Namespace,
    add_addresses,
    add_bridge,
    plug_in,
    replace_route,
    set_up_loopback,
)
from support.netns import run_inside


def test_the_configurations_are_good_and_differ_where_they_must() -> None:
    with ClusterStage() as stage:
        configs = []
        for number, pod in enumerate(stage.pods):
            pod.write_config(json.dumps(_configuration(number, pod)))
            configs.append(load(pod.config))
    assert all(config.warnings == () for config in configs)
    assert {config.listen.member for config in configs} == {"pod-0", "pod-1", "pod-2"}
    assert len({config.listen.ring for config in configs}) == PODS
    for config in configs:
        assert config.gateway.store.type == "Valkey"
        assert config.gateway.store.key is not None
        assert config.gateway.store.key.reveal() == _KEYS[0].encode()
        assert len(config.users) == CLIENTS
    assert _KEYS[0] != _KEYS[1]


def test_names_and_addresses_are_each_clients_own() -> None:
    for name in (client_host, user):
        assert len({name(number) for number in range(CLIENTS)}) == CLIENTS


def test_nothing_is_left_behind() -> None:
    with ClusterStage() as stage:
        directory = stage.directory
        assert directory.exists()
    assert not directory.exists()


def test_there_is_a_store() -> None:
    assert store_program() is not None


def _bridged() -> None:
    here, one, two = Namespace.here(), Namespace.new(), Namespace.new()
    for namespace in (here, one, two):
        set_up_loopback(namespace)
    add_addresses(here, "lo", ["192.0.2.1", "192.0.2.10"])
    bridge = add_bridge(here, "pods", IPv4Interface("10.66.0.1/24"))
    plug_in(bridge, "p1", one, "eth0", IPv4Interface("10.66.0.10/24"))
    plug_in(bridge, "p2", two, "eth0", IPv4Interface("10.66.0.11/24"))
    replace_route(one, "default", ["10.66.0.1"])
    replace_route(two, "default", ["10.66.0.1", "10.66.0.10"])
    replace_route(two, "default", ["10.66.0.1"])
    with (
        two.run(lambda: socket.create_server(("10.66.0.11", 7000))),
        one.run(lambda: socket.create_connection(("10.66.0.11", 7000), 5)) as connection,
    ):
        assert connection.getsockname()[0] == "10.66.0.10"
    with (
        socket.create_server(("192.0.2.10", 7000)),
        two.run(lambda: socket.create_connection(("192.0.2.10", 7000), 5)) as connection,
    ):
        assert connection.getsockname()[0] == "10.66.0.11"


@pytest.mark.netns
def test_namespaces_on_a_bridge() -> None:
    run_inside(_bridged)
