"""Send each call below /services/data/vNN.0/ to its room, and turn every failure into an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any
from urllib.parse import unquote

from crm_sync.emulators.salesforce import metadata
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.bulk.jobs import Jobs
from crm_sync.emulators.salesforce.bulk.resources import Bulk
from crm_sync.emulators.salesforce.collections import Collections
from crm_sync.emulators.salesforce.composite import batch, composite
from crm_sync.emulators.salesforce.custom_fields import create_field
from crm_sync.emulators.salesforce.failures import (
    Answer,
    Call,
    Failure,
    Invalid,
    Problem,
    Unsupported,
    failed,
)
from crm_sync.emulators.salesforce.graphs import graph, tree
from crm_sync.emulators.salesforce.mischief import Mischief
from crm_sync.emulators.salesforce.querying import Querying
from crm_sync.emulators.salesforce.records import Listener, Records, Several
from crm_sync.emulators.salesforce.replication import deleted_ids, updated_ids
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.searching import parameterized, search
from crm_sync.emulators.salesforce.single import Single

Handler = Callable[..., Answer]
Row = tuple[re.Pattern[str], str, dict[str, Handler]]
VERSIONED = "/services/data/vNN.N"
ELSEWHERE = re.compile(r"sobjects/[^/]+/(describe/.+|(listviews|quickActions|namedLayouts)(/.*)?)", re.IGNORECASE)
"""Resources of an object that real orgs have and this one does not, though they look like ids and keys."""


class Rest:
    """The resources of one API version."""

    def __init__(self, org: Org, doorman: Doorman, listener: Listener | None = None, url: str = "") -> None:
        self.org, self.doorman = org, doorman
        self.mischief = Mischief(org)
        self.records = records = Records(org, self.mischief, listener)
        self.jobs = Jobs(records)
        self.routes = [*self._reading(url), *self._writing(records), *self._composite(), *self._bulk()]

    def _reading(self, url: str) -> list[Row]:
        org, records = self.org, self.records
        querying = Querying(org, self.mischief)

        def with_object(show: Callable[[Org, Call, str], Answer]) -> Handler:
            return lambda call, name: show(org, call, records.sobject(name))

        def deleted(call: Call, name: str) -> Answer:
            return deleted_ids(org, records.bin, call, records.sobject(name))

        return table(
            ("", {"GET": partial(metadata.resources, url)}),
            ("limits", {"GET": lambda call: self.doorman.limits()}),
            ("limits/recordCount", {"GET": partial(metadata.record_count, org)}),
            ("query", {"GET": partial(querying.query, deleted=False)}),
            ("queryAll", {"GET": partial(querying.query, deleted=True)}),
            ("query/{locator}", {"GET": querying.more}),
            ("queryAll/{locator}", {"GET": querying.more}),
            ("search", {"GET": partial(search, org)}),
            ("parameterizedSearch", {"GET": partial(parameterized, org), "POST": partial(parameterized, org)}),
            ("sobjects", {"GET": partial(metadata.all_objects, org)}),
            ("sobjects/{object}/describe", {"GET": with_object(metadata.describe)}),
            ("sobjects/{object}/updated", {"GET": with_object(updated_ids)}),
            ("sobjects/{object}/deleted", {"GET": deleted}),
        )

    def _writing(self, records: Records) -> list[Row]:
        single = Single(records)
        one = {"GET": single.get, "POST": single.post_by_id, "PATCH": single.patch, "DELETE": single.remove}
        keyed = {"GET": single.get_by_key, "PATCH": single.patch_by_key, "DELETE": single.remove_by_key}

        def basic(call: Call, name: str) -> Answer:
            return metadata.basic(self.org, call, records.sobject(name))

        return table(
            ("sobjects/{object}", {"GET": basic, "POST": single.post}),
            ("sobjects/{object}/{id}", one),
            ("sobjects/{object}/{key}/{value}", keyed),
            ("tooling/sobjects/CustomField", {"POST": partial(create_field, self.org)}),
        )

    def _composite(self) -> list[Row]:
        many = Collections(self.records)
        state, handle = self.org.state, self.handle
        return table(
            ("composite", {"GET": composite_resources, "POST": lambda call: composite(state, call, handle)}),
            ("composite/batch", {"POST": lambda call: batch(call, handle)}),
            ("composite/graph", {"POST": lambda call: graph(state, call, handle)}),
            ("composite/tree/{object}", {"POST": partial(tree, self.records)}),
            ("composite/sobjects", {"POST": many.create, "PATCH": many.update, "DELETE": many.delete}),
            ("composite/sobjects/{object}", {"GET": many.retrieve, "POST": many.retrieve}),
            ("composite/sobjects/{object}/{key}", {"PATCH": many.upsert}),
        )

    def _bulk(self) -> list[Row]:
        bulk = Bulk(self.jobs, self.mischief)
        out: list[tuple[str, dict[str, Handler]]] = []
        for kind in ("query", "ingest"):
            out += [
                (f"jobs/{kind}", {"GET": partial(bulk.all, kind), "POST": partial(bulk.create, kind)}),
                (
                    f"jobs/{kind}/{{id}}",
                    {
                        "GET": partial(bulk.get, kind),
                        "PATCH": partial(bulk.change, kind),
                        "DELETE": partial(bulk.remove, kind),
                    },
                ),
            ]
        out.append(("jobs/query/{id}/results", {"GET": bulk.results}))
        out.append(("jobs/ingest/{id}/batches", {"PUT": bulk.upload}))
        for name in ("successfulResults", "failedResults", "unprocessedrecords"):
            out.append((f"jobs/ingest/{{id}}/{name}", {"GET": partial(bulk.outcome, name)}))
        return table(*out)

    def endpoints(self) -> Iterator[tuple[str, str]]:
        """Yield (method, path) of everything that is answered."""
        for _, path, handlers in self.routes:
            for method in handlers:
                yield method, f"{VERSIONED}/{path}".rstrip("/")

    def find(self, call: Call) -> tuple[str, Handler | None, tuple[str, ...], list[str]]:
        """Return the route's path, its handler, the path's parts, and the methods that it has."""
        for pattern, path, handlers in self.routes:
            match = pattern.fullmatch(call.path)
            if match is not None and not ELSEWHERE.fullmatch(call.path):
                return path, handlers.get(call.method), tuple(map(unquote, match.groups())), sorted(handlers)
        raise Unsupported(f"{call.method} {call.base}/{call.path}")

    def handle(self, call: Call) -> Answer:
        """Answer a call; every failure becomes an answer, and undoes what the call did."""
        try:
            self.records.workflows.run_due()
            with self.org.state.transaction() if call.method in ("PATCH", "POST", "DELETE") else nullcontext():
                return self.dispatch(call)
        except Unsupported as what:
            return failed(501, [Problem("NOT_IMPLEMENTED", f"This pretend org does not support {what}.")])
        except Invalid as invalid:
            return failed(invalid.status, invalid.problems)
        except Several as several:
            return Answer(300, [f"{call.base}/sobjects/{several.sobject}/{one}" for one in several.ids])
        except Failure as failure:
            return failed(failure.status, failure.problems)

    def dispatch(self, call: Call) -> Answer:
        """Send a call to its handler."""
        _, handler, parts, methods = self.find(call)
        if handler is None:
            text = f"HTTP Method '{call.method}' not allowed. Allowed are {','.join(methods)}"
            raise Failure(405, Problem("METHOD_NOT_ALLOWED", text))
        return handler(call, *parts)


def composite_resources(call: Call) -> Answer:
    """GET composite."""
    names = ("tree", "batch", "sobjects", "graph")
    return Answer(body={name: f"{call.base}/composite/{name}" for name in names})


def table(*rows: tuple[str, dict[str, Any]]) -> list[Row]:
    """Return routes whose {parameters} match one segment of a path, names in any case."""
    out = []
    for path, handlers in rows:
        pattern = re.sub(r"\{\w+\}", r"([^/]+)", path)
        out.append((re.compile(pattern, re.IGNORECASE), path, handlers))
    return out
