"""Truth: whom the sync takes for one, against what the seeder knows."""

from __future__ import annotations

from itertools import combinations

import pytest

from crm_sync.emulators import truth
from tests.scenarios.conftest import SetStage
from tests.scenarios.stage import Stage

SEED = 90_210


def groups(stage: Stage, entity: str) -> list[list[tuple[str, str]]]:
    """Return the golden records as groups of the CRM records that were found (not made by us)."""
    found: dict[object, list[tuple[str, str]]] = {}
    rows = stage.rows(
        "select hub_id, connection, record_id from identity_link where entity = %s and linked_by <> 'created'", [entity]
    )
    for hub_id, connection, record_id in rows:
        found.setdefault(hub_id, []).append((connection, record_id))
    return list(found.values())


@pytest.mark.slow
def test_who_is_who(set_stage: SetStage) -> None:
    with set_stage(seed=SEED, accounts=300, contacts=1500) as stage:
        stage.settle()
        known = stage.truth()
        for entity in ("account", "contact"):
            score = truth.score(known, groups(stage, entity), kinds=(f"{entity}s",))
            print(f"{entity}: recall {score.recall:.3f}; {len(score.missed_weak)} pairs that no strong key joins:")
            for one, other in score.missed_weak:
                print(f"  {one} {other}")
            assert score.wrong == []
            assert score.precision == 1.0
            assert score.missed_strong == []
            assert score.recall_strong == 1.0
            assert score.recall > 0.5, "the keys join hardly anything"
        _families_stay_apart(stage)


def _families_stay_apart(stage: Stage) -> None:
    """People who share one e-mail address but are not one person have golden records of their own."""
    person = {(r["crm"], r["id"]): n for n, records in enumerate(stage.truth()["contacts"]) for r in records}
    by_address: dict[str, set[tuple[str, str]]] = {}
    for connection in stage.screens:
        source = stage.source(connection, "contact", "email")
        for record_id, record in stage.records(connection, "contact").items():
            address = str(record["values"].get(source) or "").strip().lower()
            if address and (connection, record_id) in person:
                by_address.setdefault(address, set()).add((connection, record_id))
    golden = {ref: n for n, group in enumerate(groups(stage, "contact")) for ref in group}
    families = [refs for refs in by_address.values() if len({person[r] for r in refs}) > 1]
    assert len(families) >= 10, "the population has hardly any families"
    for refs in families:
        for one, other in combinations(sorted(r for r in refs if r in golden), 2):
            assert person[one] == person[other] or golden[one] != golden[other], (one, other)
