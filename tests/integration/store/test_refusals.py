"""What the database refuses leaves the store without the values that it refuses it for."""

from __future__ import annotations

import sys
import threading
import traceback
from uuid import uuid4

import psycopg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from crm_sync.errors import StoreTrouble
from crm_sync.store.database import Connection, Database
from crm_sync.store.staging import ConstraintError, stage

SECRET = "Zanzibar-4711"


@pytest.fixture(scope="module", autouse=True)
def people(database: Database) -> None:
    with database.transaction() as conn:
        conn.execute(
            "create table people (name text constraint one_person_per_name unique not null,"
            " age integer constraint age_is_no_secret check (age < 100))"
        )
        conn.execute("insert into people values (%s, 1)", [SECRET])


def refused(database: Database, statement: str, *values: object) -> StoreTrouble:
    """Return what a statement is refused with, in a transaction and in a run alike, and see that it is silent."""

    def work(conn: Connection) -> None:
        conn.execute(statement.encode(), values)

    told = []
    for attempt in (lambda: database.run(work), lambda: in_transaction(database, work)):
        try:
            attempt()
        except StoreTrouble as error:
            told.append(error)
            # As it would be printed, and as Dagster would store it.
            printed = "".join(traceback.format_exception(error))
            stored = str(serializable_error_info_from_exc_info(sys.exc_info()))
            assert SECRET not in printed and SECRET not in stored
    assert len(told) == 2 and str(told[0]) == str(told[1])
    return told[0]


def in_transaction(database: Database, work: object) -> None:
    with database.transaction() as conn:
        work(conn)  # type: ignore[operator]


def test_the_driver_itself_quotes_values(database: Database) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match=SECRET), psycopg.connect(database.url) as conn:
        conn.execute("insert into crm_sync.people values (%s, 1)", [SECRET])


def test_a_broken_constraint_is_named_with_its_table_and_nothing_else(database: Database) -> None:
    error = refused(database, "insert into people values (%s, 2)", SECRET)
    assert error.code == "23505"
    assert "UniqueViolation, constraint one_person_per_name, table people, SQLSTATE 23505" in str(error)
    assert "rolled back" in str(error)
    error = refused(database, "insert into people values (%s, 200)", SECRET + "!")
    assert "CheckViolation, constraint age_is_no_secret, table people" in str(error)
    error = refused(database, "insert into people values (null, (%s::text is not null)::integer)", SECRET)
    assert "NotNullViolation, table people, column name" in str(error)


def test_a_value_of_the_wrong_kind_is_not_quoted(database: Database) -> None:
    assert "InvalidTextRepresentation, SQLSTATE 22P02" in str(refused(database, "select %s::integer", SECRET))
    assert "InvalidDatetimeFormat" in str(refused(database, "select %s::timestamptz", SECRET))


def test_rows_brought_in_bulk_are_not_quoted(database: Database) -> None:
    with pytest.raises(StoreTrouble) as raised, database.transaction() as conn:
        stage(conn, "people", ("name", "age"), [("any", SECRET)])
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_what_is_wrong_with_a_statement_itself_is_told(database: Database) -> None:
    assert 'column "nome" does not exist' in str(refused(database, "select nome from people where name = %s", SECRET))


def test_a_flow_still_learns_inside_its_transaction_that_a_row_was_refused(database: Database) -> None:
    with database.transaction() as conn:
        with pytest.raises(ConstraintError), conn.transaction():
            conn.execute("insert into people values (%s, 2)", [SECRET])
        conn.execute("insert into people values (%s, 2)", [str(uuid4())])


def test_a_connection_that_is_cut_off_is_told_plainly(database: Database) -> None:
    def cut(pid: int) -> None:
        with psycopg.connect(database.url, autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s)", [pid])

    told = r"AdminShutdown|connection to the database was lost"
    with pytest.raises(StoreTrouble, match=told) as raised, database.transaction() as conn:
        thread = threading.Thread(target=cut, args=[conn.info.backend_pid])
        thread.start()
        thread.join()
        conn.execute("select %s", [SECRET])
    assert SECRET not in str(raised.value)
