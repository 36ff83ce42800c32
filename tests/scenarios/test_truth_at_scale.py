"""Truth at 2,000 accounts and 10,000 contacts: every record of a dirty population is synced, or held with a reason."""

from __future__ import annotations

import os

import pytest

from crm_sync.flows.reconcile import differences
from tests.scenarios.conftest import SetStage
from tests.scenarios.judging import REFUSALS, check_excuses, check_families, check_fates, check_who_is_who
from tests.scenarios.portrait import twins
from tests.scenarios.reading import compare

SEED = int(os.environ.get("TRUTH_SEED", "90210"))
ACCOUNTS, CONTACTS = 2000, 10_000


@pytest.mark.proof
def test_every_record_of_a_large_population_is_synced_or_held(set_stage: SetStage) -> None:
    with set_stage(seed=SEED, accounts=ACCOUNTS, contacts=CONTACTS) as stage:
        rounds = stage.settle()
        assert rounds[-1].missed == {}
        known = stage.truth()
        assert (len(known["accounts"]), len(known["contacts"])) == (ACCOUNTS, CONTACTS)
        check_who_is_who(stage, known)
        assert check_families(stage, known) >= 50
        flaws = set()
        for entity in ("account", "contact"):
            fates = check_fates(stage, known, entity)
            print(f"{entity}: {fates}")
            flaws |= fates.held.keys()
            # Those that are synced show what the hub holds, each field as its mapping says.
            found = compare(stage, entity)
            excused = check_excuses(stage, entity, found.excused)
            print(f"{entity}: {found.equal} cells agree; {dict(excused)}")
            assert found.differences == []
            assert excused.total() < found.equal / 100
        assert flaws == REFUSALS.keys(), "the population lacks some of the dirt that must be refused"
        assert stage.rows("select connection, entity, state from outbox") == []
        assert twins(stage) == []
        quiet = stage.sync()
        assert quiet.missed == {}
        assert quiet.writes == {}
        assert quiet.totals["applied"] == 0
        with stage.opened("reconcile") as ctx:
            assert differences(ctx) == []
