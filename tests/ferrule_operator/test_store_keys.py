"""The rotation of the key that seals what replicas share: no key is used before all accept it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule_operator.store_keys import ANNOUNCE_SECONDS, KEPT_SECONDS, StoreKeys, next_keys

NOW = 1_790_000_000.0


def test_the_first_key_is_used_at_once() -> None:
    assert next_keys(NOW, "one", StoreKeys()) == StoreKeys("one")
    assert next_keys(NOW, "one", StoreKeys("one")) == StoreKeys("one")
    assert StoreKeys("one").wake_at == 0


def test_a_rotation_in_three_steps() -> None:
    announced = next_keys(NOW, "two", StoreKeys("one"))
    assert announced == StoreKeys("one", "two", NOW + ANNOUNCE_SECONDS)
    assert announced.wake_at == NOW + ANNOUNCE_SECONDS
    assert next_keys(NOW + ANNOUNCE_SECONDS - 1, "two", announced) == announced
    swap = NOW + ANNOUNCE_SECONDS
    swapped = next_keys(swap, "two", announced)
    assert swapped == StoreKeys("two", "one", 0.0, swap + KEPT_SECONDS)
    assert swapped.wake_at == swap + KEPT_SECONDS
    assert next_keys(swap + KEPT_SECONDS - 1, "two", swapped) == swapped
    assert next_keys(swap + KEPT_SECONDS, "two", swapped) == StoreKeys("two")


def test_a_second_rotation_waits_for_the_end_of_the_first() -> None:
    swapped = StoreKeys("two", "one", 0.0, NOW + 10)
    assert next_keys(NOW, "three", swapped) == swapped
    assert next_keys(NOW + 10, "three", swapped).other == "three"


def test_another_wish_during_the_announcement_is_announced_itself() -> None:
    announced = StoreKeys("one", "two", NOW + 10)
    assert next_keys(NOW, "three", announced) == StoreKeys("one", "three", NOW + ANNOUNCE_SECONDS)
    assert next_keys(NOW, "one", announced) == StoreKeys("one")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 2 * KEPT_SECONDS, allow_nan=False)),
        min_size=1,
        max_size=12,
    )
)
def test_what_seals_was_accepted_before_and_is_accepted_after(
    wishes: list[tuple[str, float]],
) -> None:
    now, live = NOW, next_keys(NOW, wishes[0][0], StoreKeys())
    sealed: dict[str, float] = {}  # when each key sealed last
    accepted_since = {live.key: NOW}
    for wanted, seconds in wishes:
        end = now + seconds
        while now < end:
            sealed[live.key] = now
            now = min(end, live.wake_at) if live.wake_at > now else end
            live = next_keys(now, wanted, live)
            accepted = {live.key, live.other} - {""}
            assert len(accepted) <= 2
            accepted_since = {key: accepted_since.get(key, now) for key in accepted}
            if live.key not in sealed:
                assert now - accepted_since[live.key] >= ANNOUNCE_SECONDS or len(sealed) == 0
            for key, last in sealed.items():
                assert key in accepted or now - last >= KEPT_SECONDS - ANNOUNCE_SECONDS
