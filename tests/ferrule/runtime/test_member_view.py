"""What is told of a cluster: members, shards, sessions, the relay's share, take-overs."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import generate_latest

from support.faulty_store import FaultyStore
from support.members import crowd, members, until


async def test_what_ferrule_cluster_shows(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        one, two, _ = made.all
        async with crowd(one, two, 2) as (balancer, load):
            two.member.relay.announce(two.member._addresses())
            await until(lambda: one.member.sessions_by_member().get("a-1") == 2)
            told = one.member.view.describe()
            assert (told["member"], told["standing"]) == ("a-0", "active")
            assert told["store"] == {"type": "Valkey", "up": True, "why": ""}
            assert [row["name"] for row in told["members"]] == ["a-0", "a-1", "a-2"]
            assert sum(row["shards"] for row in told["members"]) == 1024
            assert [row["sessions"] for row in told["members"]] == [0, 2, 0]
            assert told["members"][0]["shards"] == told["shards"]
            assert told["clients"]["bound_away"] == 2
            assert two.member.view.describe()["clients"]["bound_here"] == 2
            assert one.member.view.members() == ["a-0", "a-1", "a-2"]
            page = generate_latest(one.report.metrics.registry).decode()
            assert 'ferrule_cluster_standing{standing="active"} 1.0' in page
            assert "ferrule_cluster_members 3.0" in page
            two.member.view.sample()
            assert two.member.view.relay_share() == 0.0
            one.member.view.sample()
            balancer.move(two, one)  # what enters there now is another's
            load.start_traffic(30.0)
            await until(lambda: one.member.view.relay_share() == 1.0)
            await load.settle()


async def test_take_overs_are_told(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        dead, heir = made[0], made[1]
        async with crowd(dead, dead, 2) as (balancer, _):
            before = len(heir.member.view.taken)
            await dead.kill()
            balancer.move(dead, heir)
            await until(lambda: len(heir.member.view.taken) > before)
            taken = heir.member.view.taken[-1]
            assert (taken.clients, taken.shards) == (2, 1024 - 513)
            assert 0 < taken.seconds < 2
            told = heir.member.view.describe()
            assert told["take_overs"][-1]["clients"] == 2
            assert told["clients"]["taken_over"] == 2
            assert heir.member.view.snapshot().clients["taken_over"] == 2
            page = generate_latest(heir.report.metrics.registry).decode()
            assert "ferrule_cluster_take_over_seconds_count" in page
