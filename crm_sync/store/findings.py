"""What a comparison under way has read and found, in temporary tables of a session of its own.

So memory stays flat however many records there are, a crash leaves nothing behind, and none of it is written to the
log of the database. Belongs here: these tables. Not here: the result that is kept (reconciliations), its meaning
(steps/comparing).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from crm_sync.store.database import Connection, Database
from crm_sync.store.queries import queries

Q = queries("findings")

Seen = tuple[str, UUID | None, bool]
"""Record id, the hub id that its external key names, whether it is ours to compare."""
Found = tuple[str | None, UUID | None, str, str]
"""Record id, hub id where there is no record, finding, field (empty: the whole record)."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What was read, compared and found: finding -> records, finding -> field -> records, finding -> some ids."""

    read: int
    compared: int
    counts: dict[str, int]
    fields: dict[str, dict[str, int]]
    examples: dict[str, list[str]]


class Findings:
    """The findings of one comparison. Not for several threads."""

    def __init__(self, session: Connection) -> None:
        self._session = session
        for table in ("begin_seen", "begin_suspects", "begin_unlinked", "begin_findings"):
            session.execute(Q[table])

    @classmethod
    @contextmanager
    def begin(cls, database: Database) -> Iterator[Findings]:
        """Begin without findings; the tables go with the session."""
        session = database.connect()
        try:
            yield cls(session)
        finally:
            session.close()

    def saw(self, records: Iterable[Seen]) -> None:
        """Note records as read."""
        with self._session.cursor() as cursor, cursor.copy(Q["copy_seen"]) as copy:
            for record in records:
                copy.write_row(record)

    def saw_again(self, record_ids: Sequence[str], records: Iterable[Seen]) -> None:
        """Replace what was noted of records by what was read later; those without a row are not there any more."""
        self._session.execute(Q["forget_seen"], {"record_ids": list(record_ids)})
        self.saw(records)

    def suspect(self, number: int, records: Sequence[tuple[str, bool]]) -> None:
        """Put (record id, was not shown) down to be read again in a round."""
        if records:
            self._session.execute(
                Q["suspect"],
                {"round": number, "record_ids": [r[0] for r in records], "unseen": [r[1] for r in records]},
            )

    def suspect_unseen(self, number: int, connection: str, object_name: str, entity: str) -> None:
        """Put the live links whose record was not shown, and records that share a key, down for a round."""
        self._session.execute(Q["analyze_seen"])
        place = {"round": number, "connection": connection, "object": object_name, "entity": entity}
        self._session.execute(Q["suspect_unseen"], place)
        self._session.execute(Q["suspect_duplicates"], {"round": number})

    def take_suspects(self, number: int, limit: int) -> list[tuple[str, bool]]:
        """Take up to `limit` (record id, was not shown) of a round."""
        taken = self._session.execute(Q["take_suspects"], {"round": number, "limit": limit}).fetchall()
        return sorted((row[0], row[1]) for row in taken)

    def found(self, rows: Iterable[Found]) -> None:
        """Note findings; the same one twice counts once."""
        with self._session.cursor() as cursor, cursor.copy(Q["copy_findings"]) as copy:
            for row in rows:
                copy.write_row(row)

    def find_duplicates(self, finding: str, connection: str, object_name: str, entity: str) -> None:
        """Find records that share an external key of ours, and golden records with two live primary links."""
        place = {"finding": finding, "connection": connection, "object": object_name, "entity": entity}
        self._session.execute(Q["find_same_keys"], {"finding": finding})
        self._session.execute(Q["find_two_primaries"], place)

    def list_unlinked(self, connection: str, object_name: str, entity: str) -> None:
        """List the golden records that have no record in the CRM object, nor one that carries their key."""
        place = {"connection": connection, "object": object_name, "entity": entity}
        self._session.execute(Q["list_unlinked"], place)

    def take_unlinked(self, limit: int) -> list[tuple[UUID, str | None, bool]]:
        """Take up to `limit` (hub id, state of its command, waits for planning) of that list."""
        taken = self._session.execute(Q["take_unlinked"], {"limit": limit}).fetchall()
        return [(row[0], row[1], row[2]) for row in taken]

    def count(self, findings: Sequence[str]) -> int:
        """Return how many records have any of these findings."""
        row = self._session.execute(Q["count_records"], {"findings": list(findings)}).fetchone()
        return int(row[0]) if row else 0

    def totals(self, most_examples: int) -> Totals:
        """Return what was found, with up to `most_examples` ids of each finding."""
        run = self._session.execute
        seen = run(Q["count_seen"]).fetchone() or (0, 0)
        fields: dict[str, dict[str, int]] = {}
        for finding, field, rows in run(Q["count_fields"]).fetchall():
            fields.setdefault(finding, {})[field] = int(rows)
        examples: dict[str, list[str]] = {}
        for finding, id in run(Q["examples"], {"most": most_examples}).fetchall():
            examples.setdefault(finding, []).append(id)
        counts = {row[0]: int(row[1]) for row in run(Q["count_findings"]).fetchall()}
        return Totals(int(seen[0]), int(seen[1]), counts, fields, examples)
