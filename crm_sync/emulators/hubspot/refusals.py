"""Say no as HubSpot does: status codes and error bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

PORTAL_ID = 62515000
BAD_VALUES = "Property values were not valid: "

Problem = dict[str, Any]
"""One bad property value: {"isValid", "message", "error", "name", "localizedErrorMessage", "portalId"}."""


class Refusal(Exception):
    """One refused request, or one refused input of a batch; `body` has no correlationId yet."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body.get('category', '')}")
        self.status, self.body, self.headers = status, dict(body), dict(headers or {})

    def item(self, trace_id: str | None = None) -> dict[str, Any]:
        """Return the refusal as an entry of a batch's `errors`."""
        named = ("status", "category", "subCategory", "message")
        item = {key: value for key, value in self.body.items() if key in named}
        item["context"] = dict(self.body.get("context") or {})
        if "errors" in self.body:
            item["errors"] = self.body["errors"]
        if trace_id is not None:
            item["context"]["objectWriteTraceId"] = [trace_id]
        return item


def refusal(status: int, category: str | None, message: str, **more: Any) -> Refusal:
    """Make a refusal; `more` are further keys of the body (context, errors, subCategory)."""
    body: dict[str, Any] = {"status": "error", "message": message}
    if category is not None:
        body["category"] = category
    return Refusal(status, body | more)


def invalid(message: str, **more: Any) -> Refusal:
    """Make a 400 for a request that breaks a rule."""
    return refusal(400, "VALIDATION_ERROR", message, **more)


def problem(name: str, code: str, message: str) -> Problem:
    """Describe one bad property value."""
    return {
        "isValid": False,
        "message": message,
        "error": code,
        "name": name,
        "localizedErrorMessage": message,
        "portalId": PORTAL_ID,
    }


def bad_values(problems: Sequence[Problem]) -> Refusal:
    """Make the 400 for bad property values: a JSON array as text in the message, repeated in `errors`."""
    return invalid(
        BAD_VALUES + orjson.dumps(list(problems)).decode(),
        errors=[
            {"message": one["message"], "code": one["error"], "context": {"propertyName": [one["name"]]}}
            for one in problems
        ],
    )


def not_found(id: str) -> Refusal:
    """Make the 404 for one record id; HubSpot words it by whether the id looks like one."""
    if id.isdigit():
        return refusal(404, None, "resource not found")
    return refusal(404, "OBJECT_NOT_FOUND", "Object not found.  objectId are usually numeric.", context={"id": [id]})


def locked(object: str, id: str) -> Refusal:
    """Make the 423 for a record that something else is writing; clients wait two seconds at least."""
    return refusal(423, "LOCKED", f"The {object} record {id or 'to be written'} is locked. Try again in two seconds.")


def not_supported(what: str) -> Refusal:
    """Make the 501 for a request that HubSpot answers and this emulator does not."""
    return refusal(501, "NOT_EMULATED", f"The HubSpot emulator does not support {what}.")
