"""The shipped rules, read against a dirty population whose truth is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

import pytest

from crm_sync.emulators import seeding
from crm_sync.emulators.dirt import Sighting
from crm_sync.emulators.population import invent
from crm_sync.emulators.truth import strong_pairs
from crm_sync.records import columns
from crm_sync.specs.loader import load
from crm_sync.steps.mapping import crm_form, lift_batch
from crm_sync.steps.matching import Identity, contradicts, identities
from crm_sync.steps.validation import validate
from tests.unit.specs.rule_files import CONFIG

SPECS = load(CONFIG)
SEED = 4711
NOW_US = 1_790_000_000_000_000


def read(entity: str, sightings: list[Sighting]) -> list[tuple[Sighting, Identity]]:
    """Lift and validate what each CRM holds; return the records that pass, with their match keys."""
    out = []
    spec = SPECS.entities[entity]
    for crm in SPECS.connections:
        mine = [s for s in sightings if s.crm == crm]
        account, contact = seeding.SHAPES[crm]
        rows = [account(s.values) if entity == "account" else contact(s.values, None) for s in mine]
        mapping, connection = SPECS.mapping(crm, entity), SPECS.connections[crm]
        full = [{name: row.get(name) for name in mapping.source_fields} for row in rows]
        lifted = lift_batch(spec, mapping, connection, columns(mapping.source_fields, full))
        refused = validate(spec, mapping, lifted)
        assert set(refused) == {n for n, s in enumerate(mine) if s.flaws}, f"{crm} {entity}: refused for its content"
        for mapped in mapping.fields:
            if mapped.association is None and mapped.field != "account":
                texts = lifted.texts[mapped.field]
                assert crm_form(spec, mapping, connection, mapped.field, texts).tolist() == texts.tolist()
        found = identities(spec, lifted.texts, len(mine))
        out += [(s, i) for n, (s, i) in enumerate(zip(mine, found, strict=True)) if n not in refused]
    return out


@pytest.mark.parametrize("entity", ["account", "contact"])
def test_keys_meet_exactly_where_records_share_a_strong_key(entity: str) -> None:
    accounts, contacts = seeding.look(invent(SEED, 120, 600), SEED, NOW_US)
    sightings = accounts if entity == "account" else contacts
    by_key: dict[tuple[str, str], list[tuple[Sighting, Identity]]] = defaultdict(list)
    for seen, identity in read(entity, sightings):
        for key in identity.keys:
            by_key[key].append((seen, identity))
    met: set[frozenset[str]] = set()
    for (rule, _), records in by_key.items():
        for (one, its), (other, others) in combinations(records, 2):
            if not contradicts(rule, its, others):
                assert one.thing == other.thing, f"{one.crm} {one.id} and {other.crm} {other.id} are two"
                met.add(frozenset((one.id, other.id)))
    things: dict[int, list[Sighting]] = defaultdict(list)
    for seen in sightings:
        things[seen.thing].append(seen)
    strong = {
        frozenset((group[a].id, group[b].id))
        for group in things.values()
        for a, b in strong_pairs([() if s.flaws else s.keys for s in group])
    }
    assert len(strong) > 50
    assert strong <= met


def test_the_population_really_has_families_and_flaws() -> None:
    world = invent(SEED, 120, 600)
    shared = [mail for mail, count in Counter(p.email for p in world.people).items() if count > 1]
    _, contacts = seeding.look(world, SEED, NOW_US)
    assert len(shared) >= 10
    assert {flaw for s in contacts for flaw in s.flaws} >= {"e-mail invalid", "last name missing"}
