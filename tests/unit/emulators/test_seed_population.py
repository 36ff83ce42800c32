"""The seeded population and its truth."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from contextlib import closing
from itertools import product
from pathlib import Path

import phonenumbers
import pytest

from crm_sync.emulators.dirt import RATES, Sighting
from crm_sync.emulators.hubspot.properties import EMAIL
from crm_sync.emulators.population import invent
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.seeding import OBJECTS, look, seed_once, truth_file
from crm_sync.emulators.serving import CannotServe, open_state
from crm_sync.emulators.settings import CRMS
from crm_sync.emulators.spoiling import spoil
from crm_sync.emulators.truth import read, score

NOW = 1_760_000_000_000_000
SEEN = look(invent(11, 600, 4000), 11, NOW)


def letters(text: str) -> str:
    """Forgive more than any reasonable matching does: letters and digits alone, without case and accents."""
    return re.sub(r"[\W_]", "", "".join(unicodedata.normalize("NFKD", text.casefold())))


def by_thing(sightings: list[Sighting]) -> dict[int, list[Sighting]]:
    out: dict[int, list[Sighting]] = defaultdict(list)
    for seen in sightings:
        out[seen.thing].append(seen)
    return out


def test_no_mixture_of_a_persons_forms_meets_another_person() -> None:
    owner: dict[tuple[str, str, str, str], int] = {}
    for thing, seen in by_thing(SEEN[1]).items():
        values = [one.values for one in seen]
        firsts, lasts = ({letters(v[part]) for v in values} - {""} for part in ("first", "last"))
        reach = {("e", letters(v["email"])) for v in values}
        for kind, field in (("p", "phone"), ("m", "mobile")):
            reach |= {(kind, re.sub(r"\D", "", v[field])[-9:]) for v in values}
        for (kind, value), first, last in product(reach, firsts, lasts):
            if len(value) > 6 and ("unknown" not in value):
                assert owner.setdefault((kind, value, first, last), thing) == thing


def test_no_mixture_of_a_companys_forms_meets_another_company() -> None:
    owner: dict[tuple[str, str], int] = {}
    for thing, seen in by_thing(SEEN[0]).items():
        names, hosts = {letters(s.values["name"]) for s in seen}, {s.values["host"] for s in seen}
        for name, host in product(names - {""}, hosts - {""}):
            assert owner.setdefault((name, host), thing) == thing


def test_birth_dates_of_one_person_never_contradict() -> None:
    for seen in by_thing(SEEN[1]).values():
        assert len({one.values["birth"] for one in seen} - {""}) <= 1


def test_every_notation_of_a_phone_means_its_number() -> None:
    numbers = 0
    for seen in SEEN[1]:
        for key in seen.keys:
            kind, number, _ = key.split("|")
            if kind in "pm":
                parsed = phonenumbers.parse(seen.values["phone" if kind == "p" else "mobile"], "US")
                assert phonenumbers.is_possible_number(parsed)
                assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == number
                numbers += 1
    assert numbers > 5000


def test_dirt_of_every_kind_is_there_at_about_its_rate() -> None:
    accounts, contacts = SEEN
    assert Counter(len({one.crm for one in seen}) for seen in by_thing(contacts).values()).keys() == {1, 2, 3}
    assert any(len(seen) > len({one.crm for one in seen}) for seen in by_thing(contacts).values())
    flaws = Counter(flaw for seen in (*accounts, *contacts) for flaw in seen.flaws)
    assert flaws.keys() == {
        "last name missing", "name missing", "e-mail invalid", "second e-mail invalid", "job title too long",
    }  # fmt: skip
    missing = sum(not seen.values["email"] for seen in contacts) / len(contacts)
    assert RATES["email_missing"] < missing < 2 * RATES["email_missing"]
    names = {part.strip() for seen in contacts for part in (seen.values["first"], seen.values["last"])}
    assert {"None", "Null", "Nan", "O'Brien", "Müller", "Muller"} <= names
    spaced = [seen.crm for seen in contacts if seen.values["last"] != seen.values["last"].strip()]
    assert set(spaced) == {"hubspot", "dynamics"}
    lengths = {len(seen.values["title"]) for seen in contacts}
    assert max(lengths) > 128 and any(100 < n <= 128 for n in lengths)
    addresses: dict[str, set[int]] = defaultdict(set)
    for seen in contacts:
        if "e-mail invalid" not in seen.flaws:
            addresses[seen.values["email"].strip().casefold()].add(seen.thing)
    addresses.pop("")
    assert sum(len(things) > 1 for things in addresses.values()) > 50  # families and role addresses
    assert any(address.startswith("info@") and len(things) > 1 for address, things in addresses.items())


@pytest.mark.parametrize("kind", [0, 1])
def test_every_field_is_filled_somewhere_missing_somewhere_and_told_in_two_ways(kind: int) -> None:
    names = {name for seen in SEEN[kind] for name in seen.values}
    assert len(names) >= (17, 19)[kind]
    for name in names:
        values = [seen.values[name] for seen in SEEN[kind]]
        assert any(value not in ("", None) for value in values), name
        if not isinstance(values[0], bool):
            assert any(value in ("", None) for value in values), name
        if name not in ("birth", "salutation", "description", "notes"):
            told = ({one.values[name] for one in group} - {"", None} for group in by_thing(SEEN[kind]).values())
            assert any(len(forms) > 1 for forms in told), name


def test_each_crm_takes_its_own_records() -> None:
    emails: Counter[str] = Counter()
    for seen in SEEN[1]:
        if seen.crm == "salesforce":
            assert ids.parse(seen.id) == seen.id and seen.values["last"]
        if seen.crm == "hubspot" and seen.values["email"]:
            emails[seen.values["email"].casefold()] += 1
        if seen.crm != "dynamics" and seen.values["email"]:
            assert EMAIL.match(seen.values["email"])
    assert max(emails.values()) == 1
    for seen in (*SEEN[0], *SEEN[1]):
        assert NOW - 91 * 86_400_000_000 < seen.modified_us <= NOW - 3_600_000_000
        assert seen.created_us <= seen.modified_us
    assert len({seen.id for seen in (*SEEN[0], *SEEN[1])}) == len(SEEN[0]) + len(SEEN[1])


def test_the_same_seed_is_the_same_population_and_another_is_not() -> None:
    again, other = look(invent(11, 600, 4000), 11, NOW), look(invent(12, 600, 4000), 12, NOW)
    assert again == SEEN
    assert [s.values for s in other[1][:50]] != [s.values for s in SEEN[1][:50]]


def test_seeding_fills_three_states_once(tmp_path: Path) -> None:
    assert seed_once(tmp_path, seed=3, accounts=20, contacts=100)
    truth = read(truth_file(tmp_path))
    things = [*truth["accounts"], *truth["contacts"]]
    listed = {(one["crm"], one["object"], one["id"]) for thing in things for one in thing}
    assert (len(truth["accounts"]), len(truth["contacts"])) == (20, 100)
    for crm in CRMS:
        with closing(open_state(tmp_path, crm)) as state:
            stored = {(crm, object, r.id) for object in OBJECTS[crm] for r in state.scan(object)}
            assert stored == {one for one in listed if one[0] == crm}
            if crm == "hubspot":
                contacts = [r.id for r in state.scan("contacts")]
                linked = state.associations("contacts", contacts, "companies")
                assert linked and all([type_id for _, type_id in pairs] == [1, 279] for pairs in linked.values())
                last = int(state.scan("contacts", order="id DESC", limit=1)[0].id)
                assert last == 10**11 + state.next_number("hubspot-id") - 1
    assert not seed_once(tmp_path, seed=3, accounts=20, contacts=100)
    with pytest.raises(CannotServe, match="holds other records"):
        seed_once(tmp_path, seed=4, accounts=20, contacts=100)


def test_a_population_has_as_many_invalid_records_as_asked(tmp_path: Path) -> None:
    accounts, contacts = look(invent(11, 200, 1000), 11, NOW)
    spoil(accounts, contacts, 0.3, seed=11)
    for sightings in (accounts, contacts):
        assert sum(bool(seen.flaws) for seen in sightings) == round(0.3 * len(sightings))
        assert not [seen for seen in sightings if seen.flaws and seen.crm == "salesforce"]
    spoiled = Counter(flaw for seen in (*accounts, *contacts) for flaw in seen.flaws)
    assert min(spoiled[flaw] for flaw in ("name missing", "last name missing", "e-mail invalid")) > 50
    with pytest.raises(CannotServe, match=r"share of invalid records is 0\.9; at most about 0\.\d\d"):
        seed_once(tmp_path, seed=3, accounts=20, contacts=100, invalid_share=0.9)


def test_an_interrupted_seeding_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crm_sync.emulators import seeding

    real = seeding._fill
    done: list[str] = []

    def fill(name: str, *rest: object, **more: object) -> None:
        if len(done) == 1 and "again" not in done:
            raise KeyboardInterrupt
        done.append(name)
        real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(seeding, "_fill", fill)
    with pytest.raises(KeyboardInterrupt):
        seed_once(tmp_path, seed=3, accounts=5, contacts=20)
    done.append("again")
    assert seed_once(tmp_path, seed=3, accounts=5, contacts=20)
    assert done == ["salesforce", "again", "hubspot", "dynamics"]


def test_a_large_population_is_made_of_blocks_that_share_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crm_sync.emulators import seeding

    monkeypatch.setattr(seeding, "BLOCK", 100)
    assert seed_once(tmp_path, seed=3, accounts=50, contacts=250)
    truth = read(truth_file(tmp_path))
    assert (len(truth["accounts"]), len(truth["contacts"])) == (50, 250)
    assert truth["strong"]["accounts"] and truth["strong"]["contacts"]
    listed = [one for thing in (*truth["accounts"], *truth["contacts"]) for one in thing]
    owners: dict[str, set[int]] = defaultdict(set)
    people: dict[tuple[str, str], int] = {}
    for number, thing in enumerate(truth["contacts"]):
        people |= {(one["crm"], one["id"]): number for one in thing}
    for crm in CRMS:
        with closing(open_state(tmp_path, crm)) as state:
            stored = {(object, r.id) for object in OBJECTS[crm] for r in state.scan(object)}
            assert stored == {(one["object"], one["id"]) for one in listed if one["crm"] == crm}
            for record in state.scan(OBJECTS[crm][1]):
                for name in ("Email", "email", "emailaddress1", "Phone", "phone", "telephone1"):
                    value = str(record.values.get(name) or "").strip().casefold()
                    if len(value) > 9 and "unknown" not in value:
                        block = sum(people[crm, record.id] >= first for first in (83, 166))
                        owners[re.sub(r"[^a-z0-9@.]", "", value)].add(block)
    assert sum(len(blocks) == 1 for blocks in owners.values()) > 300
    assert not {value: blocks for value, blocks in owners.items() if len(blocks) > 1 and "@" in value}
    assert not seed_once(tmp_path, seed=3, accounts=50, contacts=250)


def test_a_seeding_that_ends_between_blocks_goes_on_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crm_sync.emulators import seeding

    wanted = {"seed": 3, "accounts": 10, "contacts": 60, "connections": {"salesforce": "salesforce"}}
    monkeypatch.setattr(seeding, "BLOCK", 20)
    monkeypatch.setattr(seeding, "system_clock", lambda: NOW)
    assert seed_once(tmp_path / "whole", **wanted)  # type: ignore[arg-type]
    real, blocks = seeding._fill, list[int]()

    def fill(*given: object, last: bool) -> None:
        if given[-1] == 2 and 2 not in blocks:
            blocks.append(2)
            raise KeyboardInterrupt
        blocks.append(int(str(given[-1])))
        real(*given, last=last)  # type: ignore[arg-type]

    monkeypatch.setattr(seeding, "_fill", fill)
    with pytest.raises(KeyboardInterrupt):
        seed_once(tmp_path / "parts", **wanted)  # type: ignore[arg-type]
    assert seed_once(tmp_path / "parts", **wanted) and blocks == [0, 1, 2, 2]  # type: ignore[arg-type]
    found = []
    for name in ("whole", "parts"):
        with closing(open_state(tmp_path / name, "salesforce")) as state:
            found.append([state.scan(object) for object in OBJECTS["salesforce"]])
        found[-1].append(truth_file(tmp_path / name).read_bytes())  # type: ignore[arg-type]
    assert found[0] == found[1] and len(found[0][1]) > 20


def test_blocks_never_meet_however_their_addresses_are_numbered() -> None:
    emails: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    for block in (0, 1, 11, 12):
        world = invent(5, 200, 2000, block)  # the same names in each
        emails.update({person.email for person in world.people} | {person.other_email for person in world.people})
        hosts.update({company.host for company in world.companies})
    assert max(emails.values()) == max(hosts.values()) == 1
    assert any(re.search(r"\.b1-2@", email) for email in emails) and len(emails) > 12_000


def test_connections_of_one_kind_are_filled_from_one_world(tmp_path: Path) -> None:
    places = {"eu": "hubspot", "us": "hubspot"}
    assert seed_once(tmp_path, seed=3, accounts=10, contacts=60, connections=places, everywhere=True)
    truth = read(truth_file(tmp_path))
    assert all({one["crm"] for one in thing} == {"eu", "us"} for thing in truth["contacts"])
    for name in places:
        with closing(open_state(tmp_path, "hubspot", name)) as state:
            assert state.count("contacts") >= 60
            ids_there = {one["id"] for thing in truth["contacts"] for one in thing if one["crm"] == name}
            assert {record.id for record in state.scan("contacts")} == ids_there
    assert not seed_once(tmp_path, seed=3, accounts=10, contacts=60, connections=places, everywhere=True)
    with pytest.raises(CannotServe, match="holds other records"):
        seed_once(tmp_path, seed=3, accounts=10, contacts=60, connections=places)


def test_a_score_tells_wrong_missed_and_found_pairs() -> None:
    def one(crm: str, id: str) -> dict[str, object]:
        return {"crm": crm, "object": "x", "id": id, "flaws": []}

    a, b, c, d = one("salesforce", "1"), one("hubspot", "2"), one("dynamics", "3"), one("hubspot", "4")
    truth = {"accounts": [], "contacts": [[a, b, c], [d]], "strong": {"accounts": [], "contacts": [[a, b]]}}
    right = [{("salesforce", "1"), ("hubspot", "2"), ("dynamics", "3")}, {("hubspot", "4"), ("x", "new")}]
    perfect = score(truth, right)
    assert (perfect.precision, perfect.recall_strong, perfect.recall) == (1.0, 1.0, 1.0)
    nothing = score(truth, [])
    assert (nothing.precision, nothing.recall_strong, nothing.recall) == (1.0, 0.0, 0.0)
    assert len(nothing.missed_strong) == 1 and len(nothing.missed_weak) == 2
    mixed = score(truth, [{("salesforce", "1"), ("hubspot", "2"), ("hubspot", "4")}])
    assert mixed.precision == pytest.approx(1 / 3) and mixed.recall_strong == 1.0
    assert mixed.wrong == [(("hubspot", "2"), ("hubspot", "4")), (("hubspot", "4"), ("salesforce", "1"))]
    with pytest.raises(ValueError, match="two groups"):
        score(truth, [{("hubspot", "2")}, {("hubspot", "2")}])
