"""GlobalOptionSetDefinitions: choices that several columns share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.dynamics.addressing import Resource, resource
from crm_sync.emulators.dynamics.metadata.attributes import SCHEMA_NAME, read_options
from crm_sync.emulators.dynamics.metadata.evaluating import Document, shaped
from crm_sync.emulators.dynamics.metadata.shapes import TYPE, label, label_text, metadata_id, options
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported
from crm_sync.emulators.state import State


class Choices:
    """The global choices of one environment; kept across restarts."""

    def __init__(self, state: State) -> None:
        self._state = state

    def answer(self, call: Call, found: Resource) -> Answer:
        """Answer a request below GlobalOptionSetDefinitions."""
        if call.method == "POST" and found.key is None:
            return self._create(call)
        if call.method != "GET":
            raise Unsupported("changing and deleting global choices")
        if found.key is None:
            rows = shaped(call, [self._row(one) for one in self._all()], _no_expand)
            return Answer.of({"@odata.context": f"{call.root}$metadata#GlobalOptionSetDefinitions", "value": rows})
        row = shaped(call, [self._row(self._named(found.key))], _no_expand)[0]
        return Answer.of({"@odata.context": f"{call.root}$metadata#GlobalOptionSetDefinitions/$entity", **row})

    def bound(self, address: str) -> Mapping[str, str]:
        """Return the options of the choice that a bind names. Raises ODataError 404."""
        key = resource(address.removeprefix("/")).key or ""
        chosen: Mapping[str, str] = self._named(key)["options"]
        return chosen

    def shown_by_options(self, given: Mapping[str, str]) -> Document | None:
        """Return the choice that has exactly these options."""
        return next((self._row(one) for one in self._all() if one["options"] == dict(given)), None)

    def _all(self) -> list[dict[str, Any]]:
        return list(self._state.list_meta("choice:").values())

    def _named(self, key: str) -> dict[str, Any]:
        name = key.removeprefix("Name='").removesuffix("'")
        for one in self._all():
            if name in (one["name"], metadata_id(f"choice:{one['name']}")):
                return one
        raise ODataError(404, "0x80060888", f"Could not find optionset with {key}.")

    def _create(self, call: Call) -> Answer:
        body = call.json()
        name = str(body.get("Name", ""))
        if not SCHEMA_NAME.fullmatch(name):
            raise ODataError(400, "0x80047013", "The Name of a choice needs a valid customization prefix.")
        if any(one["name"] == name for one in self._all()):
            raise ODataError(400, "0x80047013", f"A choice {name} exists already.")
        one = {"name": name, "label": label_text(body.get("DisplayName")) or name, "options": read_options(body)}
        self._state.set_meta(f"choice:{name}", one)
        where = f"{call.root}GlobalOptionSetDefinitions({metadata_id(f'choice:{name}')})"
        return Answer(204, b"", {"OData-EntityId": where})

    @staticmethod
    def _row(one: Mapping[str, Any]) -> Document:
        return {
            "@odata.type": f"#{TYPE}OptionSetMetadata",
            "MetadataId": metadata_id(f"choice:{one['name']}"),
            "Name": one["name"],
            "IsGlobal": True,
            "IsCustomOptionSet": True,
            "IsManaged": False,
            "OptionSetType": "Picklist",
            "DisplayName": label(one["label"]),
            "Options": options(one["options"]),
        }


def _no_expand(row: Document, name: str) -> Any:
    raise Unsupported(f"$expand={name} on a choice")
