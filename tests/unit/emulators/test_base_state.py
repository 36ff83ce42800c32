"""The record store of the emulators."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_sync.emulators.declarations import FieldDeclaration, ObjectDeclaration, Schema
from crm_sync.emulators.desk import Desk
from crm_sync.emulators.state import Between, Duplicate, NewRecord, State, field_sql
from crm_sync.emulators.tokens import TokenBook, Window


class Time:
    """Microseconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_123_456

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def state(tmp_path: Path, clock: Time) -> Iterator[State]:
    one = State(tmp_path / "crm.sqlite", clock=clock, resolution_us=1_000_000)
    yield one
    one.close()


def test_update_merges_keys_and_moves_stamp_and_seq(state: State, clock: Time) -> None:
    first = state.insert("Contact", "1", {"a": 1, "b": "x"})
    clock.now += 2_000_000
    second = state.update("Contact", "1", {"b": None, "c": [1]})
    assert second is not None and second == state.get("Contact", "1")
    assert second.values == {"a": 1, "b": None, "c": [1]}
    assert (first.modified_us, second.modified_us) == (1_700_000_000_000_000, 1_700_000_002_000_000)
    assert second.seq == first.seq + 1 == state.last_seq()
    untouched = state.update("Contact", "1", {"a": 2}, touch=False)
    assert untouched is not None and untouched.modified_us == second.modified_us and untouched.seq == second.seq + 1
    assert state.update("Contact", "2", {}) is None


def test_time_never_runs_backwards(state: State, clock: Time) -> None:
    before = state.now_us()
    clock.now -= 60_000_000
    assert state.now_us() == before


def test_delete_is_soft_and_frees_unique_values(state: State) -> None:
    state.declare_unique("Contact", "email", fold=True)
    state.insert("Contact", "1", {"email": "A@x.test"})
    with pytest.raises(Duplicate) as caught:
        state.insert("Contact", "2", {"email": "a@X.test"})
    assert (caught.value.field, caught.value.id) == ("email", "1")
    assert state.get("Contact", "2") is None
    found = state.find_unique("Contact", "email", "A@X.TEST")
    assert found is not None and found.id == "1"
    gone = state.delete("Contact", "1", merged_into="9")
    assert gone is not None and gone.deleted and gone.merged_into == "9"
    assert state.delete("Contact", "1") is None
    assert state.find_unique("Contact", "email", "a@x.test") is None
    state.insert("Contact", "2", {"email": "a@x.test"})
    assert [r.id for r in state.scan("Contact")] == ["2"]
    assert [r.id for r in state.scan("Contact", deleted=None)] == ["1", "2"]
    assert state.count("Contact", deleted=True) == 1
    assert state.purge("Contact", "1") and state.get("Contact", "1") is None


def test_a_field_becomes_unique_only_where_it_is(state: State) -> None:
    state.insert_many("Contact", [NewRecord("1", {"k": "a"}), NewRecord("2", {"k": "a"}), NewRecord("3", {"k": None})])
    with pytest.raises(Duplicate):
        state.declare_unique("Contact", "k")
    assert state.unique_fields("Contact") == []
    state.update("Contact", "2", {"k": ""})
    state.declare_unique("Contact", "k")
    with pytest.raises(Duplicate):
        state.update("Contact", "3", {"k": "a"})
    state.update("Contact", "1", {"k": "a"})


def test_a_nested_transaction_rolls_back_alone(state: State) -> None:
    with state.transaction():
        state.insert("Contact", "1", {})
        with pytest.raises(Duplicate), state.transaction():
            state.insert("Contact", "2", {})
            state.insert("Contact", "1", {})
        state.insert("Contact", "3", {})
    assert [r.id for r in state.scan("Contact")] == ["1", "3"]
    with pytest.raises(RuntimeError), state.transaction():
        state.insert("Contact", "4", {})
        raise RuntimeError
    assert state.count("Contact") == 2


def test_scan_takes_ranges_filters_and_keysets(state: State) -> None:
    rows = [
        NewRecord(f"{i:03}", {"na.me": f"n'{i % 3}", "ok": i % 2 == 0}, modified_us=(i // 2) * 1_000_000)
        for i in range(9)
    ]
    state.insert_many("Contact", rows)
    within = state.scan("Contact", modified=Between(ge=1_000_000, lt=3_000_000))
    assert [r.id for r in within] == ["002", "003", "004", "005"]
    assert [r.id for r in state.scan("Contact", seq=Between(gt=7))] == ["007", "008"]
    named = state.scan("Contact", where=field_sql("na.me") + " = ?", params=["n'1"])
    assert [r.id for r in named] == ["001", "004", "007"]
    assert state.count("Contact", where=field_sql("ok")) == 5
    page = state.scan(
        "Contact", where="(modified_us, id) > (?, ?)", params=[1_000_000, "002"], order="modified_us, id", limit=3
    )
    assert [r.id for r in page] == ["003", "004", "005"]


def test_associations_go_one_way_and_by_type(state: State) -> None:
    state.associate([("contacts", "1", "companies", "9", 279), ("contacts", "1", "companies", "9", 1)] * 2)
    state.associate([("contacts", "2", "companies", "10", 279)])
    found = state.associations("contacts", ["1", "2", "3"], "companies")
    assert found == {"1": [("9", 1), ("9", 279)], "2": [("10", 279)]}
    assert state.associations("companies", ["9"], "contacts") == {}
    assert state.dissociate([("contacts", "1", "companies", "9", 1)]) == 1
    both = [("contacts", "1", "companies", "9", None), ("contacts", "7", "companies", "9", None)]
    assert state.dissociate(both) == 1


def test_many_threads_write_and_read(state: State) -> None:
    def work(part: int) -> None:
        for i in range(20):
            state.insert("Contact", f"{part}-{i}", {"n": i})
            assert state.get("Contact", f"{part}-{i}") is not None

    threads = [threading.Thread(target=work, args=(part,)) for part in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.seq for r in state.scan("Contact")) == list(range(1, 121))


def test_a_connection_ends_with_its_thread(state: State) -> None:
    for _ in range(5):
        thread = threading.Thread(target=lambda: state.count("Contact"))
        thread.start()
        thread.join()
    gc.collect()
    assert len(state._open) == 1


def test_everything_outlives_a_restart(tmp_path: Path, clock: Time) -> None:
    first = State(tmp_path / "a.sqlite", clock=clock)
    declared = {"Contact": ObjectDeclaration("Contact", {"LastName": FieldDeclaration("LastName", "string")})}
    Schema(first, declared).add_field("Contact", FieldDeclaration("Key__c", "string", unique=True, options={"a": "A"}))
    first.insert("Contact", "1", {"Key__c": "k"})
    token = TokenBook(first).issue(10, prefix="t-", facts={"client": "c"}).token
    first.close()
    second = State(tmp_path / "a.sqlite", clock=clock)
    assert list(Schema(second, declared).fields("Contact")) == ["LastName", "Key__c"]
    with pytest.raises(Duplicate):
        second.insert("Contact", "2", {"Key__c": "k"})
    book = TokenBook(second)
    assert book.valid(token) and not book.valid("other")
    clock.now += 11_000_000
    grant = book.find(token)
    assert not book.valid(token) and grant is not None and grant.facts == {"client": "c"}
    second.close()


def test_a_window_refuses_and_says_when(state: State, clock: Time) -> None:
    window = Window(state, 2, 10)
    assert window.take() == (True, 1, 0.0) and window.take() == (True, 0, 0.0)
    assert window.take() == (False, 0, 10.0)
    clock.now += 10_000_000
    assert window.take()[0]


def test_a_person_edits_at_the_desk(state: State) -> None:
    desk = Desk(state)
    id = desk.create("contacts", {"a": "1"}, {"companies": ["9"]})
    assert desk.edit("contacts", id, {"a": "2"}, {"companies": ["10"]})
    [shown] = desk.find("contacts", "a", "2")
    assert shown["id"] == id and shown["associations"] == {"companies": ["10"]}
    assert desk.find("contacts", "a", "1") == [] and len(desk.find("contacts", "id", id)) == 1
    assert desk.delete("contacts", id) and list(desk.live("contacts")) == []
    assert not desk.edit("contacts", id, {"a": "3"}, {})
