"""Random sequences of calls to the HubSpot emulator agree with a plain model: dictionaries, and the rules in words.

The model knows contacts (unique e-mail, additional addresses, a unique key of our own), companies, and the associations
between them. Every rule sends a call and compares the answer; the invariants compare lists, searches and batch reads.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests.models.sequences import sequences
from tests.unit.emulators.hubspot.inside import OBJECTS, Inside, where
from tests.unit.emulators.hubspot.test_batches import KEY

NAMES = st.sampled_from(["Ann", "Bo", "cy", "Dé", ""])
CITIES = st.sampled_from(["Ulm", "ulm", "Bonn", ""])
EMAILS = st.sampled_from([f"{one}@x.test" for one in "abcd"] + ["A@X.test", ""])
KEYS = st.sampled_from(["k1", "k2", "k3"])
PRIMARY, PLAIN = 1, 279


@dataclass
class Person:
    """One contact as the model has it."""

    values: dict[str, str]
    more: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    companies: dict[str, bool] = field(default_factory=dict)
    """Company id -> whether it is the primary one."""


class Portal(RuleBasedStateMachine):
    """The emulator beside its model."""

    people = Bundle("people")
    firms = Bundle("firms")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.inside = Inside(self.directory)
        self.live: dict[str, Person] = {}
        self.binned: dict[str, Person] = {}
        self.erased: set[str] = set()
        self.leads_to: dict[str, str] = {}
        self.companies: dict[str, bool] = {}

    def teardown(self) -> None:
        self.inside.close()
        shutil.rmtree(self.directory)

    @initialize()
    def own_key(self) -> None:
        self.inside.post("/crm/v3/properties/contacts", KEY, 201)

    # -- the rules of the model

    def holder(self, email: str) -> str | None:
        """Return who has an address, as primary or additional one."""
        wanted = email.lower()
        for id, one in self.live.items():
            if wanted and wanted in (one.values.get("email"), *one.more):
                return id
        return None

    def holder_of_key(self, key: str) -> str | None:
        return next((id for id, one in self.live.items() if key and one.values.get("our_key") == key), None)

    def refusal(self, values: dict[str, str], own: str | None = None) -> int | None:
        """Return with what status values are refused; None where they are taken."""
        email, key = self.holder(values.get("email", "")), self.holder_of_key(values.get("our_key", ""))
        if own is None and not any(values.get(name) for name in ("email", "firstname")):
            return 400
        # The unique properties are held in the order in which they were made: e-mail first.
        if email not in (None, own):
            return 409
        return 400 if key not in (None, own) else None

    @staticmethod
    def kept(values: dict[str, str]) -> dict[str, str]:
        return {name: value.lower() if name == "email" else value for name, value in values.items()}

    def apply(self, id: str, values: dict[str, str]) -> None:
        one = self.live[id]
        one.values = {name: value for name, value in {**one.values, **self.kept(values)}.items() if value}

    def resolved(self, id: str) -> str:
        while id in self.leads_to:
            id = self.leads_to[id]
        return id

    # -- single calls

    @rule(target=people, first=NAMES, city=CITIES, email=EMAILS)
    def create(self, first: str, city: str, email: str) -> Any:
        values = {"firstname": first, "city": city, "email": email}
        answer = self.inside.send("POST", f"{OBJECTS}/contacts", {"properties": values})
        refused = self.refusal(values)
        assert answer.status == (refused or 201), answer
        if refused:
            return multiple()
        self.live[answer.body["id"]] = Person({})
        self.apply(answer.body["id"], values)
        return answer.body["id"]

    @rule(target=firms, name=st.sampled_from("AB"))
    def found(self, name: str) -> str:
        id = self.inside.create("companies", name=name)
        self.companies[id] = True
        return id

    @rule(id=people, values=st.fixed_dictionaries({}, optional={"firstname": NAMES, "city": CITIES, "email": EMAILS}))
    def update(self, id: str, values: dict[str, str]) -> None:
        self.inside.advance(0.001)
        answer = self.inside.send("PATCH", f"{OBJECTS}/contacts/{id}", {"properties": values})
        now = self.resolved(id)
        if now not in self.live:
            assert answer.status == 404
            return
        refused = self.refusal(values, now)
        assert answer.status == (refused or 200), answer
        if not refused:
            assert answer.body["id"] == now
            self.apply(now, values)

    @rule(id=people)
    def archive(self, id: str) -> None:
        assert self.inside.send("DELETE", f"{OBJECTS}/contacts/{id}").status == 204
        if id in self.live:
            one = self.binned[id] = self.live.pop(id)
            one.companies.clear()

    @rule(id=people)
    def restore(self, id: str) -> None:
        one = self.binned.get(id)
        if one is None or self.holder_of_key(one.values.get("our_key", "")):
            return
        if any(self.holder(email) for email in (one.values.get("email", ""), *one.more)):
            return
        assert self.inside.desk.restore("contacts", id)
        self.live[id] = self.binned.pop(id)

    @rule(id=consumes(people), by_email=st.booleans())
    def erase(self, id: str, by_email: bool) -> None:
        now = self.resolved(id)
        email = self.live[now].values.get("email") if now in self.live else None
        body = {"objectId": email, "idProperty": "email"} if by_email and email else {"objectId": id}
        answer = self.inside.send("POST", f"{OBJECTS}/contacts/gdpr-delete", body)
        known = now in self.live or now in self.binned
        assert answer.status == (204 if known else 404)
        self.live.pop(now, None)
        self.binned.pop(now, None)
        self.erased.add(now)

    @rule(target=people, first=people, second=people)
    def merge(self, first: str, second: str) -> Any:
        body = {"primaryObjectId": first, "objectIdToMerge": second}
        answer = self.inside.send("POST", f"{OBJECTS}/contacts/merge", body)
        one, other = self.resolved(first), self.resolved(second)
        if one not in self.live or other not in self.live:
            assert answer.status == 404
            return multiple()
        if one == other:
            assert answer.status == 400
            return multiple()
        assert answer.status == 200, answer
        self.live[answer.body["id"]] = self.joined(one, other)
        self.leads_to |= {one: answer.body["id"], other: answer.body["id"]}
        return answer.body["id"]

    def joined(self, first: str, second: str) -> Person:
        one, other = self.live.pop(first), self.live.pop(second)
        values = {**other.values, **one.values}
        known = [*one.more, *other.more, other.values.get("email", "")]
        more = [email for email in dict.fromkeys(known) if email and email != values.get("email")]
        has_primary = any(one.companies.values())
        companies = dict(one.companies)
        for id, primary in other.companies.items():
            companies[id] = companies.get(id, False) or (primary and not has_primary)
        merged = [*one.merged, *other.merged, first, second]
        return Person(values, more, merged, companies)

    # -- batches

    @rule(
        target=people,
        inputs=st.lists(st.tuples(NAMES, EMAILS), min_size=1, max_size=3),
        traced=st.booleans(),
    )
    def create_batch(self, inputs: list[tuple[str, str]], traced: bool) -> Any:
        sent = [{"properties": {"firstname": first, "email": email}} for first, email in inputs]
        if traced:
            sent = [one | {"objectWriteTraceId": f"t{at}"} for at, one in enumerate(sent)]
        before = dict(self.live)
        statuses = []
        for at, one in enumerate(sent):
            statuses.append(self.refusal(one["properties"]))
            if statuses[-1] is None:
                self.live[f"new{at}"] = Person({})
                self.apply(f"new{at}", one["properties"])
        answer = self.inside.batch("contacts", "create", *sent)
        made = {at: self.live[f"new{at}"] for at, status in enumerate(statuses) if status is None}
        self.live = before
        if any(statuses) and not traced:
            assert answer.status == next(status for status in statuses if status)
            return multiple()
        assert answer.status == (207 if any(statuses) else 201)
        ids = [one["id"] for one in answer.body["results"]]
        self.live |= dict(zip(ids, made.values(), strict=True))
        return multiple(*ids)

    @rule(target=people, keys=st.lists(KEYS, min_size=1, max_size=3), city=CITIES)
    def upsert(self, keys: list[str], city: str) -> Any:
        inputs = [{"id": key, "idProperty": "our_key", "properties": {"firstname": key, "city": city}} for key in keys]
        answer = self.inside.batch("contacts", "upsert", *inputs)
        if len(set(keys)) < len(keys):
            assert answer.status == 400
            return multiple()
        assert answer.status == 200, answer
        new = []
        for key, result in zip(keys, answer.body["results"], strict=True):
            known = self.holder_of_key(key)
            assert result["new"] == (known is None) and known in (None, result["id"])
            if known is None:
                new.append(result["id"])
                self.live[result["id"]] = Person({})
            self.apply(result["id"], {"our_key": key, "firstname": key, "city": city})
        return multiple(*new)

    @rule(ids=st.lists(people, min_size=1, max_size=4), city=CITIES)
    def update_batch(self, ids: list[str], city: str) -> None:
        inputs = [{"id": id, "properties": {"city": city}} for id in ids]
        answer = self.inside.batch("contacts", "update", *inputs)
        if len(set(ids)) < len(ids):
            assert answer.status == 400
            return
        missing = [id for id in ids if id not in self.live]
        assert answer.status == (207 if missing else 200)
        assert [id for one in answer.body.get("errors", []) for id in one["context"]["ids"]] == missing
        for id in set(ids) & set(self.live):
            self.apply(id, {"city": city})

    # -- associations

    @rule(id=people, firm=firms, primary=st.booleans())
    def associate(self, id: str, firm: str, primary: bool) -> None:
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": PRIMARY if primary else PLAIN}]
        path = f"/crm/v4/objects/contacts/{id}/associations/companies/{firm}"
        answer = self.inside.send("PUT", path, types)
        if id not in self.live or not self.companies[firm]:
            assert answer.status == 404
            return
        assert answer.status == 201
        mine = self.live[id].companies
        if primary:
            mine.update(dict.fromkeys(mine, False))
        mine[firm] = primary

    @rule(id=people, firm=firms)
    def dissociate(self, id: str, firm: str) -> None:
        path = f"/crm/v4/objects/contacts/{id}/associations/companies/{firm}"
        assert self.inside.send("DELETE", path).status == 204
        if id in self.live:
            self.live[id].companies.pop(firm, None)

    @rule(firm=firms)
    def close_firm(self, firm: str) -> None:
        assert self.inside.send("DELETE", f"{OBJECTS}/companies/{firm}").status == 204
        self.companies[firm] = False
        for one in self.live.values():
            one.companies.pop(firm, None)

    # -- what must always be so

    @invariant()
    def a_list_has_what_lives_and_all_of_it(self) -> None:
        names = "firstname,city,email,our_key,hs_additional_emails,hs_merged_object_ids"
        path, seen = f"{OBJECTS}/contacts?limit=3&associations=companies&properties={names}", {}
        while path:
            page = self.inside.get(path)
            seen |= {one["id"]: one for one in page["results"]}
            path = page.get("paging", {}).get("next", {}).get("link", "").removeprefix("https://localhost:1")
        assert seen.keys() == self.live.keys()
        for id, one in self.live.items():
            shown = seen[id]["properties"]
            for name in ("firstname", "city", "email", "our_key"):
                assert (shown[name] or "") == one.values.get(name, "")
            assert sorted((shown["hs_additional_emails"] or "").split(";")) == sorted(one.more or [""])
            assert sorted((shown["hs_merged_object_ids"] or "").split(";")) == sorted(one.merged or [""])
            entries = seen[id].get("associations", {}).get("companies", {}).get("results", [])
            assert {(entry["id"], entry["type"]) for entry in entries} == {
                (firm, name)
                for firm, primary in one.companies.items()
                for name in ["contact_to_company_unlabeled", *(["contact_to_company"] if primary else [])]
            }
        archived = {one["id"] for one in self.inside.get(f"{OBJECTS}/contacts?archived=true&limit=100")["results"]}
        assert archived == self.binned.keys()

    @invariant()
    def a_search_finds_the_same(self) -> None:
        for city in ("ULM", "Bonn"):
            expected = {id for id, one in self.live.items() if one.values.get("city", "").lower() == city.lower()}
            assert set(self.inside.search("contacts", where("city", "EQ", city))) == expected
        without = {id for id, one in self.live.items() if "email" not in one.values}
        assert set(self.inside.search("contacts", where("email", "NOT_HAS_PROPERTY"))) == without
        for firm in self.companies:
            found = self.inside.search("contacts", where("associations.company", "EQ", firm))
            assert set(found) == {id for id, one in self.live.items() if firm in one.companies}

    @invariant()
    def every_id_leads_where_it_should(self) -> None:
        for id in [*self.leads_to, *self.erased, *self.binned]:
            now = self.resolved(id)
            answer = self.inside.send("GET", f"{OBJECTS}/contacts/{id}")
            assert (answer.body["id"] == now) if now in self.live else answer.status == 404
        ids = [*self.live, *self.leads_to][:100]
        if not ids:
            return
        read = self.inside.batch("contacts", "read", *[{"id": id} for id in ids])
        assert [one["id"] for one in read.body["results"]] == [id for id in ids if id in self.live]
        assert read.status == (207 if self.leads_to.keys() & set(ids) else 200)

    @invariant()
    def addresses_lead_to_their_holders(self) -> None:
        for email in ("a@x.test", "B@x.test", "c@x.test"):
            answer = self.inside.send("GET", f"{OBJECTS}/contacts/{email}?idProperty=email")
            holder = self.holder(email)
            assert (answer.body["id"] == holder) if holder else answer.status == 404


TestHubspot = Portal.TestCase
TestHubspot.settings = sequences(steps=30)
