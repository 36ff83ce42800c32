"""Random sequences of calls to the pretend Dataverse agree with a plain model of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from tests.models.dynamics_draws import (
    ALL,
    NAVIGATION,
    PREFIX,
    change_set,
    key_values,
    keyed,
    tables,
    template,
    texts,
    values,
)
from tests.models.dynamics_world import IDS, KEYS, LOOKUPS, PLAIN, SETS, World, fresh, shown
from tests.models.sequences import sequences
from tests.unit.emulators.dynamics.local import Local

SPACE = UUID(int=7)


class Dataverse(RuleBasedStateMachine):
    """The calls of a client, each made of the model too."""

    rows = Bundle("rows")
    leads = Bundle("leads")
    _template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        if Dataverse._template is None:
            Dataverse._template = template()
        self.place = Path(tempfile.mkdtemp(prefix="dynamics-model-"))
        for file in Dataverse._template.glob("dynamics.sqlite*"):
            shutil.copy(file, self.place / file.name)
        self.here = Local(self.place)
        self.world = World()
        self.number = 0
        self.replica: dict[str, dict[str, Any]] = {table: {} for table in SETS}
        self.delta: dict[str, str] = {}

    def teardown(self) -> None:
        self.here.close()
        shutil.rmtree(self.place)

    def next_id(self) -> str:
        self.number += 1
        return str(uuid5(SPACE, str(self.number)))

    def live(self, row: tuple[str, str]) -> bool:
        return row[1] in self.world.rows[row[0]]

    @initialize(target=leads)
    def two_leads(self) -> Any:
        self.some_leads = [self.here.create("leads", lastname=name) for name in "ab"]
        return multiple(*self.some_leads)

    # -- writes

    @rule(target=rows, table=tables, given=st.data())
    def create(self, table: str, given: Any) -> Any:
        body = given.draw(values[table])
        id = self.here.create(SETS[table], **body)
        self.world.write(table, id, body)
        return (table, id)

    @rule(target=rows, table=keyed, value=key_values, given=st.data())
    def create_with_key(self, table: str, value: str, given: Any) -> Any:
        body = {**given.draw(values[table]), KEYS[table]: value, IDS[table]: self.next_id()}
        reply = self.here.call("POST", SETS[table], body)
        id = body.pop(IDS[table])
        if self.world.clashes(table, body, None):
            assert reply.error == (412, "0x80060892")
        else:
            assert reply.status == 204
            self.world.write(table, id, body)
        return (table, id)

    @rule(row=rows, given=st.data(), how=st.sampled_from(["plain", "update", "create", "stale", "current"]))
    def patch(self, row: tuple[str, str], given: Any, how: str) -> None:
        table, id = row
        body = given.draw(values[table])
        headers: dict[str, str] = {}
        if how in ("update", "create"):
            headers = {"If_Match": "*"} if how == "update" else {"If_None_Match": "*"}
        elif how == "stale":
            headers = {"If_Match": 'W/"1"'}
        elif self.live(row) and how == "current":
            headers = {"If_Match": self.here.get(f"{SETS[table]}({id})?$select={IDS[table]}")["@odata.etag"]}
        reply = self.here.call("PATCH", f"{SETS[table]}({id})", body, **headers)
        if not self.live(row) and "If_Match" in headers:
            assert reply.error == (404, "0x80040217")
        elif self.live(row) and how == "create":
            assert reply.error == (412, "0x80040237")
        elif self.live(row) and how == "stale":
            assert reply.error == (412, "0x80060882")
        else:
            assert reply.status == 204, reply.text
            self.world.write(table, id, body)

    @rule(target=rows, table=keyed, value=key_values, given=st.data(), own=st.one_of(st.none(), key_values))
    def upsert_by_key(self, table: str, value: str, given: Any, own: str | None) -> Any:
        body = given.draw(values[table])
        sent = body if own is None else {**body, KEYS[table]: own}
        target = f"{SETS[table]}({KEYS[table]}='{value.replace(chr(39), chr(39) * 2)}')".replace(" ", "%20")
        present = self.world.by_key(table, value)
        reply = self.here.call("PATCH", target, sent, Prefer="return=representation")
        if present is not None:
            assert reply.status == 200
            self.world.write(table, present, body)
            return (table, present)
        body = {**body, KEYS[table]: value if own is None else own}
        if self.world.clashes(table, body, None):
            assert reply.error == (412, "0x80060892")
            return multiple()
        assert reply.status == 201
        id = reply.json()[IDS[table]]
        self.world.write(table, id, body)
        return (table, id)

    @rule(row=rows, value=key_values)
    def take_a_key(self, row: tuple[str, str], value: str) -> None:
        table, id = row
        if table not in KEYS or not self.live(row):
            return
        reply = self.here.call("PATCH", f"{SETS[table]}({id})", {KEYS[table]: value})
        if self.world.clashes(table, {KEYS[table]: value}, id):
            assert reply.error == (412, "0x80060892")
        else:
            assert reply.status == 204
            self.world.write(table, id, {KEYS[table]: value})

    def hang_something_on(self, row: tuple[str, str]) -> None:
        """Let a new task, and for a contact a lead, hang on a row that is about to go."""
        table, id = row
        if table == "task" or not self.live(row):
            return
        lookup, navigation = NAVIGATION["task", table]
        task = self.here.create("tasks", **{f"{navigation}@odata.bind": f"/{SETS[table]}({id})"})
        self.world.write("task", task, {lookup: row})
        if table == "contact":
            self.link(row, self.some_leads[0], True)

    @rule(row=rows, loaded=st.booleans())
    def delete(self, row: tuple[str, str], loaded: bool) -> None:
        table, id = row
        if loaded:
            self.hang_something_on(row)
        reply = self.here.call("DELETE", f"{SETS[table]}({id})")
        if not self.live(row):
            assert reply.error == (404, "0x80040217")
            return
        assert reply.status == 204
        self.world.delete(table, id)

    @rule(row=rows, target_row=rows, by=st.sampled_from(["bind", "ref", "collection"]))
    def point(self, row: tuple[str, str], target_row: tuple[str, str], by: str) -> None:
        table, id = row
        other, other_id = target_row
        if (table, other) not in NAVIGATION or not self.live(row):
            return
        lookup, navigation = NAVIGATION[table, other]
        address = f"{SETS[other]}({other_id})"
        if by == "bind":
            reply = self.here.call("PATCH", f"{SETS[table]}({id})", {f"{navigation}@odata.bind": f"/{address}"})
        elif by == "ref":
            reply = self.here.call("PUT", f"{SETS[table]}({id})/{navigation}/$ref", {"@odata.id": address})
        else:
            names = {
                "account": "account_primary_contact",
                "contact": f"contact_customer_{other}s",
                "task": f"{other.title()}_Tasks",
            }
            collection = f"{address}/{names[table]}/$ref"
            reply = self.here.call("POST", collection, {"@odata.id": f"{SETS[table]}({id})"})
        if not self.live(target_row):
            assert reply.error == (404, "0x80040217")
            return
        assert reply.status == 204, reply.text
        self.world.write(table, id, {lookup: (other, other_id)})

    @rule(row=rows)
    def unpoint(self, row: tuple[str, str]) -> None:
        table, id = row
        if not self.live(row):
            return
        lookup = LOOKUPS[table][0]
        navigation = next(nav for (mine, _), (column, nav) in NAVIGATION.items() if mine == table and column == lookup)
        self.here.done("PATCH", f"{SETS[table]}({id})", {f"{navigation}@odata.bind": None})
        self.world.write(table, id, {lookup: None})

    @rule(target=rows, table=keyed, merged=st.booleans(), given=st.data())
    def come_and_go(self, table: str, merged: bool, given: Any) -> Any:
        """Delete or merge a new row with all that hangs on it."""
        row = self.create(table, given)
        if merged:
            self.merge(row, None, True, given)
        else:
            self.delete(row, True)
        return row

    @rule(loser=rows, other=st.one_of(st.none(), rows), loaded=st.booleans(), given=st.data())
    def merge(self, loser: tuple[str, str], other: tuple[str, str] | None, loaded: bool, given: Any) -> None:
        table = loser[0]
        if table == "task" or loser == other:
            return
        if other is None or other[0] != table:
            other = self.create(table, given)
        winner = other
        if loaded:
            self.hang_something_on(loser)
        content = given.draw(values[table])
        kind = {"@odata.type": f"{PREFIX}{table}"}
        body = {
            "Target": {**kind, IDS[table]: winner[1]},
            "Subordinate": {**kind, IDS[table]: loser[1]},
            "UpdateContent": {**kind, **content},
            "PerformParentingChecks": False,
        }
        reply = self.here.call("POST", "Merge", body)
        if not (self.live(winner) and self.live(loser)):
            assert reply.error == (404, "0x80040217")
        elif any(self.world.rows[table][id]["merged"] for _, id in (winner, loser)):
            assert reply.error == (400, "0x80040203")
        else:
            assert reply.status == 204, reply.text
            self.world.merge(table, winner[1], loser[1], content)

    @rule(row=rows, lead=leads, linking=st.booleans())
    def link(self, row: tuple[str, str], lead: str, linking: bool) -> None:
        table, id = row
        if table != "contact" or not self.live(row):
            return
        collection = f"contacts({id})/contactleads_association"
        if linking:
            self.here.done("POST", f"{collection}/$ref", {"@odata.id": f"leads({lead})"})
            self.world.links.add((id, lead))
        else:
            self.here.done("DELETE", f"{collection}({lead})/$ref")
            self.world.links.discard((id, lead))

    @rule(target=rows, given=st.data(), bad=st.booleans())
    def create_in_a_change_set(self, given: Any, bad: bool) -> Any:
        account, contact = given.draw(values["account"]), given.draw(values["contact"])
        ids = {"account": self.next_id(), "contact": self.next_id()}
        second = {**contact, "contactid": ids["contact"], "parentcustomerid_account@odata.bind": "$1"}
        second |= {"jobtitle": "x" * 101} if bad else {}
        raw = change_set((1, "accounts", {**account, "accountid": ids["account"]}), (2, "contacts", second))
        reply = self.here.call("POST", "$batch", raw, Content_Type="multipart/mixed; boundary=b")
        assert reply.status == (400 if bad else 200), reply.text
        if not bad:
            self.world.write("account", ids["account"], account)
            self.world.write("contact", ids["contact"], {**contact, "parentcustomerid": ("account", ids["account"])})
        return multiple(*ids.items())

    @rule(target=rows, given=st.data(), bad=st.booleans())
    def upsert_several(self, given: Any, bad: bool) -> Any:
        bodies = [given.draw(values["contact"]) for _ in range(2)]
        ids = [self.next_id(), self.next_id()]
        targets = [
            {"@odata.type": f"{PREFIX}contact", "contactid": id, **body} for id, body in zip(ids, bodies, strict=True)
        ]
        targets[1] |= {"lastname": "x" * 51} if bad else {}
        reply = self.here.call("POST", f"contacts/{PREFIX}UpsertMultiple", {"Targets": targets})
        assert reply.status == (400 if bad else 204)
        if not bad:
            for id, body in zip(ids, bodies, strict=True):
                self.world.write("contact", id, body)
        return multiple(*(("contact", id) for id in ids))

    @rule(seconds=st.sampled_from([0, 1, 60, 3000]))
    def time_passes(self, seconds: int) -> None:
        self.here.clock.pass_seconds(seconds)
        self.here.sign_in()

    # -- reads

    @rule(row=rows)
    def read_one(self, row: tuple[str, str]) -> None:
        table, id = row
        reply = self.here.call("GET", f"{SETS[table]}({id})", Prefer=ALL)
        if self.live(row):
            assert shown(table, reply.json()) == self.world.rows[table][id]
        else:
            assert reply.error == (404, "0x80040217")

    @rule(table=keyed, value=key_values)
    def read_by_key(self, table: str, value: str) -> None:
        column = KEYS[table]
        found = self.here.rows(
            f"{SETS[table]}?$select={column}&$filter={column} eq '{value.replace(chr(39), chr(39) * 2)}'"
        )
        present = self.world.by_key(table, value)
        assert [row[IDS[table]] for row in found] == ([] if present is None else [present])

    @rule(text=texts, page=st.integers(1, 4))
    def read_filtered_in_pages(self, text: str | None, page: int) -> None:
        wanted = "null" if text is None else f"'{text.replace(chr(39), chr(39) * 2)}'".replace("%", "%25")
        target: str | None = f"contacts?$select=lastname&$filter=lastname eq {wanted}&$orderby=jobtitle desc,birthdate"
        seen: list[str] = []
        while target:
            answer = self.here.get(target, Prefer=f"odata.maxpagesize={page}")
            assert len(answer["value"]) <= page
            seen += [row["contactid"] for row in answer["value"]]
            target = answer.get("@odata.nextLink")
        folded = None if text is None else text.casefold()
        same = [
            id
            for id, row in self.world.rows["contact"].items()
            if (row["lastname"] and row["lastname"].casefold()) == folded
        ]
        assert sorted(seen) == sorted(same)

    @rule(row=rows)
    def read_what_points_to_it(self, row: tuple[str, str]) -> None:
        table, id = row
        if table != "account" or not self.live(row):
            return
        expand = "contact_customer_accounts($select=contactid),Account_Tasks($select=subject)"
        found = self.here.get(f"accounts({id})?$select=name&$expand={expand}")
        for name, other, lookup in (
            ("contact_customer_accounts", "contact", "parentcustomerid"),
            ("Account_Tasks", "task", "regardingobjectid"),
        ):
            pointing = {one for one, its in self.world.rows[other].items() if its[lookup] == ("account", id)}
            assert {one[IDS[other]] for one in found[name]} == pointing

    @rule(table=tables, page=st.integers(1, 5))
    def keep_a_copy(self, table: str, page: int) -> None:
        """Keep a copy by change tracking, as a sync does."""
        prefer = f"odata.track-changes,odata.maxpagesize={page},{ALL}"
        target: str | None = self.delta.get(table) or SETS[table]
        while target:
            answer = self.here.get(target, Prefer=prefer)
            for row in answer["value"]:
                if row.get("reason") == "deleted":
                    self.replica[table].pop(row["id"], None)
                else:
                    self.replica[table][row[IDS[table]]] = shown(table, row)
            target = answer.get("@odata.nextLink")
            self.delta[table] = answer.get("@odata.deltaLink", "")
        assert self.replica[table] == self.world.rows[table]

    @invariant()
    def counts_agree(self) -> None:
        for table, set_name in SETS.items():
            count = int(self.here.call("GET", f"{set_name}/$count").content.decode("utf-8-sig"))
            assert count == len(self.world.rows[table])

    @invariant()
    def everything_agrees(self) -> None:
        for table, set_name in SETS.items():
            names = ",".join([*PLAIN[table], *(f"_{name}_value" for name in LOOKUPS[table])])
            states = ",".join(name for name in fresh(table) if name not in PLAIN[table] and name not in LOOKUPS[table])
            found = self.here.rows(f"{set_name}?$select={names},{states}", Prefer=ALL)
            assert {row[IDS[table]]: shown(table, row) for row in found} == self.world.rows[table]

    @invariant()
    def links_agree(self) -> None:
        for lead in getattr(self, "some_leads", ()):
            found = self.here.rows(f"leads({lead})/contactleads_association?$select=contactid")
            assert {row["contactid"] for row in found} == {one for one, other in self.world.links if other == lead}


Dataverse.TestCase.settings = sequences(steps=40)
TestDataverse = Dataverse.TestCase
