"""Answer composite (up to 25 subrequests that may use each other's results) and composite/batch (independent ones)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, failed, malformed_json
from crm_sync.emulators.state import State

MOST = 25
REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}")
REFERENCE_ID = re.compile(r"[A-Za-z]\w*")
HALTED = Problem(
    "PROCESSING_HALTED",
    "The transaction was rolled back since another operation in the same transaction failed.",
)
Handle = Callable[[Call], Answer]


class _Undo(Exception):
    """Leaves the transaction of an allOrNone request."""


def composite(state: State, call: Call, handle: Handle, most: int = MOST) -> Answer:
    """POST composite; `most` subrequests at most."""
    body = call.body if isinstance(call.body, dict) else {}
    wanted = body.get("compositeRequest")
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise malformed_json("compositeRequest is required")
    if len(wanted) > most:
        text = f"Limit of {most} subrequests exceeded"
        raise Failure(400, Problem("INVALID_INPUT", text))
    names = [one.get("referenceId") for one in wanted]
    for name in names:
        if not isinstance(name, str) or not REFERENCE_ID.fullmatch(name) or names.count(name) > 1:
            raise Failure(400, Problem("INVALID_INPUT", f"Provided referenceId ('{name}') is not unique or not valid"))
    results: dict[str, Answer] = {}
    try:
        with state.transaction():
            for one in wanted:
                results[one["referenceId"]] = subrequest(call, one, results, handle)
            if body.get("allOrNone") is True and any(answer.status >= 300 for answer in results.values()):
                raise _Undo
    except _Undo:
        results = {name: one if one.status >= 300 else failed(400, [HALTED]) for name, one in results.items()}
    answers = [
        {"body": one.body, "httpHeaders": one.headers, "httpStatusCode": one.status, "referenceId": name}
        for name, one in results.items()
    ]
    return Answer(body={"compositeResponse": answers})


def subrequest(call: Call, one: dict[str, Any], results: dict[str, Answer], handle: Handle) -> Answer:
    """Answer one subrequest."""
    try:
        url = str(fill(one.get("url"), results))
        body = fill(one.get("body"), results)
    except KeyError as missing:
        text = f"Invalid reference specified. No value for {missing.args[0]} found"
        return failed(400, [Problem("PROCESSING_HALTED", text)])
    inner = below(call, str(one.get("method", "GET")).upper(), url)
    if not isinstance(one.get("httpHeaders") or {}, dict):
        raise malformed_json("httpHeaders must be an object")
    headers = {str(key).casefold(): str(value) for key, value in (one.get("httpHeaders") or {}).items()}
    return enclosed(inner, handle(replace(inner, body=body, headers=headers)))


def enclosed(call: Call, answer: Answer) -> Answer:
    """Return an answer that can stand inside another: JSON."""
    if isinstance(answer.body, bytes | Iterator):
        text = f"This pretend org does not support {call.method} {call.base}/{call.path} inside another request."
        return failed(501, [Problem("NOT_IMPLEMENTED", text)])
    return answer


def below(call: Call, method: str, url: str) -> Call:
    """Return the call that the url of a subrequest stands for."""
    parts = urlsplit(url)
    match = re.fullmatch(r"/?(?:services/data/)?v(\d\d\.\d)/(.*?)/?", parts.path)
    if match is None:
        raise Failure(400, Problem("INVALID_INPUT", f"The url of a subrequest must start with {call.base}: {url}"))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Call(method, match[2], float(match[1]), query)


def fill(value: Any, results: dict[str, Answer]) -> Any:
    """Replace @{reference.field} by what that subrequest answered; KeyError where there is nothing."""
    if isinstance(value, dict):
        return {key: fill(one, results) for key, one in value.items()}
    if isinstance(value, list):
        return [fill(one, results) for one in value]
    if not isinstance(value, str) or "@{" not in value:
        return value

    def one(match: re.Match[str]) -> str:
        answer = results.get(match[1])
        found: Any = answer.body if answer is not None and answer.status < 300 else None
        for step in re.findall(r"\w+", match[2]):
            if isinstance(found, list):
                found = found[int(step)] if step.isdecimal() and int(step) < len(found) else None
            else:
                found = found.get(step) if isinstance(found, dict) else None
        if found is None:
            raise KeyError(match[0])
        return str(found)

    return REFERENCE.sub(one, value)


def batch(call: Call, handle: Handle) -> Answer:
    """POST composite/batch."""
    body = call.body if isinstance(call.body, dict) else {}
    wanted = body.get("batchRequests")
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise malformed_json("batchRequests is required")
    if len(wanted) > MOST:
        raise Failure(400, Problem("INVALID_INPUT", f"Limit of {MOST} subrequests exceeded"))
    results: list[dict[str, Any]] = []
    halted = False
    for one in wanted:
        if halted:
            answer = failed(412, [Problem("BATCH_PROCESSING_HALTED", "Batch processing halted per request")])
        else:
            inner = below(call, str(one.get("method", "GET")).upper(), str(one.get("url")))
            answer = enclosed(inner, handle(replace(inner, body=one.get("richInput"))))
        halted = halted or (body.get("haltOnError") is True and answer.status >= 300)
        results.append({"statusCode": answer.status, "result": answer.body})
    return Answer(body={"hasErrors": any(one["statusCode"] >= 300 for one in results), "results": results})
