"""Stories of one cell, each the smallest that a rule of docs/merging.md is there for."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from typing import Any

import pytest

from crm_sync.specs.model import Direction, OnFirstLink, OnInbound, Policy
from tests.unit.steps import reference_merger as slow
from tests.unit.steps.vector_worlds import Vectors
from tests.unit.steps.worlds import CONNECTION, KINDS, LATER, LINKED, Field, Kind, Ref

TEXT, CUT, _, FLAG, REFERENCE = (kind[0] for kind in KINDS)
HUB_FIRST = {"hub": 0, CONNECTION: 1, "hubspot": 2}
KEY = "sixteen letters!"


class Story:
    """One record, one field, one CRM; time passes with every step."""

    def __init__(self, kind: Kind, hub: Any, policy: Policy = Policy.LAST_WRITE_WINS, **rules: Any) -> None:
        given = {"on_inbound": OnInbound.REPLACE, "on_first_link": OnFirstLink.PRIORITY, **rules}
        field = Field(0, (kind,), policy, Direction.BOTH, restrictive=True, ranks=HUB_FIRST, linked=LINKED, **given)
        self.fields = [field]
        self.clock = 1
        self.world = Vectors(self.fields, [[(slow.Cell(), slow.HubCell(hub, 0, 1, "hub"))]], KEY)

    @property
    def hub(self) -> Any:
        return self.world.values[0, 0]

    @hub.setter
    def hub(self, value: Any) -> None:
        self.clock += 1
        self.world.values[0, 0], self.world.source[0, 0] = value, "hub"
        self.world.earliest[0, 0], self.world.latest[0, 0] = self.clock, self.clock

    def read(self, value: Any) -> str:
        """Read the CRM; return the decision."""
        self.clock += 1
        decisions, _, _ = self.world.read([[value]], [(self.clock - 1, self.clock)], sparing=True)
        return decisions[0][0]

    def plan(self) -> str:
        """Plan, and commit an intent where something is to be sent."""
        return self.world.plan()[0][0]


def test_a_hub_that_returns_to_its_old_value_still_restores_the_crm() -> None:
    story = Story(TEXT, "a", Policy.FIELD_MERGE)
    assert story.read("a") == "AGREE"
    story.hub = "c"
    assert story.read("b") == "STAND"
    story.hub = "a"
    assert story.plan() == "SEND"


def test_our_own_write_is_known_again_after_a_crash_and_a_later_edit() -> None:
    story = Story(TEXT, "a", Policy.MANUAL_REVIEW)
    story.read("a")
    story.hub = "b"
    assert story.plan() == "SEND"
    story.hub = "c"
    assert story.read("b") == "RECEIPT"
    assert (story.hub, story.plan()) == ("c", "SEND")


def test_a_text_cut_by_the_crm_is_no_edit() -> None:
    story = Story(CUT, "abcd")
    assert story.read("abc") == "AGREE"
    story.hub = "abce"
    assert story.plan() == "ADVANCE"
    assert (story.read("abc"), story.hub) == ("KEEP", "abce")


def test_an_edit_of_a_cut_text_that_is_to_be_ignored_is_taken_back() -> None:
    story = Story(CUT, "abcd", on_inbound=OnInbound.IGNORE)
    story.read("abc")
    assert (story.read("b"), story.hub, story.plan()) == ("STAND", "abcd", "SEND")


def test_a_question_closes_the_cell_until_the_sides_agree() -> None:
    story = Story(TEXT, "a", Policy.MANUAL_REVIEW)
    story.read("a")
    story.hub = "c"
    assert (story.read("b"), story.plan()) == ("HOLD", "QUIET")
    assert (story.read(slow.ABSENT), story.plan()) == ("KEEP", "QUIET")
    assert (story.read("c"), story.plan()) == ("AGREE", "QUIET")
    assert not story.world.closed.any()


def test_a_reference_waits_for_its_target_and_is_taken_when_that_is_linked() -> None:
    story = Story(REFERENCE, Ref("h1"))
    story.read(Ref("r1"))
    assert (story.read(Ref("r3")), story.hub, story.plan()) == ("WAIT", "h1", "QUIET")
    story.world.relearn([replace(story.fields[0], linked=LATER)])
    assert (story.read(Ref("r3")), story.hub) == ("TAKE", "h3")


def test_what_is_filled_is_sent_where_a_first_link_finds_nothing_and_never_emptied() -> None:
    story = Story(TEXT, "a")
    assert (story.read(None), story.hub, story.plan()) == ("STAND", "a", "SEND")
    other = Story(TEXT, None)
    assert (other.read("a"), other.hub, other.plan()) == ("TAKE", "a", "QUIET")


def test_consent_that_was_withdrawn_on_either_side_stays_withdrawn() -> None:
    withdrawn_there, withdrawn_here = (Story(FLAG, v, Policy.MOST_RESTRICTIVE) for v in (False, True))
    assert (withdrawn_there.read(True), withdrawn_there.hub) == ("TAKE", True)
    assert (withdrawn_here.read(False), withdrawn_here.hub, withdrawn_here.plan()) == ("STAND", True, "SEND")


def test_a_rotated_key_is_never_an_edit() -> None:
    story = Story(CUT, "abcd")
    story.read("abc")
    story.world.reform(story.fields, "another sixteen.")
    assert (story.read("abc"), story.plan(), story.hub) == ("KEEP", "QUIET", "abcd")


def test_what_the_hub_is_known_to_be_rests_on_what_the_crm_is_known_to_be() -> None:
    """Else a first-link STAND after a change of form would look settled, and never be sent."""
    story = Story(TEXT, "a")
    story.read("a")
    story.world.decided[0, 0] = slow.UNKNOWN
    story.world.reform(story.fields, "another sixteen.")
    assert not story.world.shadow.hub_known.any()
    assert (story.read("b"), story.plan()) == ("STAND", "SEND")


@pytest.mark.parametrize(
    ("policy", "known"), [("last_write_wins", "abc"), ("field_merge", "abc"), ("most_restrictive", "ab")]
)
def test_first_links_end_alike_in_whatever_order_the_crms_are_read(policy: str, known: str) -> None:
    """A stronger CRM that agrees with a weaker one stands for the value from then on."""
    ranks = {"strong": 1, "middle": 2, "weak": 3, "nobody": 99}

    def end(values: dict[str, Any], order: tuple[str, ...]) -> Any:
        hub = slow.HubCell(None, source="nobody")
        for connection in order:
            rule = slow.Rule(connection, policy, restrictive="a", ranks=ranks)
            slow.merge(rule, slow.Cell(), values[connection], (0, 1), hub)
        return hub.value

    for values in product([None, *known], repeat=3):
        given = dict(zip(("strong", "middle", "weak"), values, strict=True))
        assert len({end(given, order) for order in permutations(given)}) == 1
