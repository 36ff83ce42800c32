"""Write rows through $batch: one part a command, each with its own precondition, each with its own outcome.

A create is a PATCH on our alternate key with `If-None-Match: *`; an update is a PATCH on the id with `If-Match`.
Neither can overwrite what we have not seen, so a part that is sent twice is refused the second time, never done twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import orjson

from crm_sync.connectors.dynamics.batching import Answer, Part, decode, encode
from crm_sync.connectors.dynamics.client import SERVICE, WebApi, query
from crm_sync.connectors.dynamics.decoding import instant
from crm_sync.connectors.dynamics.errors import (
    KEY_TAKEN,
    OTHER_KEY_TAKEN,
    ROW_NOT_FOUND,
    STALE,
    Fault,
    fault,
    retry_after,
)
from crm_sync.connectors.dynamics.reader import Reader
from crm_sync.errors import (
    RETRYABLE_CLASSES,
    BadCredentials,
    CrmSyncError,
    ErrorClass,
    LimitReached,
    Refused,
    Retryable,
    Unreachable,
)
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Outcome, Status
from crm_sync.specs.model import MappingSpec

PARTS_A_CALL: Final = 100
_CONTENT: Final = frozenset({ErrorClass.VALIDATION, ErrorClass.SCHEMA})


class Writer:
    """Writes rows of one environment."""

    def __init__(self, api: WebApi, reader: Reader) -> None:
        self._api = api
        self._reader = reader

    def write(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        """Write the commands, at most 100 a call; one outcome a command, same order."""
        outcomes: list[Outcome] = []
        waiting = deque(commands[at : at + PARTS_A_CALL] for at in range(0, len(commands), PARTS_A_CALL))
        while waiting:
            chunk = waiting.popleft()
            try:
                outcomes += self._send(mapping, chunk, lane)
            except Refused as error:
                if len(chunk) > 1 and error.error_class in _CONTENT:
                    # the call as a whole was refused for its content: find the part that it cannot stand
                    middle = len(chunk) // 2
                    waiting.extendleft((chunk[middle:], chunk[:middle]))
                    continue
                refusal = Fault(error.error_class, error.code, "the whole call was refused")
                outcomes += [_refused(command, refusal) for command in chunk]
            except (Retryable, BadCredentials) as error:
                if isinstance(error, BadCredentials) and not outcomes:
                    raise
                # whatever stopped this call would stop the next ones too
                outcomes += _unanswered(chunk, error)
                return outcomes + [_retry(command, error) for rest in waiting for command in rest]
        return outcomes

    def _send(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        boundary = f"batch_{uuid4()}"
        response = self._api.send(
            "POST",
            "$batch",
            operation=f"write {mapping.object}",
            lane=lane,
            idempotent=False,
            headers={"Content-Type": f"multipart/mixed; boundary={boundary}", "Prefer": "odata.continue-on-error"},
            body=encode([part(mapping, command) for command in commands], boundary),
        )
        answers = decode(response.content)[: len(commands)]
        outcomes = [outcome(mapping, command, answer) for command, answer in zip(commands, answers, strict=False)]
        outcomes += [
            _unknown(command, "NO_PART", "the answer holds no part for this command")
            for command in commands[len(answers) :]
        ]
        return self._settle_creates(mapping, commands, outcomes, lane)

    def _settle_creates(
        self, mapping: MappingSpec, commands: Sequence[Command], outcomes: list[Outcome], lane: Lane
    ) -> list[Outcome]:
        """Tell a create that found our own key taken (read it) from one that ran into another unique key (refused)."""
        unsure = [
            index
            for index, one in enumerate(outcomes)
            if one.code == OTHER_KEY_TAKEN and commands[index].action is Action.CREATE
        ]
        if not unsure:
            return outcomes
        keys = [str(commands[index].hub_id) for index in unsure]
        try:
            taken = set(self._reader.fetch_by_key(mapping, keys, lane).hub_ids)
        except CrmSyncError:
            # the write is settled (it was refused); only which key it was stays open, and CHANGED makes the flow read
            taken = set(keys)
        for index, key in zip(unsure, keys, strict=True):
            if key in taken:
                outcomes[index] = _changed(commands[index], outcomes[index].code, "our key is taken already")
        return outcomes


def part(mapping: MappingSpec, command: Command) -> Part:
    """Return the request that carries out a command."""
    body: dict[str, Any] = dict(command.values)
    for source, target in command.references.items():
        field = next(one for one in mapping.fields if one.source == source)
        body[f"{field.bind}@odata.bind"] = None if target is None else f"/{field.target_object}({target})"
    if command.action is Action.CREATE:
        body[mapping.external_key] = str(command.hub_id)
        row, precondition = f"{mapping.external_key}='{command.hub_id}'", {"If-None-Match": "*"}
    else:
        row, precondition = str(command.record_id), {"If-Match": command.version or "*"}
    answer = query(f"{mapping.object}({row})", select=f"{mapping.id_field},{mapping.stamp_field}")
    headers = {"Content-Type": "application/json", "Prefer": "return=representation", **precondition}
    return Part("PATCH", SERVICE + answer, headers, orjson.dumps(body))


def outcome(mapping: MappingSpec, command: Command, answer: Answer) -> Outcome:
    """Return what became of a command by the answer to its part."""
    if answer.status < 300:
        return _delivered(mapping, command, answer)
    sent = {*command.values, mapping.external_key, *(one.bind or one.source for one in mapping.fields)}
    found = fault(answer.status, answer.body, sent)
    if found.code in (STALE, KEY_TAKEN) or found.error_class is ErrorClass.CONFLICT:
        return _changed(command, found.code, found.message)
    if found.code in ROW_NOT_FOUND:
        if command.action is Action.UPDATE and found.table in ("", mapping.singular):
            return _changed(command, found.code, found.message)
        return _refused(command, Fault(ErrorClass.REFERENCE, found.code, "the record referred to does not exist"))
    if found.error_class in RETRYABLE_CLASSES:
        return Outcome(
            command.command_id,
            Status.RETRY,
            command.record_id,
            error_class=found.error_class,
            code=found.code,
            message=found.message,
            retry_after_seconds=retry_after(answer.headers.get("retry-after")),
        )
    return _refused(command, found)


def _delivered(mapping: MappingSpec, command: Command, answer: Answer) -> Outcome:
    try:
        row: dict[str, Any] = orjson.loads(answer.body)
        return Outcome(
            command.command_id,
            Status.DELIVERED,
            record_id=str(row[mapping.id_field]),
            version=str(row["@odata.etag"]),
            stamp=instant(row[mapping.stamp_field]),
        )
    except (orjson.JSONDecodeError, KeyError, ValueError):
        # written, but we do not know as what: reading it back tells
        return _unknown(command, f"HTTP {answer.status}", "written, but the answer does not show the row")


def _changed(command: Command, code: str, message: str) -> Outcome:
    return Outcome(
        command.command_id,
        Status.CHANGED,
        command.record_id,
        error_class=ErrorClass.CONFLICT,
        code=code,
        message=message,
    )


def _refused(command: Command, found: Fault) -> Outcome:
    return Outcome(
        command.command_id,
        Status.REFUSED,
        command.record_id,
        error_class=found.error_class,
        code=found.code,
        message=found.message,
    )


def _unknown(command: Command, code: str, message: str) -> Outcome:
    return Outcome(
        command.command_id,
        Status.UNKNOWN,
        command.record_id,
        error_class=ErrorClass.UNKNOWN,
        code=code,
        message=message,
    )


def _unanswered(commands: Sequence[Command], error: CrmSyncError) -> list[Outcome]:
    """Return the outcomes of a call that failed as a whole."""
    if isinstance(error, Unreachable) and error.possibly_processed:
        return [_unknown(command, "NO_ANSWER", "no answer came; it may be written") for command in commands]
    return [_retry(command, error) for command in commands]


def _retry(command: Command, error: CrmSyncError) -> Outcome:
    if isinstance(error, LimitReached):
        return Outcome(
            command.command_id,
            Status.RETRY,
            command.record_id,
            error_class=error.error_class,
            code="LIMIT",
            message="a limit was reached",
            retry_after_seconds=error.retry_after_seconds,
        )
    error_class = ErrorClass.AUTH if isinstance(error, BadCredentials) else ErrorClass.TRANSIENT
    return Outcome(
        command.command_id,
        Status.RETRY,
        command.record_id,
        error_class=error_class,
        code="NOT_SENT",
        message="the call was not made",
    )
