"""Write records in batches of 100: creates that cannot overwrite, updates by id, one outcome a command.

A create carries our external key, which HubSpot holds unique, so a second create of the same hub record is refused.
Every input carries its own `objectWriteTraceId`: only then does HubSpot do the good ones and name the bad ones (207).
HubSpot has no precondition for updates; the flow reads immediately before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Final

from crm_sync.connectors.hubspot.client import Client
from crm_sync.connectors.hubspot.completing import Completion
from crm_sync.connectors.hubspot.decoding import Document, stamp_of, version_of
from crm_sync.connectors.hubspot.errors import Fault, Rejected, read_fault, status_of
from crm_sync.connectors.hubspot.reader import Reader
from crm_sync.connectors.hubspot.references import References
from crm_sync.errors import CrmSyncError, ErrorClass, LimitReached, Misconfigured, Retryable, Unreachable
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Outcome, Status
from crm_sync.specs.model import MappingSpec

WRITE_LIMIT: Final = 100

Outcomes = dict[int, Outcome]
"""Command id -> outcome."""
Send = Callable[[Sequence[Command]], Document]


class Writer:
    """Writes to one HubSpot account."""

    def __init__(self, client: Client, reader: Reader, completion: Completion) -> None:
        self._client = client
        self._reader = reader
        self._references = References(client, completion)

    def write(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        """Write all commands; outcomes in the same order."""
        creates = [one for one in commands if one.action is Action.CREATE]
        updates = [one for one in commands if one.action is Action.UPDATE]
        done: Outcomes = {}
        stopped: CrmSyncError | None = None
        for part in parts_of(creates):
            stopped = stopped or self._create(mapping, part, lane, done)
        for part in parts_of(updates):
            stopped = stopped or self._update(mapping, part, lane, done)
        if isinstance(stopped, Misconfigured) and not done:
            raise stopped
        for one in commands:
            if one.command_id not in done:
                done[one.command_id] = _not_sent(one, stopped)
        return [done[one.command_id] for one in commands]

    # -- creates

    def _create(
        self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane, done: Outcomes
    ) -> CrmSyncError | None:
        def send(part: Sequence[Command]) -> Document:
            body = {"inputs": [self._creation(mapping, one) for one in part]}
            return self._client.call(
                f"{mapping.object}/batch/create",
                self._client.batches.create,
                mapping.object,
                body,
                lane=lane,
                idempotent=False,
            )

        def who(result: Document, part: Mapping[str, Command]) -> Command | None:
            key = (result.get("properties") or {}).get(mapping.external_key)
            by_key = next((one for one in part.values() if str(one.hub_id) == key), None)
            return by_key or part.get(str(result.get("objectWriteTraceId") or ""))

        stopped = self._send(commands, send, who, done)
        taken = [one for one in commands if _class(done.get(one.command_id)) is ErrorClass.DUPLICATE]
        return self._look_up(mapping, taken, lane, done) or stopped

    def _creation(self, mapping: MappingSpec, command: Command) -> Document:
        values = {name: _value(value) for name, value in command.values.items() if value is not None}
        values[mapping.external_key] = str(command.hub_id)
        creation: Document = {"properties": values, "objectWriteTraceId": str(command.command_id)}
        creation["associations"] = self._references.of_creation(mapping, command.references)
        return creation

    def _look_up(
        self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane, done: Outcomes
    ) -> CrmSyncError | None:
        """Tell a create that met its own key (CHANGED) from one that met another record's unique value (REFUSED)."""
        if not commands:
            return None
        try:
            batch = self._reader.fetch_by_key(mapping, [str(one.hub_id) for one in commands], lane)
        except CrmSyncError as error:
            for one in commands:
                done[one.command_id] = replace(done[one.command_id], status=Status.UNKNOWN, record_id=None)
            return error
        rows = {hub_id: row for row, hub_id in enumerate(batch.hub_ids)}
        for one in commands:
            row = rows.get(str(one.hub_id))
            if row is not None:
                done[one.command_id] = replace(
                    done[one.command_id],
                    status=Status.CHANGED,
                    record_id=batch.record_ids[row],
                    version=batch.versions[row],
                    stamp=batch.stamps[row].item().replace(tzinfo=UTC),
                )
        return None

    # -- updates

    def _update(
        self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane, done: Outcomes
    ) -> CrmSyncError | None:
        def send(part: Sequence[Command]) -> Document:
            inputs = [
                {
                    "id": one.record_id,
                    "properties": {name: _value(value) for name, value in one.values.items()},
                    "objectWriteTraceId": str(one.command_id),
                }
                for one in part
            ]
            return self._client.call(
                f"{mapping.object}/batch/update",
                self._client.batches.update,
                mapping.object,
                {"inputs": inputs},
                lane=lane,
                idempotent=False,
            )

        def who(result: Document, part: Mapping[str, Command]) -> Command | None:
            return next((one for one in part.values() if one.record_id == str(result.get("id"))), None)

        stopped = None
        filled = [one for one in commands if one.values]
        if filled:
            stopped = self._send(filled, send, who, done)
        for one in commands:
            if not one.values:
                done[one.command_id] = Outcome(one.command_id, Status.DELIVERED, one.record_id, one.version, one.stamp)
        referring = [
            one for one in commands if one.references and done.get(one.command_id, _NONE).status is Status.DELIVERED
        ]
        if not referring:
            return stopped
        if stopped is not None:
            # The properties are written, the references are not: the same command again does both.
            for one in referring:
                done[one.command_id] = _not_sent(one, stopped)
            return stopped
        return self._references.write(mapping, referring, lane, done)

    # -- both

    def _send(
        self,
        commands: Sequence[Command],
        send: Send,
        who: Callable[[Document, Mapping[str, Command]], Command | None],
        done: Outcomes,
    ) -> CrmSyncError | None:
        """Send one batch and file its outcomes; halve one that is refused as a whole. Return what stops the rest."""
        try:
            answer = send(commands)
        except Rejected as error:
            if len(commands) == 1 or error.is_of_all:
                done.update({one.command_id: _refused(one, error.fault) for one in commands})
                return None
            middle = len(commands) // 2
            first = self._send(commands[:middle], send, who, done)
            return first or self._send(commands[middle:], send, who, done)
        except CrmSyncError as error:
            if isinstance(error, Unreachable) and error.possibly_processed:
                for one in commands:
                    done[one.command_id] = _unanswered(one)
            return error
        part = {str(one.command_id): one for one in commands}
        for result in answer.get("results") or []:
            command = who(result, part)
            if command is not None:
                done[command.command_id] = Outcome(
                    command.command_id, Status.DELIVERED, str(result["id"]), version_of(result), stamp_of(result)
                )
        for problem in answer.get("errors") or []:
            fault = read_fault(problem)
            context = problem.get("context") or {}
            ids = {str(one) for one in context.get("ids") or ()}
            traces = {str(one) for one in context.get("objectWriteTraceId") or ()}
            for one in commands:
                if str(one.command_id) in traces or (one.record_id is not None and one.record_id in ids):
                    done.setdefault(one.command_id, _refused(one, fault))
        for one in commands:
            done.setdefault(one.command_id, _unanswered(one))
        return None


_NONE: Final = Outcome(0, Status.UNKNOWN)


def parts_of(commands: Sequence[Command]) -> list[list[Command]]:
    """Split into batches; HubSpot refuses a batch that names a record twice, so a second write waits for the next."""
    parts: list[list[Command]] = []
    seen: list[set[str]] = []
    for command in commands:
        key = command.record_id or f"new:{command.hub_id}"
        at = next((at for at, ids in enumerate(seen) if key not in ids and len(ids) < WRITE_LIMIT), None)
        # A later write to a record may not overtake an earlier one.
        earliest = max((at for at, ids in enumerate(seen) if key in ids), default=-1) + 1
        if at is None or at < earliest:
            at = next((at for at in range(earliest, len(seen)) if len(seen[at]) < WRITE_LIMIT), len(seen))
        if at == len(seen):
            parts.append([])
            seen.append(set())
        parts[at].append(command)
        seen[at].add(key)
    return parts


def _value(value: object) -> object:
    """Return a value as HubSpot takes it: an empty text clears, booleans are words."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _class(outcome: Outcome | None) -> ErrorClass | None:
    return None if outcome is None else outcome.error_class


def _refused(command: Command, fault: Fault) -> Outcome:
    status, error_class = status_of(fault.error_class), fault.error_class
    if error_class is ErrorClass.NOT_FOUND and command.action is Action.UPDATE:
        status = Status.CHANGED  # deleted or merged behind our back: reading it tells which
    elif error_class is ErrorClass.NOT_FOUND:
        error_class = ErrorClass.REFERENCE  # a new record can only miss the one that it refers to
    return Outcome(
        command.command_id,
        status,
        command.record_id,
        error_class=error_class,
        code=fault.code,
        message=fault.message,
        fields=fault.fields,
        holder=fault.existing_id,
    )


def _unanswered(command: Command) -> Outcome:
    return Outcome(
        command.command_id,
        Status.UNKNOWN,
        command.record_id,
        error_class=ErrorClass.TRANSIENT,
        code="NO_ANSWER",
        message="HubSpot may or may not have written this; read it back",
    )


def _not_sent(command: Command, why: CrmSyncError | None) -> Outcome:
    error_class, seconds = ErrorClass.TRANSIENT, None
    if isinstance(why, LimitReached):
        error_class, seconds = why.error_class, why.retry_after_seconds
    elif isinstance(why, Misconfigured):
        error_class = ErrorClass.AUTH
    status = Status.RETRY if isinstance(why, Retryable | Misconfigured) else Status.UNKNOWN
    return Outcome(
        command.command_id,
        status,
        command.record_id,
        error_class=error_class,
        code=type(why).__name__,
        message="not sent, as an earlier call of this batch failed",
        retry_after_seconds=seconds,
    )
