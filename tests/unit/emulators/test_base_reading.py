"""Reading many records: lazily, by key, counted without looking, and rows that commit late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from crm_sync.emulators import reading
from crm_sync.emulators.state import Between, Duplicate, NewRecord, State, field_sql, fields_sql
from tests.unit.emulators.base_clock import Time

SECOND = 1_000_000


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def state(tmp_path: Path, clock: Time) -> Iterator[State]:
    one = State(tmp_path / "crm.sqlite", clock=clock)
    one.insert_many("c", [NewRecord(f"{n:04}", {"n": n, "name": f"n{n}", "on": n % 2 == 0}) for n in range(10)])
    one.insert_many("d", [NewRecord("1", {})])
    yield one
    one.close()


def plan(state: State, sql: str) -> str:
    given = ("c", *[0] * (sql.count("?") - 1))
    return " ".join(row[3] for row in state.connection().execute(f"EXPLAIN QUERY PLAN {sql}", given))


def test_expressions_are_selected_in_sql(state: State) -> None:
    expressions = ("id", field_sql("name"), fields_sql(["n", "on", "absent"]))
    rows = state.select("c", expressions, limit=2, id=Between(ge="0003"))
    assert [(id, name, orjson.loads(text)) for id, name, text in rows] == [
        ("0003", "n3", [3, False, None]), ("0004", "n4", [4, True, None]),
    ]  # fmt: skip
    assert [orjson.loads(text) for (text,) in state.select("c", (fields_sql(["n"]),), limit=1)] == [[0]]
    with pytest.raises(ValueError, match="no field name"):
        fields_sql(["a", 'b"'])


def test_raw_rows_carry_the_document_as_text(state: State) -> None:
    row = next(iter(state.scan_raw("c", order="modified_us DESC, id DESC")))
    assert (row[0], row[4], orjson.loads(row[6])) == ("0009", 0, {"n": 9, "name": "n9", "on": False})


def test_a_stream_reads_by_key_while_others_write(state: State) -> None:
    chunks = state.stream_raw("c", (field_sql("n"),), chunk=4, after="0001")
    assert next(chunks) == [("0002", 2), ("0003", 3), ("0004", 4), ("0005", 5)]
    state.insert("c", "0007a", {"n": 70})
    state.delete("c", "0008")
    assert list(chunks) == [[("0006", 6), ("0007", 7), ("0007a", 70), ("0009", 9)]]
    assert [record.id for record in state.stream("c", chunk=3, limit=4)] == ["0000", "0001", "0002", "0003"]


def test_counts_follow_every_kind_of_write(state: State, tmp_path: Path) -> None:
    def counted() -> tuple[int, int, int]:
        return state.count("c"), state.count("c", deleted=True), state.count("c", deleted=None)

    assert counted() == (10, 0, 10)
    state.delete("c", "0001")
    assert counted() == (9, 1, 10)
    state.purge("c", "0001")
    with pytest.raises(RuntimeError), state.transaction():
        state.insert("c", "x", {})
        assert counted() == (10, 0, 10)
        raise RuntimeError
    assert counted() == (9, 0, 9) == (state.count("c", where="id > ?", params=[""]), 0, 9)
    assert state.objects() == {"c": 9, "d": 1} and state.count("nothing") == 0
    again = State(tmp_path / "crm.sqlite")
    assert again.count("c") == 9
    again.close()


def test_many_are_counted_once_until_something_is_written(
    state: State, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reading, "MANY", 5)
    asked: list[str] = []

    def counted() -> int:
        state.connection().set_trace_callback(lambda sql: asked.append(sql) if "count(" in sql else None)
        return state.count("c", where=f"{field_sql('n')} >= ?", params=[2])

    assert [counted(), counted(), len(asked)] == [8, 8, 1]
    state.update("c", "0000", {"n": 5})
    assert [counted(), counted(), len(asked)] == [9, 9, 2]
    state.delete("c", "0001")
    state.purge("c", "0002")
    assert [counted(), counted(), len(asked)] == [8, 8, 3]
    with pytest.raises(RuntimeError), state.transaction():
        state.insert("c", "x", {"n": 9})
        assert counted() == 9
        raise RuntimeError
    state.insert("c", "y", {"n": 0})
    assert counted() == 8
    other = threading.Thread(target=state.insert, args=("c", "z", {"n": 7}))
    other.start()
    other.join()
    assert counted() == 9
    state.save(tmp_path / "kept")
    state.purge("c", "z")
    assert counted() == 8
    state.restore(tmp_path / "kept")
    assert counted() == 9


def test_pages_by_key_and_counts_by_stamp_need_no_sorting_and_no_reading_of_rows(state: State) -> None:
    base = "FROM record WHERE object = ? AND deleted = 0 AND"
    for order, bound in (("id", "id > ?"), ("modified_us, id", "(modified_us, id) > (?, ?)"), ("seq", "seq > ?")):
        told = plan(state, f"SELECT doc {base} {bound} ORDER BY {order} LIMIT 5")
        assert "SEARCH record USING INDEX" in told and "B-TREE" not in told, told
    assert "COVERING INDEX record_by_modification" in plan(state, f"SELECT count(*) {base} modified_us >= ?")
    base = "FROM record WHERE object = ? AND deleted = 1 AND"
    told = plan(state, f"SELECT doc {base} modified_us > ? ORDER BY modified_us")
    assert "record_deleted" in told and "B-TREE" not in told


def test_an_id_that_is_taken_is_named_among_many(state: State) -> None:
    with pytest.raises(Duplicate) as twice:
        state.insert_many("c", [NewRecord("a", {}), NewRecord("b", {}), NewRecord("a", {})])
    with pytest.raises(Duplicate) as taken:
        state.insert_many("c", [NewRecord("e", {}), NewRecord("0004", {})])
    assert [(one.value.field, one.value.id) for one in (twice, taken)] == [("id", "a"), ("id", "0004")]
    assert state.get("c", "a") is None and state.get("c", "e") is None


def test_a_late_row_appears_behind_the_watermark(state: State, clock: Time) -> None:
    late = {"c": 30.0}
    state.postpone(late.get)
    written = state.insert("c", "late", {"n": 1})
    changed = state.update("c", "0000", {"n": 100})
    assert changed is not None and changed.values["n"] == 100
    late.clear()
    clock.now += 10 * SECOND
    after = state.insert("c", "later", {"n": 2})
    seen = state.scan("c", modified=Between(ge=written.modified_us + 1))
    assert [record.id for record in seen] == ["later"]
    assert state.get("c", "late") is None and state.count("c") == 11
    clock.now += 20 * SECOND
    state.now_us()
    row, old = state.get("c", "late"), state.get("c", "0000")
    assert row is not None and row.modified_us == written.modified_us < after.modified_us and row.seq > after.seq
    assert old is not None and old.modified_us == changed.modified_us and old.values == {**changed.values, "n": 100}
    assert state.count("c") == 12


def test_a_late_row_survives_a_restart(state: State, clock: Time, tmp_path: Path) -> None:
    state.postpone(lambda object: 5.0)
    state.insert("c", "late", {"n": 1})
    clock.now += 6 * SECOND
    again = State(tmp_path / "crm.sqlite", clock=clock)
    again.now_us()
    assert again.get("c", "late") is not None
    again.close()
