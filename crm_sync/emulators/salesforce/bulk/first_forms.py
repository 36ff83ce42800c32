"""Read and write the bodies of Bulk API 1.0: JSON or XML for jobs and batches, JSON or CSV for rows.

Source: Bulk API Developer Guide; what simple-salesforce, dlt and the Singer tap read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import orjson

from crm_sync.emulators.salesforce.bulk.csvs import error_text, quoted
from crm_sync.emulators.salesforce.bulk.jobs import Job
from crm_sync.emulators.salesforce.failures import Answer, Problem
from crm_sync.emulators.salesforce.moments import microseconds
from crm_sync.emulators.salesforce.resolving import Path
from crm_sync.emulators.salesforce.schema import relationship_name

NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"
JSON, XML, CSV = "application/json", "application/xml", "text/csv"
"""Without a charset: salesforce-bulk compares the whole header."""
COUNTS = ("numberBatchesQueued", "numberBatchesInProgress", "numberBatchesCompleted", "numberBatchesFailed",
          "numberBatchesTotal", "numberRecordsProcessed", "numberRetries")  # fmt: skip
TIMES = ("totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime")


class Refused(Exception):
    """A call of Bulk API 1.0 is refused: {"exceptionCode", "exceptionMessage"}."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


def job_info(job: Job, batches: Sequence[Job]) -> dict[str, Any]:
    """Return a job with the counts of its batches."""
    states = [one["state"] for one in batches]
    counts = [states.count(one) for one in ("Queued", "InProgress", "Completed", "Failed")]
    processed = sum(one.get("numberRecordsProcessed", 0) for one in batches)
    failed = sum(one.get("numberRecordsFailed", 0) for one in batches)
    return {
        **{name: job.get(name) for name in ("id", "operation", "object", "createdById", "createdDate",
                                            "systemModstamp", "state", "externalIdFieldName")},
        "concurrencyMode": job["concurrencyMode"], "contentType": job["contentType"],
        **dict(zip(COUNTS, (*counts, len(batches), processed, 0), strict=True)),
        "apiVersion": job["apiVersion"], "assignmentRuleId": None, "numberRecordsFailed": failed,
        **dict.fromkeys(TIMES, 0), "fastPathEnabled": False,
    }  # fmt: skip


def batch_info(batch: Job) -> dict[str, Any]:
    """Return a batch."""
    return {
        **{name: batch.get(name) for name in ("id", "jobId", "state", "stateMessage", "createdDate", "systemModstamp")},
        "numberRecordsProcessed": batch.get("numberRecordsProcessed", 0),
        "numberRecordsFailed": batch.get("numberRecordsFailed", 0),
        **dict.fromkeys(TIMES, 0),
    }


def told(tag: str, facts: Mapping[str, Any], *, xml: bool, status: int = 200) -> Answer:
    """Return a job, a batch or an error in the form that the client speaks."""
    if not xml:
        return Answer(status, dict(facts), media=JSON)
    inner = "".join(
        f"<{name}>{escape(str(value).lower() if isinstance(value, bool) else str(value))}</{name}>"
        for name, value in facts.items()
        if value is not None
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return Answer(status, f'{head}<{tag} xmlns="{NAMESPACE}">{inner}</{tag}>'.encode(), media=XML)


def told_list(tag: str, item: str, entries: Sequence[Any], *, xml: bool) -> Answer:
    """Return a list: of result ids, or of batches."""
    if not xml:
        return Answer(200, entries if item == "result" else {tag: entries}, media=JSON)
    inner = "".join(
        f"<{item}>{escape(one)}</{item}>"
        if isinstance(one, str)
        else f"<{item}>{''.join(f'<{k}>{escape(str(v))}</{k}>' for k, v in one.items() if v is not None)}</{item}>"
        for one in entries
    )
    return Answer(200, f'<?xml version="1.0" encoding="UTF-8"?><{tag} xmlns="{NAMESPACE}">{inner}</{tag}>'.encode(),
                  media=XML)  # fmt: skip


def read_properties(raw: bytes, *, xml: bool) -> dict[str, Any]:
    """Read the properties of a job. Raises Refused."""
    try:
        if xml:
            root = ET.fromstring(raw)  # noqa: S314 - expat bounds entities; only loopback can reach us
            return {one.tag.rpartition("}")[2]: one.text for one in root}
        found = orjson.loads(raw)
    except (orjson.JSONDecodeError, ET.ParseError) as error:
        raise Refused("InvalidJob", f"The job cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise Refused("InvalidJob", "The job must be an object")
    return found


def moved_dates(row: dict[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Return a row whose datetimes are milliseconds since 1970, as the JSON of this API has them."""
    for path in paths:
        if path[-1].type != "datetime":
            continue
        holder: Any = row
        for reference in path[:-1]:
            holder = holder.get(relationship_name(reference)) if holder else None
        value = holder.get(path[-1].name) if holder else None
        if isinstance(value, str):
            holder[path[-1].name] = microseconds(value) // 1000
    return row


def json_list(rows: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a JSON list of rows that are JSON already and end with a comma."""
    yield b"["
    held = b""
    for piece in rows:
        if held:
            yield held
        held = piece
    yield held.rstrip(b",") + b"]"


def result_row(saved: tuple[str, bool] | None, record_id: str | None, problem: Problem | None, *, csv: bool) -> bytes:
    """Return what became of one row that was written."""
    if csv:
        made = saved or (record_id or "", False)
        error = error_text(problem) if problem else ""
        return quoted([made[0], "true" if saved else "false", "true" if made[1] else "false", error])
    errors = [] if problem is None else [{**problem.row_form(), "extendedErrorDetails": None}]
    facts = {"success": saved is not None, "created": bool(saved and saved[1]), "id": saved[0] if saved else None}
    return orjson.dumps({**facts, "errors": errors}) + b","
