"""Answer composite/graph (graphs of subrequests, each all or none) and composite/tree (records with their children)."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.salesforce.composite import Handle, composite
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Invalid, Problem, malformed_json
from crm_sync.emulators.salesforce.records import Records
from crm_sync.emulators.salesforce.values import deserialize
from crm_sync.emulators.state import State

MOST_GRAPHS, MOST_NODES, MOST_FAILED, MOST_RECORDS, DEEPEST = 75, 500, 14, 200, 5


class _Undo(Exception):
    """Leaves the transaction of a tree that is refused."""


def graph(state: State, call: Call, handle: Handle) -> Answer:
    """POST composite/graph: up to 75 graphs with 500 nodes in all; processing halts after 14 failed graphs.

    Source: REST API guide, Composite Graph Limits. Nodes run in the order given.
    """
    body = call.body if isinstance(call.body, dict) else {}
    graphs = body.get("graphs")
    if not isinstance(graphs, list) or not all(isinstance(one, dict) for one in graphs):
        raise malformed_json("graphs is required")
    if not all(isinstance(one.get("compositeRequest"), list) for one in graphs):
        raise malformed_json("compositeRequest is required in each graph")
    nodes = sum(len(one["compositeRequest"]) for one in graphs)
    if len(graphs) > MOST_GRAPHS or nodes > MOST_NODES:
        text = f"Found {len(graphs)} graphs with {nodes} nodes; the limits are {MOST_GRAPHS} and {MOST_NODES}"
        raise Failure(400, Problem("LIMIT_EXCEEDED", text))
    names = [one.get("graphId") for one in graphs]
    if len(set(map(str, names))) < len(names) or not all(names):
        raise Failure(400, Problem("INVALID_INPUT", "Each graph needs a graphId of its own"))
    out: list[dict[str, Any]] = []
    failed = 0
    for one in graphs:
        if failed > MOST_FAILED:
            raise Failure(400, Problem("PROCESSING_HALTED", f"More than {MOST_FAILED} graphs failed"))
        inner = Call("POST", call.path, call.version, {}, call.headers, {**one, "allOrNone": True})
        answer = composite(state, inner, handle, most=MOST_NODES)
        good = all(part["httpStatusCode"] < 300 for part in answer.body["compositeResponse"])
        failed += not good
        out.append({"graphId": one["graphId"], "graphResponse": answer.body, "isSuccessful": good})
    return Answer(body={"graphs": out})


def tree(records: Records, call: Call, name: str) -> Answer:
    """POST composite/tree/X: up to 200 records in all, children nested under their relationship; all or none."""
    sobject = records.sobject(name)
    rows = call.body.get("records") if isinstance(call.body, dict) else None
    if not isinstance(rows, list) or not rows:
        raise malformed_json("The HTTP entity body is required: a list 'records' of objects")
    made: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    try:
        with records.org.state.transaction():
            for row in rows:
                _plant(records, sobject, row, {}, made, bad, 1)
            if bad:
                raise _Undo
    except _Undo:
        return Answer(400, {"hasErrors": True, "results": bad})
    return Answer(201, {"hasErrors": False, "results": made})


def _plant(
    records: Records, sobject: str, row: Any, parent: dict[str, str], made: list[dict[str, Any]],
    bad: list[dict[str, Any]], depth: int,
) -> None:
    attributes = row.get("attributes") if isinstance(row, dict) else None
    if not isinstance(attributes, dict) or not attributes.get("referenceId"):
        raise malformed_json("attributes.type and attributes.referenceId are required in each record")
    if len(made) + len(bad) >= MOST_RECORDS or depth > DEEPEST:
        text = f"A tree may have {MOST_RECORDS} records on {DEEPEST} levels"
        raise Failure(400, Problem("INVALID_INPUT", text))
    below = {child[2].casefold(): child for child in records.org.children(sobject) if child[2]}
    nested = {key: one for key, one in row.items() if isinstance(one, dict) and "records" in one}
    values = {key: one for key, one in row.items() if key not in nested}
    reference = attributes["referenceId"]
    record_id = ""
    try:
        stored = {**deserialize(records.org, sobject, values), **parent}
        record_id = records.create(sobject, stored).id
        made.append({"referenceId": reference, "id": record_id})
    except (Invalid, Failure) as failure:
        bad.append({"referenceId": reference, "errors": [problem.row_form() for problem in failure.problems]})
    for key, one in nested.items():
        found = below.get(key.casefold())
        if found is None:
            raise Failure(400, Problem("INVALID_FIELD", f"No such relationship '{key}' on sobject of type {sobject}"))
        for child in one["records"]:
            if record_id:
                _plant(records, found[0], child, {found[1].name: record_id}, made, bad, depth + 1)
