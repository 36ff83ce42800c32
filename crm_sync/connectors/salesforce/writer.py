"""Write commands: creates by collections with our unique key filled, updates by composite with a precondition each.

A create is never an upsert, since an upsert overwrites a record that exists: with the unique key filled, a plain create
cannot make a second record, and a taken key comes back as DUPLICATE_VALUE for that row alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import format_datetime
from typing import Any, Final

from crm_sync.connectors.salesforce.calls import Calls
from crm_sync.connectors.salesforce.decoding import long_id
from crm_sync.connectors.salesforce.errors import RowError, row_error
from crm_sync.errors import BadCredentials, ErrorClass, LimitReached, Refused, Unreachable
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Outcome, Status
from crm_sync.specs.model import MappingSpec

CREATES_A_CALL: Final = 200
UPDATES_A_CALL: Final = 25


class Writer:
    """Writes to the records of one org."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def write(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        """Write all commands; one outcome each, in the order of the commands.

        Rows with one parent go side by side, in one call where possible: Salesforce locks the parent of what it writes.
        """
        order = sorted(commands, key=lambda c: sorted(str(target) for target in c.references.values()))
        creates = [c for c in order if c.action is Action.CREATE]
        updates = [c for c in order if c.action is Action.UPDATE]
        writing = _Writing(self._calls, mapping, lane)
        outcomes: dict[int, Outcome] = {}
        for chunk in [*_cut(creates, CREATES_A_CALL), *_cut(updates, UPDATES_A_CALL)]:
            outcomes.update((outcome.command_id, outcome) for outcome in writing.send(chunk))
        return [outcomes[c.command_id] for c in commands]


class _Writing:
    """One `write`: after a limit or refused credentials the rest is not sent, and what was sent still counts."""

    def __init__(self, calls: Calls, mapping: MappingSpec, lane: Lane) -> None:
        self._calls = calls
        self._mapping = mapping
        self._lane = lane
        self._sent = False
        self._stop: LimitReached | BadCredentials | None = None

    def send(self, chunk: list[Command]) -> list[Outcome]:
        """Send a chunk of one action; where the whole call is refused, find out why: good rows still go."""
        if self._stop is not None:
            return [_not_sent(c, self._stop) for c in chunk]
        try:
            done = self._create(chunk) if chunk[0].action is Action.CREATE else self._update(chunk)
        except Unreachable as error:
            self._sent = True
            return [_unanswered(c, error) for c in chunk]
        except BadCredentials as error:
            if not self._sent:
                raise
            self._stop = error
            return [_not_sent(c, error) for c in chunk]
        except LimitReached as error:
            self._stop = error
            return [_not_sent(c, error) for c in chunk]
        except Refused as refused:
            return self._divide(chunk, refused)
        self._sent = True
        return done

    def _divide(self, chunk: list[Command], refused: Refused) -> list[Outcome]:
        """Send a refused chunk in parts: without the rows that name unknown fields, else in halves."""
        if len(chunk) == 1:
            return [_refused(chunk[0], refused.error_class, refused.code, refused.code)]
        wrong = self._unknown_fields(chunk) if refused.error_class is ErrorClass.SCHEMA else {}
        if not wrong:
            half = len(chunk) // 2
            return self.send(chunk[:half]) + self.send(chunk[half:])
        outcomes = []
        for command in chunk:
            names = wrong.get(command.command_id)
            if names:
                message = f"{refused.code}: {self._mapping.object} does not let us write {', '.join(names)}"
                outcomes.append(_refused(command, ErrorClass.SCHEMA, refused.code, message))
        good = [c for c in chunk if c.command_id not in wrong]
        return outcomes + (self.send(good) if good else [])

    def _unknown_fields(self, chunk: list[Command]) -> dict[int, list[str]]:
        """Return command id -> fields that the org lacks or protects, by its own description."""
        try:
            described = self._calls.describe(self._mapping.object, self._lane)["fields"]
        except (Unreachable, LimitReached):
            return {}
        flag = "createable" if chunk[0].action is Action.CREATE else "updateable"
        writable = {field["name"] for field in described if field[flag]} | {"attributes"}
        bodies = {c.command_id: _body(self._mapping, c) for c in chunk}
        return {number: sorted(body.keys() - writable) for number, body in bodies.items() if body.keys() - writable}

    def _create(self, chunk: list[Command]) -> list[Outcome]:
        results = self._calls.create(
            self._mapping.object, [_body(self._mapping, command) for command in chunk], lane=self._lane
        )
        return [_created(self._mapping, command, result) for command, result in zip(chunk, results, strict=True)]

    def _update(self, chunk: list[Command]) -> list[Outcome]:
        results = self._calls.composite(
            self._mapping.object, [self._subrequest(command) for command in chunk], lane=self._lane
        )
        return [_updated(command, result) for command, result in zip(chunk, results, strict=True)]

    def _subrequest(self, command: Command) -> dict[str, Any]:
        mapping = self._mapping
        request: dict[str, Any] = {
            "method": "PATCH",
            "url": self._calls.path(f"sobjects/{mapping.object}/{command.record_id}"),
            "referenceId": f"c{command.command_id}",
            "body": _body(mapping, command),
        }
        if command.stamp is not None:
            seen = command.stamp.astimezone(UTC)
            request["httpHeaders"] = {"If-Unmodified-Since": format_datetime(seen, usegmt=True)}
        return request


def _cut(commands: list[Command], size: int) -> list[list[Command]]:
    return [commands[start : start + size] for start in range(0, len(commands), size)]


def _body(mapping: MappingSpec, command: Command) -> dict[str, Any]:
    """Make the JSON of one row. A checkbox has no null in Salesforce, so that clearing one unticks it."""
    booleans = {field.source for field in mapping.fields if field.transform == "boolean"}
    body: dict[str, Any] = {**command.values, **command.references}
    for name in booleans & body.keys():
        body[name] = bool(body[name])
    if command.action is Action.UPDATE:
        return body
    filled = {name: value for name, value in body.items() if value is not None}
    return {"attributes": {"type": mapping.object}, **filled, mapping.external_key: str(command.hub_id)}


def _created(mapping: MappingSpec, command: Command, result: Mapping[str, Any]) -> Outcome:
    if result.get("success"):
        return Outcome(command.command_id, Status.DELIVERED, record_id=long_id(result["id"]))
    error = row_error(result.get("errors") or [])
    if error.taken_field == mapping.external_key:
        holder = long_id(error.taken_by) if error.taken_by else None
        return _failed(command, error, Status.CHANGED, record_id=holder)
    if error.error_class is ErrorClass.NOT_FOUND:  # it is what the new record refers to that is gone
        error = RowError(error.code, ErrorClass.REFERENCE, error.fields)
    return _failed(command, error, error.status)


def _updated(command: Command, result: Mapping[str, Any]) -> Outcome:
    code = int(result["httpStatusCode"])
    if code < 300:
        return Outcome(command.command_id, Status.DELIVERED, record_id=command.record_id)
    body = result.get("body")
    error = row_error(body if isinstance(body, list) else [])
    if code == 412:
        return _failed(command, RowError(error.code, ErrorClass.CONFLICT), Status.CHANGED, record_id=command.record_id)
    if code == 404:  # deleted, or merged into another: a change that we have not seen yet
        return _failed(command, error, Status.CHANGED, record_id=command.record_id)
    if error.error_class is ErrorClass.NOT_FOUND:
        error = RowError(error.code, ErrorClass.REFERENCE, error.fields)
    if code >= 500:  # the org stumbled over it, perhaps after writing
        return _failed(command, RowError(error.code, ErrorClass.TRANSIENT), Status.UNKNOWN, record_id=command.record_id)
    return _failed(command, error, error.status, record_id=command.record_id)


def _failed(command: Command, error: RowError, status: Status, record_id: str | None = None) -> Outcome:
    return Outcome(
        command.command_id,
        status,
        record_id=record_id,
        error_class=error.error_class,
        code=error.code,
        message=error.message,
        fields=error.fields,
        holder=long_id(error.taken_by) if error.taken_by else None,
    )


def _refused(command: Command, error_class: ErrorClass, code: str, message: str) -> Outcome:
    return Outcome(
        command.command_id,
        Status.REFUSED,
        record_id=command.record_id,
        error_class=error_class,
        code=code,
        message=message,
    )


def _unanswered(command: Command, error: Unreachable) -> Outcome:
    status = Status.UNKNOWN if error.possibly_processed else Status.RETRY
    return Outcome(
        command.command_id,
        status,
        record_id=command.record_id,
        error_class=ErrorClass.TRANSIENT,
        code="NO_ANSWER",
        message=str(error),
    )


def _not_sent(command: Command, error: LimitReached | BadCredentials) -> Outcome:
    limited = isinstance(error, LimitReached)
    return Outcome(
        command.command_id,
        Status.RETRY,
        record_id=command.record_id,
        error_class=error.error_class if isinstance(error, LimitReached) else ErrorClass.AUTH,
        code="LIMIT" if limited else "AUTH",
        message=str(error),
        retry_after_seconds=error.retry_after_seconds if isinstance(error, LimitReached) else None,
    )
