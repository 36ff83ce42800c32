"""Run ingest jobs: each row for itself, 200 in a transaction, with the results of all kinds streamed into Parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.bulk.csvs import DELIMITERS, ENDINGS, error_text, quoted
from crm_sync.emulators.salesforce.bulk.incoming import Column, Row, columns_of, lines, read_row, rows_of
from crm_sync.emulators.salesforce.bulk.jobs import Job, Jobs
from crm_sync.emulators.salesforce.failures import Failure, Invalid, Problem
from crm_sync.emulators.salesforce.records import Records, Saved, Several

ROWS_TOGETHER = 200
OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")


class RowWriter:
    """Writes the rows of one job, whichever API it came by."""

    def __init__(self, records: Records, sobject: str, operation: str, key: str | None) -> None:
        self.records, self.org = records, records.org
        self.sobject, self.operation = sobject, operation
        by_id = key is None or key.casefold() == "id"
        self.key: FieldDeclaration | None = None if by_id else records.key_field(sobject, str(key))

    def write(self, rows: Sequence[Row]) -> list[Saved | Invalid]:
        """Write rows, each for itself, in a transaction of the caller's; what is Invalid already stays so."""
        if self.operation != "insert" and (self.operation != "upsert" or self.key is not None):
            return [self._one(record_id, values) for record_id, values in rows]
        plain = {at: values for at, (id, values) in enumerate(rows) if id is None and isinstance(values, dict)}
        made = dict(zip(plain, self.records.create_rows(self.sobject, list(plain.values())), strict=True))
        return [made[at] if at in made else self._one(*row) for at, row in enumerate(rows)]

    def _one(self, record_id: str | None, values: dict[str, Any] | Invalid) -> Saved | Invalid:
        """Write one row in a transaction of its own."""
        if isinstance(values, Invalid):
            return values
        try:
            with self.org.state.transaction():
                self.records.mischief.row(self.sobject, record_id or "")
                return self._write(record_id, values)
        except Several as several:
            text = f"More than one record found for external id field: {several.ids}"
            return Invalid(Problem("DUPLICATE_EXTERNAL_ID", text, ()))
        except Failure as failure:
            return Invalid(*failure.problems)
        except Invalid as invalid:
            return invalid

    def _write(self, record_id: str | None, values: dict[str, Any]) -> Saved:
        if self.operation == "insert":
            text = "cannot specify Id in an insert call"
            raise Invalid(Problem("INVALID_FIELD_FOR_INSERT_UPDATE", text, ("Id",)))
        if self.operation == "upsert" and self.key is not None:
            value = values.pop(self.key.name, None)
            if value is None:
                raise Invalid(Problem("MISSING_ARGUMENT", f"{self.key.name} not specified", ()))
            return self.records.upsert(self.sobject, self.key, value, values)
        if record_id is None:
            raise Invalid(Problem("MISSING_ARGUMENT", f"Id not specified in an {self.operation} call", ()))
        parsed = ids.parse(record_id)
        if parsed is None or self.org.prefix_object(parsed) != self.sobject:
            text = f"{self.sobject} ID: id value of incorrect type: {record_id}"
            raise Invalid(Problem("MALFORMED_ID", text, ("Id",)))
        self.records.existing(self.sobject, parsed)
        if self.operation in ("update", "upsert"):
            return self.records.update(self.sobject, parsed, values)
        saved = self.records.delete(self.sobject, parsed)
        if self.operation == "hardDelete":
            self.records.bin.purge(self.sobject, parsed)
        return saved


class IngestRun:
    """Does ingest jobs of Bulk 2.0."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs, self.records = jobs, jobs.records
        jobs.works["ingest"] = self.run

    def run(self, job: Job) -> str:
        """Write all rows, going on behind those that were done before a restart. Raises BadJob, Failure."""
        delimiter, ending = DELIMITERS[job["columnDelimiter"]], job["lineEnding"]
        rows = rows_of(lines(self.jobs.parts.slices(f"{job['id']}:in")), delimiter, ending)
        job["header"] = next(rows)
        columns = columns_of(self.records.org, job["object"], job["header"])
        writer = RowWriter(self.records, job["object"], job["operation"], job.get("externalIdFieldName"))
        skip(rows, int(job.get("numberRecordsProcessed", 0)))
        while chunk := list(islice(rows, ROWS_TOGETHER)):
            with self.jobs.state.transaction():
                given_up = self.jobs.given_up(job["id"])
                if not given_up:
                    self.write(job, writer, columns, chunk)
                    self.jobs.save(job)
            if given_up:
                self.leave(job, chunk, rows)
                break
        return "JobComplete"

    def write(self, job: Job, writer: RowWriter, columns: Sequence[Column], chunk: Sequence[list[str]]) -> None:
        """Write some rows and keep their results."""
        form = (DELIMITERS[job["columnDelimiter"]], ENDINGS[job["lineEnding"]])
        good: list[bytes] = []
        bad: list[bytes] = []
        read = [read_row(self.records.org, columns, row) for row in chunk]
        for row, (record_id, _), saved in zip(chunk, read, writer.write(read), strict=True):
            if isinstance(saved, Invalid):
                bad.append(quoted([record_id or "", error_text(saved.problems[0]), *row], *form))
            else:
                good.append(quoted([saved.id, "true" if saved.created else "false", *row], *form))
        self.jobs.parts.add(f"{job['id']}:ok", good)
        self.jobs.parts.add(f"{job['id']}:bad", bad)
        job["numberRecordsProcessed"] = job.get("numberRecordsProcessed", 0) + len(chunk)
        job["numberRecordsFailed"] = job.get("numberRecordsFailed", 0) + len(bad)

    def leave(self, job: Job, chunk: list[list[str]], rows: Iterator[list[str]]) -> None:
        """Keep what an aborted job did not come to."""
        form = (DELIMITERS[job["columnDelimiter"]], ENDINGS[job["lineEnding"]])

        def left() -> Iterator[bytes]:
            yield from (quoted(row, *form) for row in chunk)
            yield from (quoted(row, *form) for row in rows)

        self.jobs.parts.extend(f"{job['id']}:left", left())


def skip(rows: Iterator[Any], number: int) -> None:
    """Leave out the rows that were done before a restart."""
    for _ in islice(rows, number):
        continue
