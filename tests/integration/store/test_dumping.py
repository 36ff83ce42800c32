"""Values arrive in the database as the driver itself would bring them there, in bulk."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from crm_sync.store.database import Connection, Database
from crm_sync.store.staging import ConstraintError, copy_columns, stage, stage_columns

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SAME_DATABASE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("text", TEXTS), ("uuid", st.uuids()), ("bigint", st.integers(-(2**63), 2**63 - 1)), ("bytea", st.binary())],
)
def test_lists_arrive_whole(database: Database, kind: str, values: st.SearchStrategy[Any]) -> None:
    @SAME_DATABASE
    @given(st.lists(values, max_size=30))
    def arrives(given_list: list[Any]) -> None:
        row = database.run(lambda conn: conn.execute(f"select %(it)s::{kind}[]", {"it": given_list}).fetchone())
        assert row is not None
        assert row[0] == given_list

    arrives()


def test_a_zero_byte_in_a_list_is_refused(database: Database) -> None:
    def refused(conn: Connection) -> None:
        with pytest.raises(psycopg.DataError):
            conn.execute("select %(it)s::text[]", {"it": ["a", "b\0c"]})

    database.run(refused)


COLUMNS = (
    "a uuid, b text, c bytea, d jsonb, e bigint, f integer, g smallint, h boolean, i timestamptz, j text[], k date, "
    "l double precision"
)
MOMENTS = st.datetimes(datetime(1700, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
ROWS = st.tuples(
    st.uuids(), TEXTS, st.binary(), DOCUMENTS.map(Jsonb), st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**15), 2**15 - 1), st.booleans(), MOMENTS,
    st.lists(TEXTS, max_size=3), st.dates(), st.floats(allow_nan=False),
)  # fmt: skip


@pytest.fixture
def several(database: Database) -> Any:
    """Return a table of every type that we copy."""
    with database.transaction() as conn:
        conn.execute(f"create table several ({COLUMNS})")
    yield "several"
    with database.transaction() as conn:
        conn.execute("drop table several")


@SAME_DATABASE
@given(rows=st.lists(ROWS, min_size=1, max_size=8), holes=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 11))))
def test_rows_arrive_whole(several: str, database: Database, rows: list[Any], holes: set[tuple[int, int]]) -> None:
    given_rows = [[None if (r, c) in holes else v for c, v in enumerate(row)] for r, row in enumerate(rows)]

    def through(conn: Connection) -> list[Any]:
        assert stage(conn, several, "abcdefghijkl", given_rows) == len(rows)
        return conn.execute(f"select * from stage_{several}").fetchall()

    expected = [[v.obj if isinstance(v, Jsonb) else v for v in row] for row in given_rows]
    assert [list(row) for row in database.run(through)] == expected


def test_a_document_may_come_as_written_json(several: str, database: Database) -> None:
    def through(conn: Connection) -> Any:
        stage_columns(conn, several, {"d": [b'{"x":1}', None]})
        return conn.execute(f"select d from stage_{several}").fetchall()

    assert database.run(through) == [({"x": 1},), (None,)]


def test_no_rows_stage_nothing(several: str, database: Database) -> None:
    assert database.run(lambda conn: stage(conn, several, "ab", [])) == 0
    assert database.run(lambda conn: copy_columns(conn, several, {"a": []})) == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"record_id": ["a\0b"], "run_id": [UUID(int=0)]},
        {"missing_required": [2**20]},
        {"hub_id": [uuid4()], "updated_at": [datetime(9999, 12, 31, tzinfo=UTC)], "entity": [None]},
    ],
)
def test_what_has_no_form_or_breaks_a_rule_is_told_as_such(database: Database, columns: dict[str, Any]) -> None:
    table = "identity_link" if "record_id" in columns else "hub_record"

    def refused(conn: Connection) -> None:
        with pytest.raises(ConstraintError), conn.transaction():
            copy_columns(conn, table, columns)
        assert conn.execute("select 1").fetchone() == (1,)

    database.run(refused)
