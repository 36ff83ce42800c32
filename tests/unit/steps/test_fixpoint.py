"""When edits stop, three CRMs and the hub come to rest within three rounds, and agree (P2, P3, P4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.steps.profiles import examples
from tests.unit.steps.three_sides import Star
from tests.unit.steps.worlds import Digits

ACTIONS = ("edit", "edit", "edit", "read", "plan", "send", "receipt", "crash", "rotate", "link")


def unrest(star: Star, digits: Digits) -> None:
    """Let anything happen in any order."""
    for _ in range(digits.below(24)):
        action, side = digits.pick(ACTIONS), digits.pick(star.sides)
        if action == "edit":
            star.edit(digits)
        elif action == "link":
            star.link()
        else:
            getattr(star, action)(side)


@given(st.binary(min_size=240, max_size=240))
@examples(250)
def test_three_sides_come_to_rest_and_agree(code: bytes) -> None:
    digits = Digits(code)
    star = Star(digits, rows=1 + digits.below(3))
    unrest(star, digits)
    writes = [star.round() for _ in range(3)]
    at_rest = star.picture()
    assert star.round() == 0, writes
    assert star.picture() == at_rest, "a round without a write changed something"
    assert star.disagreements() == []
    for side in star.sides:
        assert star.read(side) <= {"unchanged", "held"}
        assert star.picture() == at_rest, "the same read changed something"


@given(st.binary(min_size=240, max_size=240))
@examples(100)
def test_what_was_written_and_comes_back_is_no_change(code: bytes) -> None:
    digits = Digits(code)
    star = Star(digits, rows=1 + digits.below(3))
    unrest(star, digits)
    for side in star.sides:
        star.crash(side)
        star.plan(side)
        if star.send(side):
            star.receipt(side)
            before = star.picture()
            assert star.read(side) <= {"unchanged", "held"}
            assert star.picture() == before
            star.plan(side)
            assert star.send(side) == 0
