"""Write references as associations: in the same call for a new record, by v4 batches for one that exists.

Setting makes the target the primary one and takes the former one away; further associations are other people's and
stay. Clearing takes all away, as any that stayed would be read as the reference again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from crm_sync.connectors.hubspot.client import Client
from crm_sync.connectors.hubspot.completing import Completion
from crm_sync.connectors.hubspot.decoding import counted, is_labelled, target_id
from crm_sync.connectors.hubspot.errors import Fault, Rejected, read_fault, status_of
from crm_sync.errors import CrmSyncError, ErrorClass, LimitReached, Unreachable
from crm_sync.ports import Lane
from crm_sync.records import Command, Outcome, Status
from crm_sync.specs.model import Association, FieldMapping, MappingSpec

PAIRS_LIMIT: Final = 1000

Pair = tuple[Command, dict[str, Any]]
"""A command and its input for an association batch."""


class References:
    """Writes the associations that mappings name as references."""

    def __init__(self, client: Client, completion: Completion) -> None:
        self._client = client
        self._completion = completion

    def of_creation(self, mapping: MappingSpec, references: Mapping[str, str | None]) -> list[dict[str, Any]]:
        """Return the `associations` of a record that is being created."""
        return [
            {"to": {"id": references[one.source]}, "types": _types(_association(one))}
            for one in mapping.associations
            if references.get(one.source)
        ]

    def write(
        self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane, done: dict[int, Outcome]
    ) -> CrmSyncError | None:
        """Bring the associations of existing records in line; turn outcomes that fail into what became of them."""
        for reference in mapping.associations:
            concerned = [
                one
                for one in commands
                if reference.source in one.references and done[one.command_id].status is Status.DELIVERED
            ]
            if concerned:
                stopped = self._write_one(mapping, reference, concerned, lane, done)
                if stopped is not None:
                    return stopped
        return None

    def _write_one(
        self,
        mapping: MappingSpec,
        reference: FieldMapping,
        commands: Sequence[Command],
        lane: Lane,
        done: dict[int, Outcome],
    ) -> CrmSyncError | None:
        to_object = _association(reference).to_object
        ids = [str(one.record_id) for one in commands]
        try:
            present = self._completion.read_associations(mapping, reference, ids, lane)
        except CrmSyncError as error:
            _spread(commands, error, done, written=False)
            return error
        added: list[Pair] = []
        removed: list[Pair] = []
        for command, id in zip(commands, ids, strict=True):
            items = present[id]
            target = command.references[reference.source]
            if target is not None and not _is_settled(mapping, reference, items, target):
                added.append((command, _addition(_association(reference), id, target, items)))
            former = [target_id(item) for item in items] if target is None else [counted(mapping, reference, items)]
            leaving = [one for one in former if one is not None and one != target]
            if leaving:
                removed.append((command, {"from": {"id": id}, "to": [{"id": one} for one in leaving]}))
        api = self._client.associations
        stopped = self._send(
            f"{mapping.object}/{to_object}/associations/create", api.create, mapping, to_object, added, lane, done
        )
        if stopped is None:
            removed = [pair for pair in removed if done[pair[0].command_id].status is Status.DELIVERED]
            stopped = self._send(
                f"{mapping.object}/{to_object}/associations/archive",
                api.archive,
                mapping,
                to_object,
                removed,
                lane,
                done,
            )
        return stopped

    def _send(
        self,
        operation: str,
        api: Callable[..., Any],
        mapping: MappingSpec,
        to_object: str,
        pairs: Sequence[Pair],
        lane: Lane,
        done: dict[int, Outcome],
    ) -> CrmSyncError | None:
        """Send association inputs; halve what is refused as a whole."""
        for start in range(0, len(pairs), PAIRS_LIMIT):
            part = pairs[start : start + PAIRS_LIMIT]
            commands = [command for command, _ in part]
            body = {"inputs": [one for _, one in part]}
            try:
                answer = self._client.call(operation, api, mapping.object, to_object, body, lane=lane, idempotent=True)
            except Rejected as error:
                if len(part) == 1 or error.is_of_all:
                    for command in commands:
                        _fail(command, error.fault, done)
                    continue
                middle = len(part) // 2
                for half in (part[:middle], part[middle:]):
                    stopped = self._send(operation, api, mapping, to_object, half, lane, done)
                    if stopped is not None:
                        return stopped
            except CrmSyncError as error:
                later = [command for command, _ in pairs[start + PAIRS_LIMIT :]]
                _spread(commands, error, done, written=isinstance(error, Unreachable) and error.possibly_processed)
                _spread(later, error, done, written=False)
                return error
            else:
                _file_errors(answer, part, done)
        return None


def _file_errors(answer: Mapping[str, Any], part: Sequence[Pair], done: dict[int, Outcome]) -> None:
    """Give the errors of a 207 to their commands: by the ids they name, else to all that no result confirms."""
    problems = answer.get("errors") or []
    if not problems:
        return
    confirmed = {
        str(one.get("fromObjectId") or (one.get("from") or {}).get("id")) for one in answer.get("results") or []
    }
    for command, one in part:
        if one["from"]["id"] not in confirmed:
            _fail(command, read_fault(_problem_of(one, problems)), done)


def _problem_of(sent: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for problem in problems:
        named = {
            str(value)
            for values in (problem.get("context") or {}).values()
            if isinstance(values, list)
            for value in values
        }
        if sent["from"]["id"] in named:
            return problem
    return problems[0]


def _fail(command: Command, fault: Fault, done: dict[int, Outcome]) -> None:
    """Say that the properties arrived and the reference was refused."""
    invalid = {ErrorClass.VALIDATION, ErrorClass.NOT_FOUND, ErrorClass.UNKNOWN}
    error_class = ErrorClass.REFERENCE if fault.error_class in invalid else fault.error_class
    done[command.command_id] = replace(
        done[command.command_id],
        status=status_of(error_class),
        error_class=error_class,
        code=fault.code,
        message="the associated record was refused",
    )


def _spread(commands: Sequence[Command], error: CrmSyncError, done: dict[int, Outcome], *, written: bool) -> None:
    """Say that the properties arrived and the references did not (or, `written`, maybe did)."""
    limit = error if isinstance(error, LimitReached) else None
    for command in commands:
        done[command.command_id] = replace(
            done[command.command_id],
            status=Status.UNKNOWN if written else Status.RETRY,
            error_class=limit.error_class if limit else ErrorClass.TRANSIENT,
            code=type(error).__name__,
            message="the properties are written, the associations are not known to be",
            retry_after_seconds=limit.retry_after_seconds if limit else None,
        )


def _association(reference: FieldMapping) -> Association:
    assert reference.association is not None
    return reference.association


def _types(association: Association) -> list[dict[str, Any]]:
    ids = [one for one in (association.label_type_id, association.type_id) if one is not None]
    return [{"associationCategory": association.category, "associationTypeId": one} for one in ids]


def _is_settled(mapping: MappingSpec, reference: FieldMapping, items: Sequence[Mapping[str, Any]], target: str) -> bool:
    """Tell whether the target is the one that counts, with the label that makes it stay so."""
    if _association(reference).label_type_id is None:
        return [target_id(item) for item in items] == [target]
    return any(target_id(item) == target and is_labelled(mapping, reference, item) for item in items)


def _addition(association: Association, id: str, target: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Build an input; HubSpot replaces the labels of a pair, so those that it has are sent along."""
    types = _types(association)
    for item in items:
        if target_id(item) == target:
            types += [
                {"associationCategory": one["category"], "associationTypeId": one["typeId"]}
                for one in item.get("associationTypes") or []
            ]
    unique = {(one["associationCategory"], one["associationTypeId"]): one for one in types}
    return {"from": {"id": id}, "to": {"id": target}, "types": list(unique.values())}
