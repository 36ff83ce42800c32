"""Tell webhooks of writes: which steps hear them, and what the execution context says.

Steps are rows: a serviceendpoint of contract 8 and a sdkmessageprocessingstep that points to it, to a message and to a
filter (a table). Asynchronous steps are queued with the write; a synchronous one is called before the answer, and where
it fails the write is undone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import uuid4

from crm_sync.emulators.dynamics.protocol import ODataError
from crm_sync.emulators.dynamics.tables import CHOICES, LOOKUPS, Column, Table, Tables
from crm_sync.emulators.dynamics.values import moment_us
from crm_sync.emulators.dynamics.webhooks import ASYNCHRONOUS
from crm_sync.emulators.dynamics.writing import acting
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.posting import Event, Subscription
from crm_sync.emulators.state import Record, State

NS: Final = "http://schemas.microsoft.com/xrm/2011/Contracts"
STEPS: Final = ("sdkmessageprocessingstep", "serviceendpoint")
WEBHOOK: Final = 8


class Announcer:
    """Hears every write of one environment."""

    def __init__(self, state: State, tables: Tables, hooks: Hooks, name: str) -> None:
        self._state = state
        self._tables = tables
        self._hooks = hooks
        self._name = name

    def tell(self, message: str, record: Record, before: Record | None, names: Collection[str]) -> None:
        """Announce a write to all who hear it. Raises ODataError where a synchronous receiver refuses it."""
        if record.object in STEPS:
            self._register()
            return
        for subscription in self._hooks.subscriptions():
            if not _hears(subscription.facts, message, record.object, names):
                continue
            body = self._context(subscription, message, record, names)
            if subscription.facts["mode"] == ASYNCHRONOUS:
                self._hooks.emit(subscription.id, body, object=record.object)
            else:
                self._call(subscription, record, body)

    def _call(self, subscription: Subscription, record: Record, body: dict[str, Any]) -> None:
        policy = self._hooks.policy
        for attempt in (1, 2):
            event = Event(0, record.object, self._state.now_us(), attempt, body)
            reply = self._hooks.post(policy.compose(subscription, [event]), policy.timeout_seconds)
            verdict = policy.judge(reply, attempt)
            if verdict.accepted:
                return
            if verdict.retry_seconds is None:
                break
        status = "no answer" if reply is None else f"HTTP {reply.status}"
        raise ODataError(400, "0x80040265", f"The webhook {subscription.url} failed: {status}.")

    # -- steps

    def _register(self) -> None:
        """Bring the subscriptions in line with the steps that are enabled."""
        wanted = {record.id: found for record in self._state.scan(STEPS[0]) if (found := self._wanted(record))}
        for one in self._hooks.subscriptions():
            if one.facts.get("step") and one.id not in wanted:
                self._hooks.unsubscribe(one.id)
        for id, (url, facts) in wanted.items():
            try:
                self._hooks.subscribe(url, {**facts, "step": True}, id=id)
            except ValueError as error:
                raise ODataError(400, "0x80040203", f"The webhook cannot be registered: {error}.") from None

    def _wanted(self, step: Record) -> tuple[str, dict[str, Any]] | None:
        endpoint = self._state.get(STEPS[1], str(step.values.get("eventhandler")))
        message = self._state.get("sdkmessage", str(step.values.get("sdkmessageid")))
        if endpoint is None or endpoint.deleted or message is None or step.values.get("statecode", 0) != 0:
            return None
        if endpoint.values.get("contract") != WEBHOOK:
            return None
        filter = self._state.get("sdkmessagefilter", str(step.values.get("sdkmessagefilterid")))
        attributes = str(step.values.get("filteringattributes") or "")
        return str(endpoint.values.get("url")), {
            "message": message.values["name"],
            "entity": "*" if filter is None else filter.values["primaryobjecttypecode"],
            "filteringattributes": [name.strip() for name in attributes.split(",") if name.strip()],
            "stage": step.values.get("stage", 40),
            "mode": step.values.get("mode", 0),
            "authtype": endpoint.values.get("authtype"),
            "authvalue": endpoint.values.get("authvalue") or "",
        }

    # -- the execution context

    def _context(
        self, subscription: Subscription, message: str, record: Record, names: Collection[str]
    ) -> dict[str, Any]:
        table = self._tables.table(record.object)
        user = acting.get() or self._tables.user
        correlation, now_ms = str(uuid4()), self._state.now_us() // 1000
        target = _reference(record) if message == "Delete" else self._entity(table, record, names)
        return {
            "BusinessUnitId": self._tables.business_unit,
            "CorrelationId": correlation,
            "Depth": 1,
            "InitiatingUserAzureActiveDirectoryObjectId": "00000000-0000-0000-0000-000000000000",
            "InitiatingUserId": user,
            "InputParameters": [{"key": "Target", "value": target}],
            "IsExecutingOffline": False,
            "IsInTransaction": subscription.facts["mode"] != ASYNCHRONOUS,
            "IsOfflinePlayback": False,
            "IsolationMode": 1,
            "MessageName": message,
            "Mode": subscription.facts["mode"],
            "OperationCreatedOn": f"/Date({now_ms}+0000)/",
            "OperationId": str(uuid4()),
            "OrganizationId": self._tables.organization,
            "OrganizationName": self._name,
            "OutputParameters": [{"key": "id", "value": record.id}] if message == "Create" else [],
            "OwningExtension": {
                "Id": subscription.id,
                "KeyAttributes": [],
                "LogicalName": "sdkmessageprocessingstep",
                "Name": None,
                "RowVersion": None,
            },
            "ParentContext": None,
            "PostEntityImages": [],
            "PreEntityImages": [],
            "PrimaryEntityId": record.id,
            "PrimaryEntityName": record.object,
            "RequestId": correlation,
            "SecondaryEntityName": "none",
            "SharedVariables": [],
            "Stage": subscription.facts["stage"],
            "UserId": user,
        }

    def _entity(self, table: Table, record: Record, names: Collection[str]) -> dict[str, Any]:
        written = {name for name in names if "@" not in name} | {"modifiedon"}
        attributes = [
            {"key": column.logical, "value": self._attribute(record, column)}
            for column in table.columns.values()
            if column.logical in written and column.name != table.id
        ]
        attributes.append({"key": table.id, "value": record.id})
        return {
            "__type": f"Entity:{NS}",
            "Attributes": attributes,
            "EntityState": None,
            "FormattedValues": [],
            "Id": record.id,
            "KeyAttributes": [],
            "LogicalName": table.logical,
            "RelatedEntities": [],
            "RowVersion": str(record.seq),
        }

    def _attribute(self, record: Record, column: Column) -> Any:
        value = column.read(record)
        if value is None:
            return None
        if column.kind in CHOICES:
            return {"__type": f"OptionSetValue:{NS}", "Value": value}
        if column.kind == "MultiSelectPicklist":
            return [{"__type": f"OptionSetValue:{NS}", "Value": int(one)} for one in value.split(",")]
        if column.kind in LOOKUPS:
            return _reference_to(self._tables.target(record, column), value)
        if column.kind == "Money":
            return {"__type": f"Money:{NS}", "Value": value}
        if column.kind == "DateTime":
            us = moment_us(f"{value}T00:00:00Z" if column.date_only else value)
            return value if us is None else f"/Date({us // 1000})/"
        return value


def _hears(facts: Mapping[str, Any], message: str, entity: str, names: Collection[str]) -> bool:
    """Tell whether a step hears a write; its filtering attributes only narrow updates."""
    if facts["message"] not in ("*", message) or facts["entity"] not in ("*", "none", entity):
        return False
    wanted = facts["filteringattributes"]
    return message != "Update" or not wanted or any(name in names for name in wanted)


def _reference(record: Record) -> dict[str, Any]:
    return _reference_to(record.object, record.id)


def _reference_to(table: str, id: str) -> dict[str, Any]:
    return {
        "__type": f"EntityReference:{NS}",
        "Id": id,
        "KeyAttributes": [],
        "LogicalName": table,
        "Name": None,
        "RowVersion": None,
    }
