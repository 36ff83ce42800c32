"""Answer Bulk API 1.0: /services/async/NN.0/job and what is below it, with the token in X-SFDC-Session.

Rows are JSON or CSV; XML rows and zipped attachments are not supported. A query is one batch, or with PK chunking one
for each range of ids, beside the first, which is NotProcessed then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.bulk.csvs import Table
from crm_sync.emulators.salesforce.bulk.first_forms import (
    CSV,
    JSON,
    Refused,
    batch_info,
    job_info,
    json_list,
    moved_dates,
    read_properties,
    result_row,
    told,
    told_list,
)
from crm_sync.emulators.salesforce.bulk.incoming import Row, columns_of, lines, read_row, rows_of
from crm_sync.emulators.salesforce.bulk.ingests import OPERATIONS, RowWriter, skip
from crm_sync.emulators.salesforce.bulk.jobs import BadJob, Job, Jobs
from crm_sync.emulators.salesforce.bulk.queries import checked, pieces
from crm_sync.emulators.salesforce.compiling import Compiler
from crm_sync.emulators.salesforce.failures import Answer, Failure, Invalid, Problem, Unsupported, failed
from crm_sync.emulators.salesforce.mischief import Mischief, strike_limit
from crm_sync.emulators.salesforce.reading import stream
from crm_sync.emulators.salesforce.rendering import Shape
from crm_sync.emulators.salesforce.resolving import Path
from crm_sync.emulators.salesforce.values import deserialize

HEADER = '"Id","Success","Created","Error"\n'
ROUTES = (
    ("job", "POST"), ("job/{id}", "GET POST"), ("job/{id}/batch", "GET POST"), ("job/{id}/batch/{batch}", "GET"),
    ("job/{id}/batch/{batch}/request", "GET"), ("job/{id}/batch/{batch}/result", "GET"),
    ("job/{id}/batch/{batch}/result/{result}", "GET"),
)  # fmt: skip
BASE = "/services/async/NN.N"
ROWS_TOGETHER = 200
CHUNK_ROWS, LARGEST_CHUNK = 100_000, 250_000
AFTER_ALL = "~"
"""Comes behind every id."""
Rows = Iterator[Row]


class FirstBulk:
    """The jobs of Bulk API 1.0."""

    def __init__(self, jobs: Jobs, doorman: Doorman, mischief: Mischief) -> None:
        self.jobs, self.org, self.doorman, self.mischief = jobs, jobs.org, doorman, mischief
        jobs.works["first"] = self.run

    # -- the calls

    def endpoints(self) -> Iterator[tuple[str, str]]:
        """Yield (method, path) of everything that is answered."""
        for path, methods in ROUTES:
            yield from ((method, f"{BASE}/{path}") for method in methods.split())

    def route(self, parts: Sequence[str]) -> str:
        """Return the route of a path, for the counts."""
        for path, _ in ROUTES:
            names = path.split("/")
            pattern = "/".join("[^/]+" if "{" in name else name for name in names)
            if re.fullmatch(pattern, "/".join(parts[1:])):
                return f"{BASE}/{path}"
        return f"{BASE}/(unsupported)"

    def answer(self, method: str, parts: Sequence[str], headers: Mapping[str, str], raw: bytes) -> Answer:
        """Answer a call; `parts` is the path from the API version on."""
        xml = "json" not in headers.get("content-type", "")
        try:
            self.admit(headers.get("x-sfdc-session", ""))
            with self.org.state.transaction():
                return self.dispatch(method, parts, headers, raw, xml=xml)
        except Refused as refused:
            facts = {"exceptionCode": refused.code, "exceptionMessage": str(refused)}
            return told("error", facts, xml=xml, status=refused.status)
        except Unsupported as what:
            return failed(501, [Problem("NOT_IMPLEMENTED", f"This pretend org does not support {what}.")])

    def admit(self, session: str) -> None:
        try:
            self.doorman.session(session)
        except Failure:
            raise Refused("InvalidSessionId", "Invalid session id") from None
        try:
            self.doorman.count()
            self.mischief.door()
        except Failure as failure:
            code = "ExceededQuota" if failure.status == 403 else "ServerError"
            raise Refused(code, failure.problems[0].message, failure.status) from None

    def dispatch(
        self, method: str, parts: Sequence[str], headers: Mapping[str, str], raw: bytes, *, xml: bool
    ) -> Answer:
        match method, *parts:
            case "POST", version, "job":
                return self.create(version, headers, raw, xml=xml)
            case "GET", _, "job", job_id:
                return self.told_job(self.job(job_id), xml=xml and self.speaks_xml(job_id))
            case "POST", _, "job", job_id:
                return self.change(self.job(job_id), raw, xml=xml)
            case "POST", _, "job", job_id, "batch":
                return self.add(self.job(job_id), raw, xml=xml)
            case "GET", _, "job", job_id, "batch":
                entries = [batch_info(one) for one in self.batches(self.job(job_id))]
                xml = xml and self.speaks_xml(job_id)
                return told_list("batchInfo" if not xml else "batchInfoList", "batchInfo", entries, xml=xml)
            case "GET", _, "job", job_id, "batch", batch_id:
                return told("batchInfo", batch_info(self.batch(job_id, batch_id)), xml=self.speaks_xml(job_id))
            case "GET", _, "job", job_id, "batch", batch_id, "request":
                media = JSON if self.job(job_id)["contentType"] == "JSON" else CSV
                return Answer(200, self.pieces(f"{self.batch(job_id, batch_id)['id']}:in"), media=media)
            case "GET", _, "job", job_id, "batch", batch_id, "result":
                return self.result(self.job(job_id), self.batch(job_id, batch_id))
            case "GET", _, "job", job_id, "batch", batch_id, "result", _:
                return self.rows(self.job(job_id), self.batch(job_id, batch_id))
        raise Unsupported(f"{method} /services/async/{'/'.join(parts)}")

    def job(self, job_id: str) -> Job:
        try:
            return self.jobs.find(job_id, "first")
        except Failure:
            raise Refused("InvalidJob", f"Unable to find object: {job_id}") from None

    def batch(self, job_id: str, batch_id: str) -> Job:
        try:
            found = self.jobs.find(batch_id, "batch")
        except Failure:
            found = {}
        if found.get("jobId") != self.job(job_id)["id"]:
            raise Refused("InvalidBatch", f"Unable to find object: {batch_id}")
        return found

    def batches(self, job: Job) -> list[Job]:
        return [one for one in self.jobs.all("batch") if one["jobId"] == job["id"]]

    def speaks_xml(self, job_id: str) -> bool:
        return bool(self.job(job_id)["contentType"] != "JSON")

    def told_job(self, job: Job, *, xml: bool, status: int = 200) -> Answer:
        return told("jobInfo", job_info(job, self.batches(job)), xml=xml, status=status)

    def create(self, version: str, headers: Mapping[str, str], raw: bytes, *, xml: bool) -> Answer:
        """POST job."""
        try:
            strike_limit(self.org.faults, "bulk")
        except Failure as failure:
            raise Refused("ExceededQuota", failure.problems[0].message) from None
        if self.org.faults.knob("async_api_disabled"):
            raise Refused("FeatureNotEnabled", "Async API not enabled")
        body = read_properties(raw, xml=xml)
        sobject = self.org.object(str(body.get("object")))
        if sobject is None:
            raise Refused("InvalidEntity", f"Entity '{body.get('object')}' is not supported by the Bulk API.")
        operation, kind = str(body.get("operation")), str(body.get("contentType") or "XML")
        known = {one.casefold(): one for one in (*OPERATIONS, "query", "queryAll")}
        if operation.casefold() not in known:
            raise Refused("InvalidJob", f"operation is {operation!r}; expected one of {', '.join(known.values())}")
        if kind not in ("JSON", "CSV"):
            raise Unsupported(f"bulk jobs of contentType {kind}")
        key = body.get("externalIdFieldName")
        if operation == "upsert" and (not key or self.org.field(sobject, str(key)) is None):
            raise Refused("InvalidJob", f"externalIdFieldName is {key!r}; expected an external ID of {sobject}")
        job = self.jobs.add(
            "750",
            {
                "kind": "first", "work": "first", "operation": known[operation.casefold()], "object": sobject,
                "state": "Open", "externalIdFieldName": key, "contentType": kind, "apiVersion": float(version),
                "concurrencyMode": body.get("concurrencyMode") or "Parallel",
                "chunkSize": chunk_size(headers.get("sforce-enable-pkchunking", "")),
            },
        )  # fmt: skip
        return self.told_job(job, xml=xml, status=201)

    def change(self, job: Job, raw: bytes, *, xml: bool) -> Answer:
        """POST job/id {"state": "Closed" or "Aborted"}."""
        wanted = read_properties(raw, xml=xml).get("state")
        allowed = {"Closed": ("Open",), "Aborted": ("Open", "Closed")}
        if job["state"] not in allowed.get(str(wanted), ()):
            raise Refused("InvalidJobState", f"The job is {job['state']} and cannot become {wanted}")
        job["state"] = wanted
        self.jobs.save(job)
        return self.told_job(job, xml=xml)

    def add(self, job: Job, raw: bytes, *, xml: bool) -> Answer:
        """POST job/id/batch."""
        if job["state"] != "Open":
            raise Refused("InvalidJobState", f"The job is {job['state']}; batches can be added to an Open one alone")
        return told("batchInfo", batch_info(self.queue(job, raw)), xml=job["contentType"] != "JSON", status=201)

    def queue(self, job: Job, raw: bytes, **more: Any) -> Job:
        """Have a batch done."""
        facts = {"kind": "batch", "work": "first", "jobId": job["id"], "state": "Queued", "stateMessage": None}
        batch = self.jobs.add("751", facts | more)
        self.jobs.parts.add(f"{batch['id']}:in", [raw])
        self.jobs.start("first", batch["id"])
        return batch

    # -- results

    def result(self, job: Job, batch: Job) -> Answer:
        """GET result: the ids of results of a query, the outcome of each row of a write."""
        if batch["state"] not in ("Completed", "Failed"):
            raise Refused("InvalidBatch", "Batch not completed")
        if job["operation"] in ("query", "queryAll"):
            named = [f"752{batch['id'][3:]}"] if batch["state"] == "Completed" else []
            return told_list("result-list", "result", named, xml=job["contentType"] != "JSON")
        return self.rows(job, batch)

    def rows(self, job: Job, batch: Job) -> Answer:
        """Return the rows of a result."""
        if job["contentType"] == "JSON":
            return Answer(200, json_list(self.pieces(batch["id"])), media=JSON)
        return Answer(200, self.pieces(batch["id"]), media=CSV)

    def pieces(self, owner: str) -> Iterator[bytes]:
        yield from self.jobs.parts.slices(owner)

    # -- working

    def run(self, batch: Job) -> str:
        """Do one batch. Raises BadJob, Failure, Unsupported."""
        job = self.job(batch["jobId"])
        if job["state"] == "Aborted":
            return "NotProcessed"
        if job["operation"] not in ("query", "queryAll"):
            self.write(job, batch)
        elif not self.chunked(job, batch):
            self.query(job, batch)
        else:
            return "NotProcessed"
        return "Completed"

    def question(self, job: Job, batch: Job) -> tuple[Compiler, list[Path]]:
        """Return the query of a batch with its columns. Raises Failure, Unsupported."""
        query, sobject, paths = checked(self.org, b"".join(self.pieces(f"{batch['id']}:in")).decode())
        return Compiler(self.org, query, sobject, deleted=job["operation"] == "queryAll"), paths

    def chunked(self, job: Job, batch: Job) -> bool:
        """Make batches of the ids' ranges where the client asked for PK chunking; ORDER BY and LIMIT forbid it."""
        size = job.get("chunkSize")
        compiler, _ = self.question(job, batch)
        if not size or "bounds" in batch or compiler.query.order or compiler.query.limit is not None:
            return False
        sql = (
            "SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM record WHERE object = ?)"
            " WHERE (number - 1) % ? = 0 ORDER BY id"
        )
        firsts = [row[0] for row in stream(self.org.state, sql, (compiler.sobject, size))]
        raw = b"".join(self.pieces(f"{batch['id']}:in"))
        with self.org.state.transaction():
            for first, after in zip(firsts, [*firsts[1:], AFTER_ALL], strict=True):
                self.queue(job, raw, bounds=(first, after))
        return True

    def query(self, job: Job, batch: Job) -> None:
        """Write the rows of a query."""
        compiler, paths = self.question(job, batch)
        table = Table(self.org, compiler.sobject, paths, ",", "\n")
        shape = Shape(self.org, compiler.sobject, f"/services/data/v{job['apiVersion']}")
        for path in paths:
            shape.add(path)
        csv = job["contentType"] == "CSV"
        self.jobs.parts.drop(batch["id"])
        if csv:
            self.jobs.parts.add(batch["id"], [table.header()])
        batch["numberRecordsProcessed"] = 0
        for records in pieces(compiler, batch.get("bounds")):
            if csv:
                rows = list(table.rows(records))
            else:
                rows = [orjson.dumps(moved_dates(row, paths)) + b"," for row in shape.rows(records)]
            self.jobs.parts.add(batch["id"], rows)
            batch["numberRecordsProcessed"] += len(records)

    def write(self, job: Job, batch: Job) -> None:
        """Write the rows of a batch, 200 in a transaction, going on behind those that were done before a restart."""
        csv = job["contentType"] == "CSV"
        writer = RowWriter(self.jobs.records, job["object"], job["operation"], job.get("externalIdFieldName"))
        rows = self.csv_rows(job, batch) if csv else self.json_rows(job, batch)
        done, bad = batch.get("numberRecordsProcessed", 0), batch.get("numberRecordsFailed", 0)
        if csv and not done:
            self.jobs.parts.drop(batch["id"])
            self.jobs.parts.add(batch["id"], [HEADER.encode()])
        skip(rows, done)
        while chunk := list(islice(rows, ROWS_TOGETHER)):
            out = []
            with self.jobs.state.transaction():
                for (record_id, _), saved in zip(chunk, writer.write(chunk), strict=True):
                    if isinstance(saved, Invalid):
                        bad += 1
                        out.append(result_row(None, record_id, saved.problems[0], csv=csv))
                    else:
                        out.append(result_row((saved.id, saved.created), record_id, None, csv=csv))
                done += len(chunk)
                batch |= {"numberRecordsProcessed": done, "numberRecordsFailed": bad}
                self.jobs.parts.add(batch["id"], out)
                self.jobs.save(batch)

    def csv_rows(self, job: Job, batch: Job) -> Rows:
        """Yield the rows of a CSV batch. Raises BadJob."""
        raw = b"".join(self.pieces(f"{batch['id']}:in"))
        ending = "CRLF" if b"\r\n" in raw[:32_000] else "LF"
        rows = rows_of(lines([raw]), ",", ending)
        known = columns_of(self.org, job["object"], next(rows))
        yield from (read_row(self.org, known, row) for row in rows)

    def json_rows(self, job: Job, batch: Job) -> Rows:
        """Yield the rows of a JSON batch. Raises BadJob."""
        try:
            found = orjson.loads(b"".join(self.pieces(f"{batch['id']}:in")))
        except orjson.JSONDecodeError as error:
            raise BadJob(f"InvalidBatch : Failed to parse JSON: {error}") from None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise BadJob("InvalidBatch : Records must be a list of objects")
        for row in found:
            record_id = next((value for name, value in row.items() if name.casefold() == "id"), None)
            rest = {name: value for name, value in row.items() if name.casefold() != "id"}
            try:
                yield record_id, deserialize(self.org, job["object"], rest)
            except Invalid as invalid:
                yield record_id, invalid
            except Failure as failure:
                yield record_id, Invalid(*failure.problems)


def chunk_size(header: str) -> int | None:
    """Return the rows of a chunk as Sforce-Enable-PKChunking names them; None where it is not asked for."""
    if header.strip().casefold() in ("", "false"):
        return None
    match = re.search(r"chunksize\s*=\s*(\d{1,6})", header.casefold())
    return max(1, min(LARGEST_CHUNK, int(match[1]))) if match else CHUNK_ROWS
