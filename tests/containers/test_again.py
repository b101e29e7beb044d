"""What happens twice: the init step, and the main container after its death."""

from __future__ import annotations

from containers.rig.gateway import INIT, MAIN, POOL, Rendered
from containers.rig.kubelet import Pod
from containers.rig.place import Place
from containers.rig.steps import MakePod, Probe, check_way_through, started


def network_of(pod: Pod) -> list[str]:
    """All that the init step sets."""
    return [
        pod.within_network(MAIN, "nft", "-s", "list", "ruleset"),
        pod.within_network(MAIN, "ip", "-br", "address", "show", "dev", "ferrule0"),
        pod.within_network(MAIN, "ip", "route"),
    ]


def test_the_init_step_runs_again_beside_the_main_container(
    prepared: Pod, place: Place, probe: Probe
) -> None:
    before = network_of(prepared)
    for _ in range(2):
        assert prepared.run(INIT).exit_code == 0
    assert network_of(prepared) == before
    assert before[0].count("masquerade") == before[0].count(" drop") == 1
    check_way_through(prepared, place, probe)


def test_the_main_container_is_killed_and_comes_back(
    prepared: Pod, place: Place, probe: Probe
) -> None:
    check_way_through(prepared, place, probe)
    before = network_of(prepared)
    for _ in range(3):  # each time the link has to come up again before it is ready
        assert prepared.kill(MAIN).exit_code == 137
        prepared.start(MAIN)
        prepared.await_ready(MAIN)
        check_way_through(prepared, place, probe)
    assert network_of(prepared) == before


def test_a_change_that_takes_a_new_pod_is_told_and_ends_nobody(
    image: str, make_pod: MakePod, place: Place, probe: Probe
) -> None:
    """A pool more: only the init step can route it. The operator replaces the pod then."""
    rendered = Rendered(image)
    pod = started(make_pod, rendered)
    pool = f"cidr: {POOL}\n"
    more = f"{pool}    - name: more\n      cidr: 10.21.0.0/24\n"
    text = rendered.replace_in_config(pool, more)
    pod.change_file("config", "gateway.yaml", text)
    said = pod.await_log(MAIN, "host not configured for the new configuration")
    assert "no route to 10.21.0.0/24: run ferrule init-tun again" in said
    check_way_through(pod, place, probe)


def test_it_says_goodbye_when_it_is_stopped(prepared: Pod) -> None:
    prepared.stop(MAIN)
    ended = prepared.await_end(MAIN)
    assert ended.exit_code == 0, ended
    assert '"event": "stopped"' in ended.log
    prepared.start(MAIN)
    prepared.await_ready(MAIN)
