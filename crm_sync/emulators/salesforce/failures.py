"""The errors of the REST API: a status and a list of {message, errorCode[, fields]}."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of one record or request."""

    code: str
    message: str
    fields: tuple[str, ...] | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def request_form(self) -> dict[str, Any]:
        """Return it as the body of a failed request has it."""
        out: dict[str, Any] = {**self.more, "message": self.message, "errorCode": self.code}
        return out if self.fields is None else {**out, "fields": list(self.fields)}

    def row_form(self) -> dict[str, Any]:
        """Return it as a row of a collection has it."""
        return {**self.more, "statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}


class Failure(Exception):
    """A request that failed."""

    def __init__(self, status: int, *problems: Problem) -> None:
        super().__init__(problems[0].code if problems else str(status))
        self.status = status
        self.problems = problems


class Invalid(Exception):
    """A record that the org does not take; other records of the same request may be fine."""

    def __init__(self, *problems: Problem, status: int = 400) -> None:
        super().__init__(problems[0].code)
        self.problems = problems
        self.status = status


class Unsupported(Exception):
    """Something that a real org does and this one does not: answered with 501, never with an approximation."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request below /services/data/vNN.N/, on its own or inside a composite request; the path is still quoted."""

    method: str
    path: str
    version: float
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def base(self) -> str:
        """Return the path prefix of this API version."""
        return f"/services/data/v{self.version:.1f}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call; a body of None is no body at all.

    A body of bytes, or of an iterator of bytes, goes out as it is, as `media`; any other one as JSON.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json;charset=UTF-8"


def failed(status: int, problems: Sequence[Problem]) -> Answer:
    """Return the answer of a failed request."""
    return Answer(status, [problem.request_form() for problem in problems])


def not_found(message: str = "The requested resource does not exist") -> Failure:
    """Return the failure of an unknown resource or record."""
    return Failure(404, Problem("NOT_FOUND", message))


def malformed_json(message: str) -> Failure:
    """Return the failure of a body that cannot be read; the whole request fails, other records included."""
    return Failure(400, Problem("JSON_PARSER_ERROR", message))
