"""Who yields where records wait for each other's values."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from crm_sync.steps.planning import yielders

Cell = tuple[str, UUID]


def cell(number: int, field: str = "email") -> Cell:
    return (field, UUID(int=number))


def waits(*pairs: tuple[int, int]) -> dict[Cell, Cell]:
    return {cell(waiter): cell(holder) for waiter, holder in pairs}


def test_a_chain_needs_nobody_to_yield() -> None:
    assert yielders(waits((1, 2), (2, 3), (4, 3))) == set()


def test_one_of_each_circle_yields_and_nobody_who_only_waits_for_it() -> None:
    assert yielders(waits((2, 1), (1, 2), (9, 2), (5, 6), (6, 7), (7, 5), (0, 5))) == {cell(1), cell(5)}


def test_fields_wait_apart() -> None:
    assert yielders({cell(1): cell(2), cell(2, "phone"): cell(1, "phone")}) == set()


@given(st.dictionaries(st.integers(0, 12), st.integers(0, 12)))
def test_who_yielded_leaves_no_circle_and_everybody_who_yields_was_in_one(pairs: dict[int, int]) -> None:
    wanted = waits(*((a, b) for a, b in pairs.items() if a != b))
    found = yielders(wanted)
    for one in found:
        seen, at = set(), wanted[one]
        while at != one:
            assert at not in seen
            assert at not in found
            seen.add(at)
            at = wanted[at]
    assert yielders({a: b for a, b in wanted.items() if b not in found}) == set()
