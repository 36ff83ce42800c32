"""Keep jobs with their states, and run them one after the other on a thread that ends when there is nothing to do.

A job is a dict, kept in the state under "job:<id>", so that a restart goes on where it stopped. Rows that go in and
come out are in Parts. A work does one job (for Bulk API 1.0, one batch) and says in which state that leaves it; how a
job begins, ends and fails is here. Source: Bulk API 2.0 and Bulk API Developer Guide.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Failure, Problem, Unsupported, not_found
from crm_sync.emulators.salesforce.moments import stamp
from crm_sync.emulators.salesforce.parts import Parts
from crm_sync.emulators.salesforce.records import Records

Job = dict[str, Any]
Work = Callable[[Job], str]
KEY = "job:"
MOST_BYTES = 150 * 1000 * 1000
OVER = ("JobComplete", "Failed", "Aborted")
UNDER_WAY = ("UploadComplete", "InProgress", "Queued")
log = logging.getLogger(__name__)


class BadJob(Exception):
    """A job cannot be done at all; the text is its errorMessage."""


class Jobs:
    """The bulk jobs of one org."""

    def __init__(self, records: Records) -> None:
        self.records, self.org, self.state = records, records.org, records.org.state
        self.parts = Parts(self.state)
        self._waiting: deque[tuple[str, str]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.works: dict[str, Work] = {}

    # -- keeping

    def add(self, prefix: str, facts: Job) -> Job:
        """Keep a new job and return it with its id and moments."""
        made = ids.make(prefix, self.state.next_number(f"bulk:{prefix}"))
        now = stamp(self.state.now_us())
        user = ids.lengthen(ids.USER)
        job = {"id": made, **facts, "createdById": user, "createdDate": now, "systemModstamp": now}
        self.save(job)
        return job

    def save(self, job: Job) -> None:
        """Keep a job as it is now."""
        job["systemModstamp"] = stamp(self.state.now_us())
        self.state.set_meta(KEY + job["id"], job)

    def find(self, job_id: str, kind: str) -> Job:
        """Return a job. Raises Failure."""
        parsed = ids.parse(job_id)
        found: Job | None = self.state.get_meta(KEY + parsed) if parsed else None
        if found is None or found["kind"] != kind:
            raise not_found("The requested resource does not exist")
        return found

    def all(self, kind: str) -> list[Job]:
        """Return the jobs of a kind."""
        return [job for job in self.state.list_meta(KEY).values() if job["kind"] == kind]

    def drop(self, job: Job) -> None:
        """Forget a job and its rows."""
        with self.state.transaction():
            self.state.set_meta(KEY + job["id"], None)
            for name in ("", ":in", ":ok", ":bad", ":left"):
                self.parts.drop(job["id"] + name)

    # -- the data of an ingest job

    def start_upload(self, job_id: str) -> None:
        """Begin to receive. Raises Failure where the job takes no data, or has some."""
        job = self.find(job_id, "ingest")
        if job["state"] != "Open" or job.get("received"):
            text = f"Job Id: {job['id']} cannot take data: its state is {job['state']}, and data comes once"
            raise Failure(400, Problem("INVALIDJOBSTATE", text))
        self.parts.drop(f"{job['id']}:in")
        job["received"] = True
        self.save(job)

    def receive(self, job_id: str, chunk: bytes) -> None:
        """Keep some bytes. Raises Failure where it becomes too much."""
        owner = f"{ids.parse(job_id)}:in"
        self.parts.add(owner, [chunk])
        if self.parts.size(owner) > MOST_BYTES:
            self.parts.drop(owner)
            raise Failure(413, Problem("API_ERROR", "The data of a job may have 150 MB at most"))

    def end_upload(self, job_id: str) -> None:
        """Take notice that the data is whole."""
        self.save(self.find(job_id, "ingest"))

    # -- working

    def start(self, work: str, job_id: str) -> None:
        """Have a job done once the present transaction is committed."""
        self.state.after_commit(lambda: self._enqueue(work, job_id))

    def _enqueue(self, work: str, job_id: str) -> None:
        with self._lock:
            self._waiting.append((work, job_id))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bulk", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                work, job_id = self._waiting.popleft()
            try:
                self.perform(work, job_id)
            except sqlite3.ProgrammingError:  # the state was closed: the next start goes on
                with self._lock:
                    self._thread = None
                return

    def perform(self, work: str, job_id: str) -> None:
        """Do one job from its beginning to its end; whatever goes wrong is the end of that job alone."""
        job = self._begin(job_id)
        if job is None:
            return
        try:
            job["state"] = self.works[work](job)
        except sqlite3.ProgrammingError:
            raise
        except Exception as error:
            told = "stateMessage" if job["kind"] == "batch" else "errorMessage"
            job |= {"state": "Failed", told: reason(error)}
        with self.state.transaction():
            if not self.given_up(job_id):
                self.save(job)

    def _begin(self, job_id: str) -> Job | None:
        with self.state.transaction():
            job: Job | None = self.state.get_meta(KEY + job_id)
            if job is None or job["state"] not in UNDER_WAY:
                return None
            job["state"] = "InProgress"
            self.save(job)
            return job

    def given_up(self, job_id: str) -> bool:
        """Tell whether a client aborted a job, or removed it, meanwhile; ask inside the transaction that writes."""
        job = self.state.get_meta(KEY + job_id)
        return job is None or job["state"] == "Aborted"

    def settle(self) -> None:
        """Wait until nothing is left to do."""
        while (thread := self._thread) is not None:
            thread.join()

    def resume(self) -> None:
        """Start anew what a restart, or a snapshot, left unfinished."""
        for job in self.state.list_meta(KEY).values():
            if "work" in job and job["state"] in UNDER_WAY:
                self._enqueue(job["work"], job["id"])


def reason(error: Exception) -> str:
    """Return why a job failed, as its errorMessage has it."""
    if isinstance(error, BadJob):
        return str(error)
    if isinstance(error, Failure):
        return f"InvalidBatch : {error.problems[0].code}: {error.problems[0].message}"
    if isinstance(error, Unsupported):
        return f"NotImplemented : This pretend org does not support {error}"
    log.error("A bulk job failed for a reason of the emulator's own", exc_info=error)
    return f"InternalServerError : {type(error).__name__}"
