"""The pretend org against a plain model: random sequences of calls leave both with the same records.

Accounts and contacts are created, changed, upserted, merged, deleted, brought back and forgotten through the API; after
each step the org's whole content, told by queryAll, is that of the model.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.grants import Grants
from crm_sync.emulators.salesforce.rest import Rest
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.soap.service import Soap
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from tests.models.sequences import sequences
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front

LIVE, BINNED, PURGED = "live", "binned", "purged"
WORDS = st.one_of(
    st.sampled_from(["Ng", "ng", "O'Hara", 'say "x"', "back\\slash", "50%", "a_b", " ", ""]),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12),
)
KEYS = st.sampled_from(["k1", "K1", "k2", "k3"])
ENVELOPE = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><e:Header>'
    "<SessionHeader><sessionId>{}</sessionId></SessionHeader></e:Header><e:Body>{}</e:Body></e:Envelope>"
)


@dataclass
class Thing:
    """What the model knows of a record: `stamp` is seconds since 1970, `taken` what was deleted along with it."""

    id: str
    kind: str
    values: dict[str, Any]
    stamp: int
    state: str = LIVE
    merged_into: str | None = None
    taken: list[str] = field(default_factory=list)


def clean(text: str | None) -> str | None:
    """Return a text as the org keeps it: without outer whitespace, and never empty."""
    return (text or "").strip() or None


def quote(text: str) -> str:
    """Return a text as a SOQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def iso(seconds: int) -> str:
    """Return a moment as the API shows it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


class OrgModel(RuleBasedStateMachine):
    """One org and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.clock = DeskClock()
        self.state = State(self.directory / "org.sqlite", self.clock, resolution_us=1_000_000)
        settings = EmulatorSettings("salesforce", "https://localhost:1", "a", "b", "c", "d", "", self.directory)
        doorman = Doorman(self.state, Faults(), settings)
        self.front = Front(Rest(Org(self.state, doorman.faults), doorman), self.clock)
        self.front.key_field()
        self.grants = Grants(doorman)
        self.soap = Soap(self.grants, self.front.rest)
        self.session = doorman.issue()
        self.things: dict[str, Thing] = {}
        self.watermark, self.seen = self.now, {}  # type: int, dict[str, tuple[Any, ...]]

    def teardown(self) -> None:
        self.front.rest.jobs.settle()
        self.state.close()
        shutil.rmtree(self.directory)

    # -- the model

    @property
    def now(self) -> int:
        return self.clock.now_us // 1_000_000

    def of(self, kind: str, *states: str) -> list[Thing]:
        return [one for one in self.things.values() if one.kind == kind and one.state in (states or (LIVE,))]

    def holder(self, key: str | None) -> Thing | None:
        folded = (key or "").casefold()
        return next((x for x in self.of("Contact") if key and (x.values["Key__c"] or "").casefold() == folded), None)

    def change(self, thing: Thing, values: dict[str, Any]) -> None:
        thing.values |= values
        thing.stamp = self.now

    def gone(self, thing: Thing) -> list[str]:
        """Delete in the model and return what went along."""
        thing.state, thing.stamp, thing.taken = BINNED, self.now, []
        if thing.kind == "Account":
            for child in self.of("Contact"):
                if child.values["AccountId"] == thing.id:
                    thing.taken += [child.id, *self.gone(child)]
                    child.taken = []
        else:
            for other in self.of("Contact"):
                if other.values["ReportsToId"] == thing.id:
                    other.values["ReportsToId"] = None
        for other in self.things.values():  # what is deleted anew belongs to no earlier deletion
            if other is not thing and thing.id in other.taken:
                other.taken.remove(thing.id)
        return thing.taken

    def pick(self, data: st.DataObject, kind: str, *states: str) -> Thing:
        return data.draw(st.sampled_from(self.of(kind, *states)))

    def call(self, body: str) -> str:
        status, text = self.soap.answer("u", "59.0", ENVELOPE.format(self.session, body).encode())
        assert status == 200, text
        return text

    # -- writes

    @initialize(linked=st.lists(st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1)]), min_size=2, max_size=5))
    def begin_with_some(self, linked: list[tuple[int, int]]) -> None:
        """Start with two accounts, and contacts of theirs."""
        for name in ("Acme", "Works"):
            self.create_account(name)
        accounts, boss = [one.id for one in self.of("Account")], None
        for number, (account, reports) in enumerate(linked):
            values = {"LastName": f"N{number}", "AccountId": accounts[account]}
            values |= {"ReportsToId": boss if reports else None}
            values |= {"Key__c": f"k{number}" if number < 2 else None}
            self.check_write(self.front.ask("POST", "sobjects/Contact", values), values, None)
            boss = self.of("Contact")[-1].id

    @rule(seconds=st.integers(0, 50))
    def time_passes(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @rule(name=WORDS)
    def create_account(self, name: str) -> None:
        answer = self.front.ask("POST", "sobjects/Account", {"Name": name})
        if clean(name) is None:
            assert self.front.error(answer) == (400, "REQUIRED_FIELD_MISSING")
            return
        assert answer.status == 201
        self.things[answer.body["id"]] = Thing(answer.body["id"], "Account", {"Name": clean(name)}, self.now)

    @rule(data=st.data(), last=WORDS, title=st.none() | WORDS, key=st.none() | KEYS)
    def create_contact(self, data: st.DataObject, last: str, title: str | None, key: str | None) -> None:
        values = {"LastName": last, "Title": title, "Key__c": key, **self.links(data)}
        self.check_write(self.front.ask("POST", "sobjects/Contact", values), values, None)

    def links(self, data: st.DataObject) -> dict[str, str | None]:
        accounts, contacts = ([one.id for one in self.of(kind)] for kind in ("Account", "Contact"))
        names = {"AccountId": accounts, "ReportsToId": contacts}
        return {name: data.draw(st.sampled_from([None, *ids])) for name, ids in names.items()}

    def check_write(self, answer: Any, values: dict[str, Any], old: Thing | None) -> None:
        """Hold the answer to a write of a contact to the model, and write there too."""
        stored = {key: clean(one) for key, one in values.items()}
        held = self.holder(stored.get("Key__c"))
        if "LastName" in stored and stored["LastName"] is None:
            assert self.front.error(answer) == (400, "REQUIRED_FIELD_MISSING")
        elif held is not None and held is not old:
            assert self.front.error(answer) == (400, "DUPLICATE_VALUE")
            assert held.id[:15] in answer.body[0]["message"]
        elif old is None:
            assert answer.status == 201, answer.body
            blank = dict.fromkeys(("LastName", "Title", "Key__c", "AccountId", "ReportsToId"))
            self.things[answer.body["id"]] = Thing(answer.body["id"], "Contact", {**blank, **stored}, self.now)
        else:
            assert answer.status in (200, 204), answer.body
            self.change(old, stored)

    @precondition(lambda self: self.of("Contact"))
    @rule(data=st.data(), last=st.none() | WORDS, title=WORDS, key=st.none() | KEYS)
    def update_contact(self, data: st.DataObject, last: str | None, title: str, key: str | None) -> None:
        thing = self.pick(data, "Contact")
        values = {"Title": title, **({} if last is None else {"LastName": last})}
        values |= {} if key is None else {"Key__c": key}
        self.check_write(self.front.ask("PATCH", f"sobjects/Contact/{thing.id}", values), values, thing)

    @rule(key=KEYS, last=WORDS)
    def upsert_contact(self, key: str, last: str) -> None:
        held = self.holder(key)
        answer = self.front.ask("PATCH", f"sobjects/Contact/Key__c/{key}", {"LastName": last})
        if answer.status < 300:
            assert answer.body["created"] == (held is None)
        values = {"LastName": last} if held else {"LastName": last, "Key__c": key}
        self.check_write(answer, values, held)

    @precondition(lambda self: self.of("Contact"))
    @rule(data=st.data(), last=WORDS, all_or_none=st.booleans())
    def update_many(self, data: st.DataObject, last: str, all_or_none: bool) -> None:
        good, other = self.pick(data, "Contact"), self.pick(data, "Contact", LIVE, BINNED)
        rows = [{"attributes": {"type": "Contact"}, "id": one.id, "LastName": last} for one in (good, other)]
        answer = self.front.ask("PATCH", "composite/sobjects", {"allOrNone": all_or_none, "records": rows})
        expected = [clean(last) is not None, clean(last) is not None and other.state == LIVE]
        if all_or_none and not all(expected):
            expected = [False, False]
        assert [row["success"] for row in answer.body] == expected
        for thing, done in zip((good, other), expected, strict=True):
            if done:
                self.change(thing, {"LastName": clean(last)})

    @precondition(lambda self: self.things)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        thing = data.draw(st.sampled_from(list(self.things.values())))
        answer = self.front.ask("DELETE", f"sobjects/{thing.kind}/{thing.id}")
        expected = {LIVE: 204, BINNED: 404, PURGED: 404}[thing.state]
        assert answer.status == expected
        if thing.state == LIVE:
            self.gone(thing)

    @precondition(lambda self: self.of("Account", BINNED) or self.of("Contact", BINNED))
    @rule(data=st.data())
    def undelete(self, data: st.DataObject) -> None:
        thing = data.draw(st.sampled_from(self.of("Account", BINNED) + self.of("Contact", BINNED)))
        self.clock.forward(1)
        back = [thing, *(self.things[one] for one in thing.taken if self.things[one].state == BINNED)]
        text = self.call(f"<undelete><ids>{thing.id}</ids></undelete>")
        keys = [one.values["Key__c"].casefold() for one in back if one.values.get("Key__c")]
        if thing.merged_into:
            assert "UNDELETE_FAILED" in text
        elif any(self.holder(key) for key in keys) or len(set(keys)) < len(keys):
            assert "DUPLICATE_VALUE" in text
        else:
            assert "<success>true</success>" in text
            for one in back:
                one.state, one.stamp = LIVE, self.now
                for other in self.things.values():
                    other.taken = [taken for taken in other.taken if taken != one.id]
            thing.taken = []

    @precondition(lambda self: self.of("Contact", BINNED))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        thing = self.pick(data, "Contact", BINNED)
        assert "<success>true" in self.call(f"<emptyRecycleBin><ids>{thing.id}</ids></emptyRecycleBin>")
        thing.state = PURGED

    @rule(data=st.data(), kind=st.sampled_from(["Account", "Contact"]), title=st.sampled_from(["", "Kept"]))
    def merge(self, data: st.DataObject, kind: str, title: str) -> None:
        live = self.of(kind)
        if len(live) < 2:
            return
        winner, loser = data.draw(st.lists(st.sampled_from(live), min_size=2, max_size=2, unique_by=lambda x: x.id))
        more = f"<Title>{title}</Title>" if title and kind == "Contact" else ""
        self.clock.forward(1)
        master = f"<masterRecord><type>{kind}</type><Id>{winner.id}</Id>{more}</masterRecord>"
        text = self.call(f"<merge><request>{master}<recordToMergeIds>{loser.id}</recordToMergeIds></request></merge>")
        assert "<success>true</success>" in text
        name = "AccountId" if kind == "Account" else "ReportsToId"
        for one in self.of("Contact"):
            if one.values[name] != loser.id:
                continue
            if one in (winner, loser):
                one.values[name] = None
            else:
                self.change(one, {name: winner.id})
        loser.state, loser.stamp, loser.merged_into, loser.taken = BINNED, self.now, winner.id, []
        for other in self.things.values():
            other.taken = [taken for taken in other.taken if taken != loser.id]
        self.change(winner, {"Title": title} if more else {})

    # -- reads

    @precondition(lambda self: self.things)
    @rule(data=st.data())
    def read_one(self, data: st.DataObject) -> None:
        thing = data.draw(st.sampled_from(list(self.things.values())))
        answer = self.front.ask("GET", f"sobjects/{thing.kind}/{thing.id[:15]}")
        if thing.state != LIVE:
            assert answer.status == 404
            return
        assert {name: answer.body[name] for name in thing.values} == thing.values
        assert answer.body["SystemModstamp"] == iso(thing.stamp)

    @rule(key=KEYS)
    def read_by_key(self, key: str) -> None:
        held = self.holder(key)
        answer = self.front.ask("GET", f"sobjects/Contact/Key__c/{key}")
        assert answer.status == 404 if held is None else answer.body["Id"] == held.id

    @rule(title=WORDS)
    def search_by_title(self, title: str) -> None:
        rows = self.front.soql(f"SELECT Id FROM Contact WHERE Title = {quote(title)}")
        found = {one.id for one in self.of("Contact") if (one.values["Title"] or "").casefold() == title.casefold()}
        expected = found if title else set()
        assert {row["Id"] for row in rows} == expected

    @rule()
    def parents(self) -> None:
        rows = self.front.soql("SELECT Id, Account.Name FROM Contact WHERE AccountId != null")
        shown = {row["Id"]: row["Account"]["Name"] for row in rows}
        linked = {one.id: one.values["AccountId"] for one in self.of("Contact") if one.values["AccountId"]}
        assert shown == {key: self.things[account].values["Name"] for key, account in linked.items()}

    @rule()
    def read_what_changed(self) -> None:
        """Read since the watermark, deletions too: what was read is up to date then."""
        query = "SELECT Id, LastName, IsDeleted, SystemModstamp FROM Contact WHERE SystemModstamp >= {} ORDER BY {}"
        since = iso(self.watermark).replace("+0000", "Z")
        rows = self.front.soql(query.format(since, "SystemModstamp, Id"), everything=True)
        stamps = [row["SystemModstamp"] for row in rows]
        assert stamps == sorted(stamps)
        self.seen |= {row["Id"]: (row["LastName"], row["IsDeleted"], row["SystemModstamp"]) for row in rows}
        self.watermark = self.now
        for one in self.of("Contact", LIVE, BINNED):
            assert self.seen[one.id] == (one.values["LastName"], one.state == BINNED, iso(one.stamp))

    @rule()
    def replication(self) -> None:
        end = self.now - self.now % 60
        window = {"start": iso(end - 600), "end": iso(end)}
        inside = [one for one in self.things.values() if one.kind == "Contact" and end - 600 <= one.stamp < end]
        updated = self.front.ask("GET", "sobjects/Contact/updated", query=window).body
        assert set(updated["ids"]) == {one.id for one in inside if one.state == LIVE}
        deleted = self.front.ask("GET", "sobjects/Contact/deleted", query=window).body
        told = {row["id"]: row["deletedDate"] for row in deleted["deletedRecords"]}
        assert told == {one.id: iso(one.stamp) for one in inside if one.state != LIVE}

    @rule()
    def in_bulk(self) -> None:
        made = self.front.ask("POST", "jobs/query", {"operation": "query", "query": "SELECT Id FROM Contact"}).body
        self.front.rest.jobs.settle()
        text = b"".join(self.front.ask("GET", f"jobs/query/{made['id']}/results").body).decode()
        assert sorted(text.split()[1:]) == sorted(f'"{one.id}"' for one in self.of("Contact"))

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        for kind, names in (("Account", "Name"), ("Contact", "LastName, Title, Key__c, AccountId, ReportsToId")):
            query = f"SELECT Id, {names}, IsDeleted, MasterRecordId, SystemModstamp FROM {kind} ORDER BY Id"
            shown = [
                {"Id": one.id, **one.values, "IsDeleted": one.state == BINNED, "MasterRecordId": one.merged_into,
                 "SystemModstamp": iso(one.stamp)}
                for one in sorted(self.of(kind, LIVE, BINNED), key=lambda one: one.id)
            ]  # fmt: skip
            assert self.front.soql(query, everything=True) == shown


TestOrgModel = pytest.mark.slow(OrgModel.TestCase)
TestOrgModel.settings = sequences()
