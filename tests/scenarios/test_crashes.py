"""Crash anywhere (P6): killed at every named boundary and run again, the sync ends as if nothing had happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from crm_sync.flows.sync import sync
from tests.scenarios.conftest import SetStage
from tests.scenarios.dying import BOUNDARIES, killed_sync, small_pages
from tests.scenarios.folk import Folk, live_on, settle_in
from tests.scenarios.portrait import difference, portrait, twins
from tests.scenarios.reading import compare
from tests.scenarios.stage import Stage

KNOBS = ("page_rows=4",)
DEATHS = (
    *[("landed", 1), ("landed", 2), ("watermark", 1), ("watermark", 2), ("absorbed", 1), ("absorbed", 2)],
    *[("propagated", 1), ("intent_written", 1), ("sent", 1), ("receipted", 1), ("sent", 1), ("receipted", 1)],
)
"""One after the other during one first sync."""


@pytest.fixture(scope="module", autouse=True)
def _small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_pages(patch.setattr)
        yield


def passing(stage: Stage) -> Counter[str]:
    """Run an undisturbed sync; return how often it passed each boundary."""
    passed: Counter[str] = Counter()
    with stage.opened() as ctx:
        ctx.boundary = lambda name: passed.update([name])
        sync(ctx)
    return passed


def same(undisturbed: Folk, disturbed: Folk) -> None:
    """Fail where two stages differ in more than stamps, ids and attempts; or where a record was created twice."""
    one = portrait(undisturbed.stage, undisturbed.labels())
    other = portrait(disturbed.stage, disturbed.labels())
    assert difference(one, other) == []
    assert twins(disturbed.stage) == []
    disturbed.stage.check_books()
    assert disturbed.stage.rows("select connection, entity from outbox") == []


@dataclass
class Pair:
    """Two stages that live through the same chapters, one of them disturbed, from its first sync on."""

    calm: Folk
    troubled: Folk
    chapters: Iterator[int]
    struck: list[tuple[str, int]]
    """The deaths during the first sync."""


@pytest.fixture(scope="module")
def pair(set_stage: SetStage) -> Iterator[Pair]:
    with set_stage(knobs=KNOBS) as undisturbed, set_stage(knobs=KNOBS) as disturbed:
        calm, troubled = settle_in(undisturbed), settle_in(disturbed)
        passing(undisturbed)
        struck = [death for death in DEATHS if killed_sync(disturbed, *death)]
        undisturbed.settle()
        disturbed.settle()
        yield Pair(calm, troubled, count(1), struck)


def test_a_first_sync_killed_time_and_again(pair: Pair) -> None:
    assert pair.struck == list(DEATHS)
    same(pair.calm, pair.troubled)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("when", ["the first time", pytest.param("later", marks=pytest.mark.proof)])
def test_killed_and_run_again(pair: Pair, boundary: str, when: str) -> None:
    chapter = next(pair.chapters)
    live_on(pair.calm, chapter)
    live_on(pair.troubled, chapter)
    times = passing(pair.calm.stage)[boundary]
    assert times >= 1, f"no sync ever passes {boundary}"
    pair.calm.stage.settle()
    nth = 1 if when == "the first time" else (times + 1) // 2
    assert killed_sync(pair.troubled.stage, boundary, nth), f"{boundary} was not passed {nth} times"
    pair.troubled.stage.settle()
    same(pair.calm, pair.troubled)


@pytest.mark.parametrize("entity", ["account", "contact"])
def test_in_the_end_all_agree(pair: Pair, entity: str) -> None:
    assert compare(pair.troubled.stage, entity).differences == []
