"""Side by side: several syncs at once, each a process of its own, do the work of one."""

from __future__ import annotations

import random

import pytest

from tests.scenarios.conftest import SetStage
from tests.scenarios.deeds import Deeds
from tests.scenarios.dying import Syncing
from tests.scenarios.folk import settle_in
from tests.scenarios.portrait import difference, portrait, twins
from tests.scenarios.stage import Stage

SEED = 23
CHAPTERS = 2


def end_all(syncs: list[Syncing]) -> list[str]:
    """Wait for the end of syncs; return what kept them from connections."""
    codes = [sync.end() for sync in syncs]
    assert codes == [0] * len(syncs), [sync.failure for sync in syncs]
    return [why.partition(":")[0] for sync in syncs for why in (sync.missed or {}).values()]


def start_three(stage: Stage, dice: random.Random, most: int) -> list[Syncing]:
    """Start three syncs, each when the one before has passed some boundaries, `most` at most."""
    syncs: list[Syncing] = []
    for _ in range(3):
        syncs.append(Syncing(stage))
        syncs[-1].has_passed(dice.randint(0, most))
    return syncs


@pytest.mark.slow
def test_three_syncs_at_once_end_as_one(set_stage: SetStage) -> None:
    with set_stage(knobs=("page_rows=4",)) as alone, set_stage(knobs=("page_rows=4",)) as crowded:
        one, many = Deeds(settle_in(alone), SEED), Deeds(settle_in(crowded), SEED)
        dice = random.Random(SEED)
        # All three begin at once as well; but an edit before two records are linked is judged otherwise than one after.
        kept_out = end_all(start_three(crowded, dice, 0))
        alone.settle()
        crowded.settle()
        shared = 0
        for _ in range(CHAPTERS):
            for deeds in (one, many):
                deeds.arrive()
                deeds.edit(4)
            syncs = start_three(crowded, dice, 12)
            # People go on meanwhile.
            many.edit(8)
            one.edit(8)
            kept_out += end_all(syncs)
            shared += sum(sync.passed > 0 for sync in syncs) > 1
            alone.sync()
        alone.settle()
        rounds = crowded.settle()
        assert rounds[-1].missed == {}
        assert twins(crowded) == []
        assert difference(portrait(alone, one.folk.labels()), portrait(crowded, many.folk.labels())) == []
        assert crowded.rows("select connection, entity from outbox") == []
        # Who finds a connection taken says so, and does nothing to it.
        print(f"kept out {len(kept_out)} times; in {shared} of {CHAPTERS} chapters several had work to do")
        assert set(kept_out) <= {"Busy", "LostLock"}
        assert kept_out, "they never met"
        assert shared, "one did it all"
