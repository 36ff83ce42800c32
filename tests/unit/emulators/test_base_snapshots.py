"""Snapshots: all records back as they were, tokens and clock as they are; while others read and write."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from crm_sync.emulators.declarations import FieldDeclaration, ObjectDeclaration, Schema
from crm_sync.emulators.snapshots import Snapshots
from crm_sync.emulators.state import Duplicate, NewRecord, State
from crm_sync.emulators.tokens import TokenBook


def test_what_was_saved_comes_back_and_survives_a_restart(tmp_path: Path) -> None:
    state = State(tmp_path / "crm.sqlite")
    schema = Schema(state, {"c": ObjectDeclaration("c", {})})
    state.insert("c", "1", {"email": "a@x.test"})
    snapshots = Snapshots(state, tmp_path / "snapshots")
    snapshots.save("before")
    schema.add_field("c", FieldDeclaration("email", "string", unique=True))
    state.update("c", "1", {"email": "b@x.test"})
    state.insert("c", "2", {"email": "c@x.test"})
    with pytest.raises(Duplicate):
        state.insert("c", "3", {"email": "c@x.test"})
    token = TokenBook(state).issue(60).token
    state.close()

    state = State(tmp_path / "crm.sqlite")
    schema = Schema(state, {"c": ObjectDeclaration("c", {})})
    snapshots = Snapshots(state, tmp_path / "snapshots")
    now = state.move_clock(freeze=True, advance_seconds=3600)
    assert [one["name"] for one in snapshots.list()] == ["before"] and list(schema.fields("c")) == ["email"]
    snapshots.restore("before")
    assert {one.id: one.values for one in state.stream("c")} == {"1": {"email": "a@x.test"}}
    assert state.count("c") == 1 and state.unique_fields("c") == [] and list(schema.fields("c")) == []
    assert TokenBook(state).find(token) is not None and state.now_us() == now
    state.insert("c", "3", {"email": "a@x.test"})
    snapshots.delete("before")
    assert snapshots.list() == []
    state.close()


def test_a_snapshot_can_be_taken_and_restored_while_others_work(tmp_path: Path) -> None:
    state = State(tmp_path / "crm.sqlite")
    snapshots = Snapshots(state, tmp_path / "snapshots")
    state.insert_many("c", [NewRecord(f"{n:05}", {"n": n, "text": "x" * 200}) for n in range(3_000)])
    snapshots.save("full")
    stop, seen, troubles = threading.Event(), set[int](), list[BaseException]()

    def work(read: bool) -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                if read:
                    seen.add(len(list(state.scan_raw("c"))))
                else:
                    state.insert("other", str(number), {})
        except BaseException as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=work, args=(read,)) for read in (True, False)]
    for thread in threads:
        thread.start()
    for round in range(3):
        with state.transaction():
            for record in state.scan("c", limit=500):
                state.purge("c", record.id)
        snapshots.save(f"less-{round}")
        snapshots.restore("full")
    stop.set()
    for thread in threads:
        thread.join()
    assert not troubles
    assert seen <= {3_000, 2_500} and state.count("c") == len(list(state.scan_raw("c"))) == 3_000
    state.close()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", None])
def test_names_stay_inside_their_folder(tmp_path: Path, name: str) -> None:
    state = State(tmp_path / "crm.sqlite")
    with pytest.raises(ValueError, match="expected 1 to 100 letters"):
        Snapshots(state, tmp_path / "snapshots").save(name)
    with pytest.raises(LookupError, match="no snapshot 'absent'; there are: none"):
        Snapshots(state, tmp_path / "snapshots").restore("absent")
    state.close()
