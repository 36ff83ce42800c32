"""Every state that a few actions reach keeps the promises P2 to P7."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.steps import reference_merger as slow
from tests.unit.steps.profiles import PROOF, examples
from tests.unit.steps.star_states import Broken, Machine, Star, hold

A, B = "salesforce", "hubspot"
NEAR, FAR = (6_000, 120_000) if PROOF else (200, 8_000)
"""How many states to visit of one machine."""


def folding(fold: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda value: fold(value) if isinstance(value, str) else value


def settled(machine: Machine, star: Star) -> Star:
    """Run undisturbed rounds until nothing is written."""
    for _ in range(4):
        star, writes = machine.round(star)
        if not writes:
            return star
    raise Broken("P4: still writing after three rounds")


def agreed(machine: Machine, star: Star) -> bool:
    """Tell whether all open two-way cells show what the hub holds."""
    for place, side in enumerate(star.sides):
        for rule, cell, source, hub in zip(
            machine.at(star, place), side.cells, side.now.sources, star.hub, strict=True
        ):
            shown = rule.project(hub[0])
            if cell[4] or rule.direction == "in" or shown is slow.UNPROJECTABLE:
                continue
            if not slow.same(rule.read(source), shown):
                return False
    return True


def arrives(machine: Machine, star: Star) -> None:
    """Hold that in a settled star a single edit, made by anyone, wins everywhere, whatever the policy (P5)."""
    if any(cell[4] for side in star.sides for cell in side.cells):
        return
    for field, domain in enumerate(machine.domains):
        for value in domain:
            if not slow.same(value, star.hub[field][0]):
                end = settled(machine, machine.edit_hub(star, field, value))
                hold(slow.same(end.hub[field][0], value), "P5: an edit in the hub is gone")
                hold(agreed(machine, end), "P4: an edit in the hub did not arrive")
    for place, side in enumerate(star.sides):
        for field, domain in enumerate(machine.source_domains[place]):
            rule = machine.at(star, place)[field]
            for value in domain:
                if rule.direction != "out" and not slow.same(rule.read(value), rule.read(side.now.sources[field])):
                    end = settled(machine, machine.edit(star, place, field, value))
                    closed, lifted = end.sides[place].cells[field][4], rule.lift(rule.read(value))
                    kept = lifted is slow.PENDING or (rule.lossy and rule.on_inbound != "replace")
                    expected = star.hub[field][0] if kept else lifted
                    hold(slow.same(end.hub[field][0], expected), "P5: an edit in a CRM is gone, or did too much")
                    held = lifted is slow.PENDING or (rule.lossy and rule.on_inbound == "review")
                    hold((closed is not None) == held, "P5: an edit in a CRM is held, or should be")
                    hold(agreed(machine, end), "P4: an edit in a CRM did not arrive")


def values(star: Star) -> Any:
    """Return what people see."""
    return [h[0] for h in star.hub], [s.now.sources for s in star.sides]


def check(machine: Machine, star: Star, ends: set[Star]) -> None:
    """Hold the promises against one state; `ends` are the settled stars already tried."""
    end = settled(machine, star)
    hold(agreed(machine, end), "P4: quiet, and yet they disagree")
    again, writes = machine.round(end)
    hold(writes == 0 and values(again) == values(end), "P4: a change after the quiet")
    if end not in ends:
        ends.add(end)
        arrives(machine, end)
    for place, side in enumerate(star.sides):
        once = machine.absorb(star, place, side.now)
        same, landed = once.sides[place].now, once.sides[place].landed
        hold(machine.absorb(once, place, same) == once, "P2: the same read changed something twice")
        merged = machine.absorb(star, place, side.now, again=True)
        twice = machine.absorb(merged, place, merged.sides[place].now, again=True)
        hold(twice == merged, "P2: merging twice is not merging once")
        if landed is not None and landed.stamp < same.stamp:
            hold(machine.absorb(once, place, landed) == once, "P2: an older read changed something")
        if side.stage == "sent" and side.now.stamp == side.wrote and not machine.coarse:
            receipt, crash = machine.receipt(star, place), machine.read_back(star, place)
            echo = machine.absorb(receipt, place, receipt.sides[place].now)
            hold(values(echo) == values(star), "P3: our own write changed the hub")
            ends = values(settled(machine, receipt)), values(settled(machine, crash))
            hold(ends[0] == ends[1], "P6: a crash changed the end")


def explore(machine: Machine, limit: int, fresh: bool = True) -> tuple[int, int]:
    """Visit states breadth first; return how many, and the number of actions to the farthest."""
    starts = machine.starts() if fresh else (settled(machine, star) for star in machine.starts())
    seen: dict[Star, tuple[Star | None, str, int]] = dict.fromkeys(starts, (None, "start", 0))
    waiting = deque(seen)
    ends: set[Star] = set()
    depth = 0
    while waiting:
        star = waiting.popleft()
        depth = seen[star][2]
        name = "check"
        try:
            check(machine, star, ends)
            for name, reached in machine.actions(star):
                if reached not in seen and len(seen) < limit:
                    seen[reached] = (star, name, depth + 1)
                    waiting.append(reached)
        except Broken as error:
            raise AssertionError(
                "\n".join([str(error), *story(seen, star), f"then one of the actions after {name}"])
            ) from error
    return len(seen), depth


def story(seen: dict[Star, tuple[Star | None, str, int]], star: Star | None) -> list[str]:
    """Tell how a state was reached."""
    lines: list[str] = []
    while star is not None:
        before, name, _ = seen[star]
        lines.insert(0, f"{name}: {told(star)}")
        star = before
    return lines


def told(star: Star) -> str:
    """Tell a state in a line or two."""
    sides = [
        f"    {s.now.sources}@{s.now.stamp} seen {s.seen} last {s.last and tuple(s.last)} "
        f"landed {s.landed and tuple(s.landed)} {s.stage} based {s.based} wrote {s.wrote} cells {s.cells}"
        for s in star.sides
    ]
    return "\n".join([str(star.hub), *sides])


RANKS = {"A first": {A: 0, B: 1, "hub": 2}, "hub first": {"hub": 0, B: 1, A: 2}}
KINDS: dict[str, Any] = {
    "cut": (folding(lambda t: t[:1]), ("a", "ab"), ("a", "b"), ("a", "ab")),
    "fold": (folding(lambda t: "warm" if t == "hot" else t), ("warm", "hot"), ("warm", None), ("warm", "hot")),
    "plain": (lambda v: v, ("x", None), ("x", "y"), ("x", None)),
}
"""How A shows a field (B shows it as it is), and the values that people give in the hub, in A and in B."""
POLICIES = ("last_write_wins", "field_merge", "manual_review")
TARGETS = {A: {"a1": "h1", "a2": "h2"}, B: {"b1": "h1", "b2": "h2"}}


def field(kind: str, policy: str, on_inbound: str, ranks: str) -> tuple[slow.Rule, slow.Rule]:
    """Return the rules of a field in A, where it may lose, and in B."""
    shape, rank = KINDS[kind][0], RANKS[ranks]
    lossy = kind != "plain"
    return (
        slow.Rule(A, policy, on_inbound=on_inbound, lossy=lossy, ranks=rank, read=shape, project=shape),
        slow.Rule(B, policy, ranks=rank),
    )


def reference(policy: str, ranks: str, b2_linked: bool) -> tuple[slow.Rule, slow.Rule]:
    """Return the rules of a reference: both targets are linked in A, and in B the second one later."""

    def side(name: str, links: dict[str, str]) -> slow.Rule:
        back = {hub: crm for crm, hub in links.items()}
        return slow.Rule(
            name,
            policy,
            ranks=RANKS[ranks],
            lift=lambda v: None if v is None else links.get(v, slow.PENDING),
            project=lambda v: None if v is None else back.get(v, slow.UNPROJECTABLE),
        )

    return side(A, TARGETS[A]), side(B, TARGETS[B] if b2_linked else {"b1": "h1"})


def machine_of(kind: str, policy: str, on_inbound: str, ranks: str, **behaviour: Any) -> Machine:
    """Make a star of one field."""
    a, b = field(kind, policy, on_inbound, ranks)
    return Machine(
        ((a,), (b,)), domains=(KINDS[kind][1],), source_domains=tuple((d,) for d in KINDS[kind][2:]), **behaviour
    )


def references(policy: str, ranks: str, **behaviour: Any) -> Machine:
    """Make a star of one reference."""
    linked, unlinked = (tuple((rule,) for rule in reference(policy, ranks, known)) for known in (True, False))
    return Machine(linked, unlinked, (("h1", "h2"),), ((("a1", None),), (("b1", "b2"),)), **behaviour)


def whole(ranks: str, **behaviour: Any) -> Machine:
    """Make a star of a cut text, a folded picklist and a reference, each under another policy."""
    cut, fold = field("cut", "field_merge", "replace", ranks), field("fold", "manual_review", "ignore", ranks)
    linked, unlinked = (
        tuple(zip(cut, fold, reference("last_write_wins", ranks, known), strict=True)) for known in (True, False)
    )
    sources = (("a", "b"), ("warm", None), ("a1", "a2")), (("ab", "a"), ("hot", "warm"), ("b1", "b2"))
    return Machine(linked, unlinked, (("ab", "a"), ("hot", "warm"), ("h1", "h2")), sources, **behaviour)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("on_inbound", ["replace", "review", "ignore"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("ranks", RANKS)
def test_near_states_of_one_field(kind: str, on_inbound: str, policy: str, ranks: str) -> None:
    """Near a first link, and near an agreement, with stamps that may repeat and with receipts of any kind."""
    for versions, fresh, coarse in (((True, False), True, False), ((False, True), False, True)):
        explore(machine_of(kind, policy, on_inbound, ranks, versions=versions, coarse=coarse), NEAR, fresh)


@pytest.mark.parametrize("versions", [True, False])
@pytest.mark.parametrize("policy", ["last_write_wins", "field_merge"])
def test_far_states_of_one_field(policy: str, versions: bool) -> None:
    """Seven actions deep and more: an intent, its write, edits over it; late and repeated reads, crashes, rotations."""
    machine = machine_of("plain", policy, "replace", "hub first", versions=(versions, True), brisk=(1,))
    machine = replace(machine, source_domains=((("x", "y"),), (("x",),)))
    _, depth = explore(machine, FAR, fresh=False)
    assert depth >= 7


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("ranks", RANKS)
def test_near_states_of_a_reference(policy: str, ranks: str) -> None:
    """A target that is linked late parks the reference outward, and makes it wait inward."""
    explore(references(policy, ranks), NEAR * 2)
    explore(references(policy, ranks, brisk=(0,)), NEAR * 2, fresh=False)


@given(st.binary(min_size=60, max_size=60), st.sampled_from(list(RANKS)), st.booleans(), st.booleans())
@examples(80)
def test_long_walks_of_a_whole_record(code: bytes, ranks: str, coarse: bool, fresh: bool) -> None:
    """Sixty actions on three fields at once; the promises hold after every one."""
    machine = whole(ranks, coarse=coarse)
    star = next(iter(machine.starts()))
    star = star if fresh else settled(machine, star)
    names = []
    ends: set[Star] = set()
    for choice in code:
        check(machine, star, ends)
        options = list(machine.actions(star))
        name, star = options[choice % len(options)]
        names.append(name)


def test_a_receipt_seen_in_a_read_is_seen_once() -> None:
    """The value that we sent, given again by a person after another edit, is that person's edit."""
    machine = machine_of("plain", "field_merge", "replace", "hub first")
    star = machine.edit_hub(settled(machine, next(iter(machine.starts()))), 0, "sent")
    star = machine.send(machine.plan(star, 0), 0)
    star = machine.absorb(star, 0, star.sides[0].now)
    for value in ("other", "sent"):
        star = machine.edit(star, 0, 0, value)
        star = machine.absorb(star, 0, star.sides[0].now)
        assert star.hub[0][0] == value
    assert values(settled(machine, star)) == (["sent"], [("sent",), ("sent",)])
