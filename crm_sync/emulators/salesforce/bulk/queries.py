"""Run query jobs: what may be asked, and the streaming of the answer into Parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crm_sync.emulators.salesforce.bulk.csvs import DELIMITERS, ENDINGS, Table
from crm_sync.emulators.salesforce.bulk.jobs import Job, Jobs
from crm_sync.emulators.salesforce.compiling import Compiler
from crm_sync.emulators.salesforce.failures import Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.reading import Row, columns, snapshot
from crm_sync.emulators.salesforce.resolving import Path, find_object, find_path, refuse_twice
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.soql.parsing import parse
from crm_sync.emulators.salesforce.soql.tree import Query, Token

COMPOUND = "Selecting compound data not supported in Bulk Query"
PIECE = 2000


def checked(org: Org, text: str) -> tuple[Query, str, list[Path]]:
    """Return a query with its object and columns. Raises Failure for what bulk queries do not do."""
    query = parse(text)
    sobject = find_object(org, query)
    if query.aggregated or query.offset or any(isinstance(one.what, Query) for one in query.selected):
        text = "Aggregate queries, OFFSET and child subqueries are not supported in Bulk Query"
        raise Failure(400, Problem("FEATURENOTENABLED", text))
    paths: list[Path] = []
    for one in query.selected:
        if isinstance(one.what, Token):
            paths.append(find_path(org, query, sobject, one.what))
        else:
            raise Unsupported(f"functions in a bulk query: {query.text}")
    refuse_twice(paths)
    if any(path[-1].type == "address" for path in paths):
        raise Failure(400, Problem("API_ERROR", COMPOUND))
    Compiler(org, query, sobject, deleted=False).source()
    return query, sobject, paths


class QueryRun:
    """Does query jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs, self.org = jobs, jobs.org
        jobs.works["query"] = self.run

    def run(self, job: Job) -> str:
        """Write the rows of a job as they are at this moment. Raises Failure, Unsupported."""
        query, sobject, paths = checked(self.org, job["query"])
        table = Table(self.org, sobject, paths, DELIMITERS[job["columnDelimiter"]], ENDINGS[job["lineEnding"]])
        compiler = Compiler(self.org, query, sobject, deleted=job["operation"] == "queryAll")
        self.jobs.parts.drop(job["id"])
        total = 0
        for records in pieces(compiler):
            with self.jobs.state.transaction():
                if self.jobs.given_up(job["id"]):
                    break
                self.jobs.parts.add(job["id"], list(table.rows(records)))
            total += len(records)
        job["numberRecordsProcessed"] = total
        return "JobComplete"


def pieces(compiler: Compiler, bounds: tuple[str, str] | None = None) -> Iterator[list[Row]]:
    """Yield what a query finds, some thousand rows at once; `bounds`: ids from the first to before the second."""
    query = compiler.query
    source, params = compiler.source()
    if bounds is not None:
        source, params = f"{source} AND r.id >= ? AND r.id < ?", [*params, *bounds]
    order = f" ORDER BY {compiler.order()}" if query.order else ""
    sql = f"SELECT {columns('r')} {source}{order} LIMIT ?"
    with snapshot(compiler.org.state) as db:
        cursor = db.execute(sql, (*params, -1 if query.limit is None else query.limit))
        while records := cursor.fetchmany(PIECE):
            yield records


def header_of(org: Org, job: dict[str, Any]) -> bytes:
    """Return the header row of a job's results."""
    _, sobject, paths = checked(org, job["query"])
    return Table(org, sobject, paths, DELIMITERS[job["columnDelimiter"]], ENDINGS[job["lineEnding"]]).header()
