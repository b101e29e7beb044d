from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.ppp.automaton import Action, Event, State, step


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(Event), max_size=60))
def test_up_and_down_alternate_on_every_walk(events: list[Event]) -> None:
    state, up = State.INITIAL, False
    for event in events:
        actions, state = step(state, event)
        for action in actions:
            if action is Action.TLU:
                assert not up
                up = True
            elif action is Action.TLD:
                assert up
                up = False
        assert up == (state is State.OPENED)
