"""How fast the pretend CRMs answer: python -m bench.emulators --rows 1000000 [--crm hubspot] [--read 200000].

One CRM after the other is filled with --rows contacts and served by a process of its own, as `crm-sync emulate` does.
Each path reads or writes at most --read rows over TLS; the answers are counted and not parsed. Told are rows a second
of the emulator's processor time, which is what one core does, rows a second of the time that passed (client included),
and resident memory. The table is as docs/emulators.md has it.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import resource
import shutil
import ssl
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators.launcher import EmulatorProcess
from crm_sync.emulators.seeding import seed_once
from crm_sync.emulators.settings import CRMS

BULK = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SALESFORCE = "Id,FirstName,LastName,Email,Phone,Title,MailingCity,MailingCountry,AccountId,SystemModstamp"
HUBSPOT = "firstname,lastname,email,phone,jobtitle,city,country,mobilephone,address,lastmodifieddate"
DYNAMICS = (
    "contactid,firstname,lastname,emailaddress1,telephone1,jobtitle,address1_city,address1_country,"
    "_parentcustomerid_value,modifiedon"
)


@dataclass(frozen=True)
class Figure:
    """One path: what was done, how many rows, and the seconds that it took."""

    crm: str
    path: str
    rows: int
    cpu_seconds: float
    seconds: float


class Site:
    """One served pretend CRM."""

    def __init__(self, crm: str, process: EmulatorProcess) -> None:
        assert process.process is not None
        self.crm, self.pid, self.address = crm, process.process.pid, process.addresses[crm]
        url = urllib.parse.urlsplit(self.address["url"])
        tls = ssl.create_default_context(cafile=process.addresses["ca_bundle"])
        self.http = http.client.HTTPSConnection(url.hostname or "", url.port, context=tls, timeout=600)
        self.token = ""

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """Send a request and return the body of its answer; RuntimeError where it failed."""
        return self.answer(method, path, body, headers)[1]

    def answer(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request and return its answer and the body."""
        given = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        content = body if body is None or isinstance(body, bytes | str) else orjson.dumps(body)
        self.http.request(method, path, content, {**given, **(JSON if body is not None else {}), **(headers or {})})
        answer = self.http.getresponse()
        told = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path[:200]} was answered with {answer.status}: {told[:300]!r}")
        return answer, told

    def cpu(self) -> float:
        """Return the processor seconds of the emulator so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, what: str = "VmRSS") -> float:
        """Return MiB of resident memory, now (VmRSS) or at most (VmHWM)."""
        found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def sign_in(self) -> None:
        """Get an access token."""
        one = self.address
        form = {"grant_type": "client_credentials"} | {name: one[name] for name in ("client_id", "client_secret")}
        path = "/services/oauth2/token"
        if self.crm == "hubspot":
            self.token = one["token"]
            return
        if self.crm == "dynamics":
            path, form["scope"] = f"/{one['tenant']}/oauth2/v2.0/token", f"{one['url']}/.default"
        self.token = orjson.loads(self.call("POST", path, urllib.parse.urlencode(form), FORM))["access_token"]


def _pages(site: Site, first: str, follow: Callable[[bytes], str | None], mark: bytes, most: int) -> int:
    """Read page after page and return how many rows there were, counted by a text that each row has once."""
    rows, path = 0, first
    while True:
        content = site.call("GET", path)
        rows += content.count(mark)
        found = follow(content)
        if found is None or rows >= most:
            return rows
        path = found.removeprefix(site.address["url"])


def _link(pattern: bytes) -> Callable[[bytes], str | None]:
    """Return how to find the address of the next page in a body."""

    def follow(content: bytes) -> str | None:
        found = re.search(pattern, content)
        return None if found is None else found[1].decode().replace("\\/", "/")

    return follow


def _salesforce(site: Site, most: int) -> Iterator[tuple[str, Callable[[], int]]]:
    base = "/services/data/v60.0"
    following = _link(rb'"nextRecordsUrl":"([^"]+)"')

    def query(more: str) -> Callable[[], int]:
        path = f"{base}/query?q=" + urllib.parse.quote(f"SELECT {SALESFORCE} FROM Contact {more}")
        return lambda: _pages(site, path, following, b'"attributes":', most)

    def wait(path: str) -> dict[str, Any]:
        while True:
            job: dict[str, Any] = orjson.loads(site.call("GET", path))
            if job["state"] in ("JobComplete", "Failed", "Aborted"):
                if job["state"] != "JobComplete":
                    raise RuntimeError(f"{path}: {job}")
                return job
            time.sleep(0.05)

    def bulk_query() -> int:
        body = {"operation": "query", "query": f"SELECT {SALESFORCE} FROM Contact LIMIT {most}"}
        job = f"{base}/jobs/query/{orjson.loads(site.call('POST', f'{base}/jobs/query', body))['id']}"
        wait(job)
        rows, locator = 0, ""
        while locator != "null":
            path = f"{job}/results?maxRecords=50000" + (f"&locator={locator}" if locator else "")
            answer, content = site.answer("GET", path)
            rows += content.count(b"\n") - 1
            locator = answer.headers.get("Sforce-Locator", "null")
        return rows

    def bulk_ingest() -> int:
        rows = min(most, 100_000)
        body = {"object": "Contact", "operation": "insert", "contentType": "CSV", "lineEnding": "LF"}
        job = f"{base}/jobs/ingest/{orjson.loads(site.call('POST', f'{base}/jobs/ingest', body))['id']}"
        text = "LastName,FirstName,Email,Title\n" + "".join(f"L{n},F{n},new{n}@bulk.example,T\n" for n in range(rows))
        site.call("PUT", f"{job}/batches", text.encode(), BULK)
        site.call("PATCH", job, {"state": "UploadComplete"})
        return int(wait(job)["numberRecordsProcessed"])

    yield "query, pages of 2,000", query("")
    yield "query by SystemModstamp", query("WHERE SystemModstamp > 2020-01-01T00:00:00Z ORDER BY SystemModstamp, Id")
    yield "bulk query (CSV)", bulk_query
    yield "bulk ingest (CSV)", bulk_ingest


def _hubspot(site: Site, most: int) -> Iterator[tuple[str, Callable[[], int]]]:
    base = "/crm/v3/objects/contacts"
    names = HUBSPOT.split(",")

    def listed() -> int:
        first = f"{base}?limit=100&properties={urllib.parse.quote(HUBSPOT)}"
        return _pages(site, first, _link(rb'"link":"([^"]+)"'), b'"createdAt":', most)

    def searched() -> int:
        rows = 0
        while rows < min(most, 10_000):
            body = {"limit": 200, "after": str(rows), "properties": names, "sorts": ["hs_object_id"]}
            rows += site.call("POST", f"{base}/search", body).count(b'"createdAt":')
        return rows

    def batch() -> int:
        ids = [one["id"] for one in orjson.loads(site.call("GET", f"{base}?limit=100"))["results"]]
        body = {"inputs": [{"id": id} for id in ids], "properties": names}
        rounds = min(most, 50_000) // 100
        return sum(site.call("POST", f"{base}/batch/read", body).count(b'"createdAt":') for _ in range(rounds))

    def create() -> int:
        rounds = min(most, 20_000) // 100
        for n in range(rounds):
            rows = [{"properties": {"email": f"new{n}-{m}@bulk.example", "lastname": "L"}} for m in range(100)]
            site.call("POST", f"{base}/batch/create", {"inputs": rows})
        return rounds * 100

    yield "list, pages of 100", listed
    yield "search, pages of 200", searched
    yield "batch read of 100", batch
    yield "batch create of 100", create


def _dynamics(site: Site, most: int) -> Iterator[tuple[str, Callable[[], int]]]:
    base = "/api/data/v9.2/contacts"
    following = _link(rb'"@odata.nextLink":"([^"]+)"')

    def read(more: str) -> Callable[[], int]:
        return lambda: _pages(site, f"{base}?$select={DYNAMICS}{more}", following, b'"@odata.etag":', most)

    def create() -> int:
        rounds = min(most, 20_000) // 500
        for n in range(rounds):
            rows = [
                {"@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": f"L{n}", "jobtitle": f"{n}-{m}"}
                for m in range(500)
            ]
            site.call("POST", f"{base}/Microsoft.Dynamics.CRM.CreateMultiple", {"Targets": rows})
        return rounds * 500

    modified = urllib.parse.quote("modifiedon gt 2020-01-01T00:00:00Z")
    yield "query, pages of 5,000", read("")
    yield "query by modifiedon", read(f"&$filter={modified}&$orderby={urllib.parse.quote('modifiedon asc')}")
    yield "CreateMultiple of 500", create


PATHS = {"salesforce": _salesforce, "hubspot": _hubspot, "dynamics": _dynamics}


def measure(crm: str, rows: int, most: int, directory: Path) -> tuple[list[Figure], dict[str, float]]:
    """Fill and serve one CRM; return the figures of its paths, and seconds of seeding and MiB of memory."""
    begun, spent = time.perf_counter(), time.process_time()
    seed_once(directory, seed=1, accounts=max(1, rows // 10), contacts=rows, connections={crm: crm}, everywhere=True)
    told = {"seeding s": time.perf_counter() - begun, "seeding cpu s": time.process_time() - spent}
    told["seeding MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = []
    process = EmulatorProcess(directory, [crm], options=("--token-seconds", "86400")).start(timeout_seconds=600)
    try:
        site = Site(crm, process)
        site.sign_in()
        told["MiB at start"] = site.memory()
        for path, run in PATHS[crm](site, most):
            cpu, at = site.cpu(), time.perf_counter()
            try:
                done = run()
            except RuntimeError as error:
                print(f"{crm}, {path}: {error}", file=sys.stderr)
                continue
            figures.append(Figure(crm, path, done, site.cpu() - cpu, time.perf_counter() - at))
            print(_line(figures[-1]), file=sys.stderr)
        told["MiB at most"] = site.memory("VmHWM")
    finally:
        process.stop()
    told["file MiB"] = (directory / f"{crm}.sqlite").stat().st_size / 2**20
    return figures, told


def _line(one: Figure) -> str:
    core, passed = one.rows / max(one.cpu_seconds, 0.01), one.rows / one.seconds
    return f"{one.crm}, {one.path}: {one.rows:,} rows, {core:,.0f} rows/s of one core, {passed:,.0f} rows/s passed"


def table(figures: list[Figure], told: dict[str, dict[str, float]]) -> Iterator[str]:
    """Yield the lines of the tables in Markdown."""
    yield "| CRM | path | rows | rows/s of one core | rows/s as time passed |\n|---|---|---:|---:|---:|"
    for one in figures:
        core, passed = one.rows / max(one.cpu_seconds, 0.01), one.rows / one.seconds
        yield f"| {one.crm} | {one.path} | {one.rows:,} | {core:,.0f} | {passed:,.0f} |"
    names = list(next(iter(told.values())))
    yield f"\n| CRM | {' | '.join(names)} |\n|---|{'---:|' * len(names)}"
    for crm, values in told.items():
        yield f"| {crm} | {' | '.join(f'{values[name]:,.0f}' for name in names)} |"


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(prog="python -m bench.emulators", description=__doc__)
    asked.add_argument("--rows", type=int, default=100_000, help="contacts of each CRM")
    asked.add_argument("--read", type=int, default=200_000, help="rows that a path reads at most")
    asked.add_argument("--crm", choices=CRMS, action="append", help="only this one; may be repeated")
    given = asked.parse_args()
    figures, told = [], {}
    for crm in given.crm or CRMS:
        directory = Path(tempfile.mkdtemp(prefix="crm-sync-bench-"))
        try:
            found, told[crm] = measure(crm, given.rows, given.read, directory)
            figures += found
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    print("\n".join(table(figures, told)))


if __name__ == "__main__":
    main()
