"""Truth: whom the sync takes for one, and what becomes of each record, against what the seeder knows."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import SetStage
from tests.scenarios.judging import check_excuses, check_families, check_fates, check_who_is_who
from tests.scenarios.reading import compare

SEED = 90_210


@pytest.mark.slow
def test_who_is_who(set_stage: SetStage) -> None:
    with set_stage(seed=SEED, accounts=300, contacts=1500) as stage:
        stage.settle()
        known = stage.truth()
        for score in check_who_is_who(stage, known).values():
            print(*score.missed_weak, sep="\n")
        assert check_families(stage, known) >= 10, "the population has hardly any families"
        check_fates(stage, known, "account")
        assert check_fates(stage, known, "contact").quarantined >= 10
        for entity in ("account", "contact"):
            found = compare(stage, entity)
            assert found.differences == []
            print(check_excuses(stage, entity, found.excused))
