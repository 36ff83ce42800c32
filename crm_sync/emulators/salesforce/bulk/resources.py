"""Answer jobs/query and jobs/ingest of Bulk API 2.0."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from crm_sync.emulators.salesforce.bulk.csvs import DELIMITERS, ENDINGS, quoted
from crm_sync.emulators.salesforce.bulk.ingests import OPERATIONS, IngestRun
from crm_sync.emulators.salesforce.bulk.jobs import OVER, Job, Jobs
from crm_sync.emulators.salesforce.bulk.queries import QueryRun, checked, header_of
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported, malformed_json
from crm_sync.emulators.salesforce.mischief import Mischief, strike_limit
from crm_sync.emulators.salesforce.schema import addresses

CSV = "text/csv; charset=UTF-8"
SHOWN = ("id", "operation", "object", "createdById", "createdDate", "systemModstamp", "state", "externalIdFieldName",
         "concurrencyMode", "contentType", "apiVersion")  # fmt: skip
PREFIXES = {"successfulResults": ("sf__Id", "sf__Created"), "failedResults": ("sf__Id", "sf__Error"),
            "unprocessedrecords": ()}  # fmt: skip
OWNERS = {"successfulResults": ":ok", "failedResults": ":bad", "unprocessedrecords": ":left"}


class Bulk:
    """The jobs of Bulk API 2.0."""

    def __init__(self, jobs: Jobs, mischief: Mischief) -> None:
        self.jobs, self.mischief, self.org = jobs, mischief, jobs.org
        QueryRun(jobs)
        IngestRun(jobs)

    def create(self, kind: str, call: Call) -> Answer:
        """POST jobs/query, jobs/ingest."""
        body = call.body
        if not isinstance(body, dict):
            raise malformed_json("The HTTP entity body is required: the properties of a job")
        strike_limit(self.org.faults, "bulk")
        facts = {
            "concurrencyMode": "Parallel",
            "contentType": one_of(body, "contentType", ("CSV",), "CSV"),
            "apiVersion": call.version,
            "lineEnding": one_of(body, "lineEnding", tuple(ENDINGS), "LF"),
            "columnDelimiter": one_of(body, "columnDelimiter", tuple(DELIMITERS), "COMMA"),
            "kind": kind,
            "work": kind,
        }
        made = self._query(body, facts) if kind == "query" else self._ingest(body, facts)
        return Answer(body=shown(made))

    def _query(self, body: dict[str, Any], facts: Job) -> Job:
        text = body.get("query")
        if not isinstance(text, str):
            raise Failure(400, Problem("API_ERROR", "query is required"))
        operation = one_of(body, "operation", ("query", "queryAll"), None)
        _, sobject, _ = checked(self.org, text)
        facts |= {"operation": operation, "object": sobject, "query": text, "state": "UploadComplete"}
        job = self.jobs.add("750", facts)
        self.jobs.start("query", job["id"])
        return job

    def _ingest(self, body: dict[str, Any], facts: Job) -> Job:
        sobject = self.org.object(str(body.get("object")))
        if sobject is None:
            text = f"Entity '{body.get('object')}' is not supported by the Bulk API."
            raise Failure(400, Problem("INVALIDENTITY", text))
        operation = one_of(body, "operation", OPERATIONS, None)
        key = body.get("externalIdFieldName")
        if operation == "upsert":
            field = self.org.field(sobject, str(key))
            if field is None or not addresses(field):
                text = f"InvalidJob : Field name provided, {key} does not match an External ID, Salesforce Id, or "
                text += f"indexed field for {sobject}"
                raise Failure(400, Problem("INVALIDJOB", text))
            facts["externalIdFieldName"] = field.name
        facts |= {"operation": operation, "object": sobject, "state": "Open"}
        job = self.jobs.add("750", facts)
        job["contentUrl"] = f"services/data/v{facts['apiVersion']:.1f}/jobs/ingest/{job['id']}/batches"
        self.jobs.save(job)
        return job

    def get(self, kind: str, call: Call, job_id: str) -> Answer:
        """GET jobs/kind/id."""
        return Answer(body=shown(self.jobs.find(job_id, kind), whole=True))

    def all(self, kind: str, call: Call) -> Answer:
        """GET jobs/kind."""
        rows = [shown(job, whole=True) for job in self.jobs.all(kind)]
        return Answer(body={"done": True, "nextRecordsUrl": None, "records": rows})

    def change(self, kind: str, call: Call, job_id: str) -> Answer:
        """PATCH jobs/kind/id {"state": "UploadComplete" or "Aborted"}."""
        job = self.jobs.find(job_id, kind)
        wanted = call.body.get("state") if isinstance(call.body, dict) else None
        allowed = ("Aborted",) if kind == "query" else ("Aborted", "UploadComplete")
        if wanted not in allowed:
            raise Failure(400, Problem("INVALIDJOBSTATE", f"state is {wanted!r}; expected {' or '.join(allowed)}"))
        if job["state"] in OVER or (wanted == "UploadComplete" and job["state"] != "Open"):
            text = f"Job Id: {job['id']} is in state {job['state']} and cannot become {wanted}"
            raise Failure(400, Problem("INVALIDJOBSTATE", text))
        if wanted == "UploadComplete" and not job.get("received"):
            raise Failure(400, Problem("INVALIDJOBSTATE", f"Job Id: {job['id']} has no data yet"))
        job["state"] = wanted
        self.jobs.save(job)
        if wanted == "UploadComplete":
            self.jobs.start("ingest", job["id"])
        return Answer(body=shown(job))

    def remove(self, kind: str, call: Call, job_id: str) -> Answer:
        """DELETE jobs/kind/id, once it is over."""
        job = self.jobs.find(job_id, kind)
        if job["state"] not in OVER:
            text = f"Job Id: {job['id']} is in state {job['state']}; only jobs that are over can be deleted"
            raise Failure(400, Problem("API_ERROR", text))
        self.jobs.drop(job)
        return Answer(204)

    def upload(self, call: Call, job_id: str) -> Answer:
        """PUT jobs/ingest/id/batches inside another call: data comes by HTTP alone."""
        raise Unsupported(f"{call.method} {call.base}/{call.path} in a composite call")

    def results(self, call: Call, job_id: str) -> Answer:
        """GET jobs/query/id/results?maxRecords=&locator=; without maxRecords all rows are one page."""
        job = self.jobs.find(job_id, "query")
        if call.version != job["apiVersion"]:
            text = f"The job was created with API version {job['apiVersion']}; use the same to read its results"
            raise Failure(409, Problem("API_ERROR", text))
        if job["state"] != "JobComplete":
            text = f"Job Id: {job['id']} is in state {job['state']}; results are there once it is JobComplete"
            raise Failure(400, Problem("INVALIDJOBSTATE", text))
        total = int(job["numberRecordsProcessed"])
        start = offset_of(call.query.get("locator"), total)
        size = call.query.get("maxRecords")
        if size is not None and not (size.isdecimal() and int(size)):
            raise Failure(400, Problem("API_ERROR", f"maxRecords is {size!r}; expected a number of rows"))
        end = min(total, start + int(size)) if size else total
        locator = "null" if end >= total else base64.urlsafe_b64encode(f"{end}".encode()).decode().rstrip("=")
        headers = {"Sforce-NumberOfRecords": str(end - start), "Sforce-Locator": locator}
        return Answer(200, self._pages(job, start, end), headers, CSV)

    def _pages(self, job: Job, start: int, end: int) -> Iterator[bytes]:
        yield header_of(self.org, job)
        if end > start:
            yield from self.jobs.parts.slices(job["id"], start, end)

    def outcome(self, name: str, call: Call, job_id: str) -> Answer:
        """GET jobs/ingest/id/successfulResults, failedResults, unprocessedrecords."""
        job = self.jobs.find(job_id, "ingest")
        if job["state"] not in OVER:
            text = f"Job Id: {job['id']} is in state {job['state']}; results are there once it is over"
            raise Failure(400, Problem("INVALIDJOBSTATE", text))
        return Answer(200, self._outcome(name, job), {}, CSV)

    def _outcome(self, name: str, job: Job) -> Iterator[bytes]:
        form = (DELIMITERS[job["columnDelimiter"]], ENDINGS[job["lineEnding"]])
        header = [*PREFIXES[name], *job.get("header", [])]
        if header:
            yield quoted(header, *form)
        if name == "unprocessedrecords" and job["state"] == "Aborted" and not job.get("header"):
            yield from self.jobs.parts.slices(f"{job['id']}:in")
            return
        yield from self.jobs.parts.slices(job["id"] + OWNERS[name])


def one_of(body: dict[str, Any], name: str, values: tuple[str, ...], default: str | None) -> str:
    """Return a property of a new job. Raises Failure."""
    found = body.get(name, default)
    if found not in values:
        raise Failure(400, Problem("INVALIDJOB", f"{name} is {found!r}; expected one of {', '.join(values)}"))
    return str(found)


def shown(job: Job, *, whole: bool = False) -> dict[str, Any]:
    """Return a job as the API shows it: `whole` with its progress."""
    out = {name: job[name] for name in SHOWN if name in job}
    out |= {name: job[name] for name in ("contentUrl", "lineEnding", "columnDelimiter") if name in job}
    query = job["kind"] == "query"
    if whole or not query:
        out["jobType"] = "V2Query" if query else "V2Ingest"
    if not whole:
        return out
    out |= {"numberRecordsProcessed": job.get("numberRecordsProcessed", 0), "retries": 0, "totalProcessingTime": 1}
    if not query:
        failed = job.get("numberRecordsFailed", 0)
        out |= {"numberRecordsFailed": failed, "apiActiveProcessingTime": 1, "apexProcessingTime": 0}
    if "errorMessage" in job:
        out["errorMessage"] = job["errorMessage"]
    return out


def offset_of(locator: str | None, total: int) -> int:
    """Return the row that a locator stands for. Raises Failure."""
    if locator in (None, ""):
        return 0
    try:
        found = int(base64.urlsafe_b64decode(str(locator) + "=" * (-len(str(locator)) % 4)))
    except (ValueError, binascii.Error):
        found = -1
    if not 0 <= found <= total:
        raise Failure(400, Problem("INVALIDQUERYLOCATOR", f"invalid query locator: {locator}"))
    return found
