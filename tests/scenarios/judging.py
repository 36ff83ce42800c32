"""Judge what the sync did with a seeded population against what the seeder knows of it.

Belongs here: whom it took for one, and what became of each record. Not here: whether values agree (reading).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from crm_sync.emulators import truth
from crm_sync.records import ABSENT
from tests.scenarios.reading import world
from tests.scenarios.stage import Stage

Ref = tuple[str, str]
"""(connection, record id)."""

Cell = tuple[str, str, str]
"""(connection, record id, field)."""
UNKNOWN = "no form of this value on the other side"

REFUSALS: Mapping[str, tuple[str, str]] = {
    "name missing": ("name", "required"),
    "last name missing": ("last_name", "required"),
    "e-mail invalid": ("email", "email_invalid"),
    "second e-mail invalid": ("second_email", "email_invalid"),
    "job title too long": ("job_title", "max_length"),
}
"""Flaw, as the seeder calls it -> the reason (field, code) for which a record with it must be held."""


def groups(stage: Stage, entity: str) -> list[list[Ref]]:
    """Return the golden records as groups of the CRM records that were found (not made by us)."""
    found: dict[object, list[Ref]] = {}
    rows = stage.rows(
        "select hub_id, connection, record_id from identity_link where entity = %s and linked_by <> 'created'", [entity]
    )
    for hub_id, connection, record_id in rows:
        found.setdefault(hub_id, []).append((connection, record_id))
    return list(found.values())


def check_who_is_who(stage: Stage, known: Mapping[str, Any]) -> dict[str, truth.Score]:
    """Fail where two real things were taken for one, or two records with a strong key for two; return the scores."""
    scores = {}
    for entity in ("account", "contact"):
        score = scores[entity] = truth.score(known, groups(stage, entity), kinds=(f"{entity}s",))
        strong = len(known["strong"][f"{entity}s"])
        print(
            f"{entity}: {strong} strong pairs; precision {score.precision:.3f}, recall {score.recall_strong:.3f}, "
            f"of all {score.recall:.3f}; {len(score.missed_weak)} pairs that no strong key joins"
        )
        assert score.wrong == []
        assert score.precision == 1.0
        assert score.missed_strong == []
        assert score.recall_strong == 1.0
        assert score.recall > 0.5, "the keys join hardly anything"
    return scores


def check_families(stage: Stage, known: Mapping[str, Any]) -> int:
    """Fail where people who share one e-mail address but are not one person share a golden record; return how many."""
    person = {(r["crm"], r["id"]): n for n, records in enumerate(known["contacts"]) for r in records}
    by_address: dict[str, set[Ref]] = {}
    for connection in stage.screens:
        source = stage.source(connection, "contact", "email")
        for record_id, record in stage.records(connection, "contact").items():
            address = str(record["values"].get(source) or "").strip().lower()
            if address and (connection, record_id) in person:
                by_address.setdefault(address, set()).add((connection, record_id))
    golden = {ref: n for n, group in enumerate(groups(stage, "contact")) for ref in group}
    families = [refs for refs in by_address.values() if len({person[r] for r in refs}) > 1]
    for refs in families:
        for one, other in combinations(sorted(r for r in refs if r in golden), 2):
            assert person[one] == person[other] or golden[one] != golden[other], (one, other)
    return len(families)


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of every record of a population. `held`: reason -> records; a record may have several reasons."""

    records: int
    synced: int
    quarantined: int
    in_review: int
    held: Counter[str]


def check_fates(stage: Stage, known: Mapping[str, Any], entity: str) -> Fates:
    """Fail where a record is neither synced nor held, or is both, or is held for anything but the flaw that it has.

    Counted both ways: every record of the truth has one fate, and nothing is held or linked that the truth and we
    ourselves do not account for.
    """
    flaws: dict[Ref, list[str]] = {(r["crm"], r["id"]): r["flaws"] for records in known[f"{entity}s"] for r in records}
    quarantine = {
        (c, r): {(x["field"], x["code"]) for x in json.loads(why)}
        for c, r, why in stage.rows(
            "select connection, record_id, reasons::text from quarantine where entity = %s", [entity]
        )
    }
    expected = {ref: {REFUSALS[flaw] for flaw in of} for ref, of in flaws.items() if of}
    wrong = [r for r in expected.keys() | quarantine.keys() if expected.get(r) != quarantine.get(r)]
    told = [f"{r}: expected {expected.get(r)}, found {quarantine.get(r)}" for r in wrong[:10]]
    assert not wrong, f"{len(wrong)} records are not held as their flaws say: {told}"
    doubtful = set(
        stage.rows(
            "select connection, record_id from review "
            "where entity = %s and state = 'open' and kind = 'ambiguous_match'",
            [entity],
        )
    )
    links = stage.rows(
        "select connection, record_id, state, linked_by = 'created' from identity_link where entity = %s", [entity]
    )
    assert {state for _, _, state, _ in links} == {"live"}
    linked = {(c, r) for c, r, _, ours in links if not ours}
    assert len(linked) == sum(not ours for *_, ours in links), "a record has two links"
    assert not linked & quarantine.keys() and not linked & doubtful and not quarantine.keys() & doubtful
    assert linked | quarantine.keys() | doubtful == flaws.keys()
    ours = {(c, r) for c, r, _, created in links if created}
    there = {(c, r) for c in stage.screens for r in stage.records(c, entity)}
    assert there == flaws.keys() | ours, "a CRM holds a record that nobody accounts for"
    return Fates(
        len(flaws), len(linked), len(quarantine), len(doubtful), Counter(flaw for of in flaws.values() for flaw in of)
    )


def check_excuses(stage: Stage, entity: str, excused: Mapping[str, list[Cell]]) -> Counter[str]:
    """Fail where a cell that differs has no reason, or a reason on record no cell; return "<reason>: <field>" -> cells.

    Withheld is a value that another record of that CRM has taken, parked a reference whose target is held, and a value
    that a mapping does not know and is told to ignore stays as it is.
    """
    mine = "join identity_link l using (hub_id, connection) where l.entity = %s and l.is_primary and l.state = 'live'"
    withheld = set(stage.rows(f"select connection, l.record_id, field from withheld {mine}", [entity]))
    assert withheld == set(excused.get("withheld", []))
    rows = stage.rows(
        "select l.connection, l.record_id, field, l.is_primary from parked_in join identity_link l using (link_id) "
        "where l.entity = %s",
        [entity],
    )
    # Further duplicates inside one CRM are not compared, but their references wait just as well.
    parked = {(c, r, f) for c, r, f, _ in rows}
    compared = {(c, r, f) for c, r, f, primary in rows if primary}
    print(f"{entity}: {len(parked)} references parked, {len(compared)} of them of primary records")
    surplus, missing = (
        compared - set(excused.get("parked inbound", [])),
        set(excused.get("parked inbound", [])) - parked,
    )
    assert not surplus and not missing, f"parked, but equal: {sorted(surplus)[:5]}; not parked: {sorted(missing)[:5]}"
    unknown = excused.get(UNKNOWN, [])
    assert excused.keys() <= {"withheld", "parked inbound", UNKNOWN}
    now = world(stage, entity)
    hub_id_of = {(x.connection, x.record_id): x.hub_id for x in now.links}
    fields = {field for _, _, field in withheld}
    taken = {(c, field, texts[field]) for (c, _), texts in now.crm.items() for field in fields}
    for connection, record_id, field in withheld:
        wanted = now.golden[hub_id_of[connection, record_id]][field]
        assert (connection, field, wanted) in taken, (record_id, field)
    for connection, record_id, field in parked:
        target = stage.specs.entities[entity].field(field).target
        shown = now.crm[connection, record_id][field]
        assert shown.startswith("r:")
        assert stage.count(
            "select count(*) from quarantine where entity = %s and connection = %s and record_id = %s",
            [target, connection, shown[2:]],
        ), (record_id, field)
    for connection, record_id, field in unknown:
        options = stage.specs.mapping(connection, entity).field(field).options
        assert options["unmapped"] == "ignore", (connection, field)
        assert now.crm[connection, record_id][field] == ABSENT, (connection, record_id, field)
    return Counter(f"{reason}: {field}" for reason, cells in excused.items() for _, _, field in cells)
