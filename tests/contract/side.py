"""One CRM under test: its connector on one side, a person at the CRM's screen on the other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any
from uuid import UUID, uuid4

import requests

from crm_sync import connectors
from crm_sync.connectors.base import Connector
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Outcome, Page, SourceBatch
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec, MappingSpec, SpecSet
from tests.contract.crms import FACTS, with_oauth
from tests.contract.ports_fake import MemoryServices, services

LANE = Lane.INCREMENTAL
NUMBERS = itertools.count(1)


class Side:
    """A connector, and control over the CRM that it talks to."""

    def __init__(self, crm: str, addresses: Mapping[str, Any], environment: Mapping[str, str], specs: SpecSet) -> None:
        self.facts = FACTS[crm]
        self.crm = crm
        self.environment = dict(environment)
        self.connection: ConnectionSpec = specs.connections[crm]
        self.account: MappingSpec = specs.mapping(crm, "account")
        self.contact: MappingSpec = specs.mapping(crm, "contact")
        self.url = f"{addresses[crm]['url']}/__emulator__"
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify = addresses["ca_bundle"]
        self.services: MemoryServices = services()
        self.connector: Connector = self.connect()

    def connect(
        self, *, environment: Mapping[str, str] | None = None, oauth: bool = False,
        ports: MemoryServices | None = None,
    ) -> Connector:
        """Build another connector of this CRM."""
        connection = with_oauth(self.connection) if oauth else self.connection
        settings = Settings.load({**self.environment, **(environment or {})})
        return connectors.build(connection, ports or self.services, settings)

    def close(self) -> None:
        self.connector.close()
        self.http.close()

    # -- the person at the screen, and faults

    def control(self, path: str, body: Any) -> Any:
        answer = self.http.post(f"{self.url}/{path}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(self, path: str, **params: str) -> Any:
        answer = self.http.get(f"{self.url}/{path}", params=params, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, action: str, path: str, **more: Any) -> None:
        self.control("faults", {"action": action, "path": path, **more})

    def reset(self) -> None:
        """Remove faults and give pages their usual size."""
        self.http.delete(f"{self.url}/faults", timeout=30)
        self.control("down", {"down": False})
        self.control("knobs", {**dict.fromkeys(self.facts.knobs, 10**9), "limits": False, "index_lag_seconds": 0})

    def person_merges(self, mapping: MappingSpec, winner: str, loser: str) -> str:
        """Merge two records and return the id of the one that is left."""
        if self.crm != "hubspot":
            body = {"object": self.facts.objects[mapping.entity], "winner": winner, "loser": loser}
            return str(self.control("merge", body)["id"])
        answer = self.http.post(
            f"{self.environment['HUBSPOT_URL']}/crm/v3/objects/{mapping.object}/merge",
            json={"primaryObjectId": winner, "objectIdToMerge": loser},
            headers={"Authorization": f"Bearer {self.environment['HUBSPOT_TOKEN']}"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def _split(self, mapping: MappingSpec, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn entity field names into what the control API takes."""
        out: dict[str, Any] = {"object": self.facts.objects[mapping.entity], "values": {}, "associations": {}}
        for name, value in values.items():
            field = mapping.field(name)
            if field.association is not None:
                out["associations"][field.association.to_object] = [] if value is None else [value]
            else:
                out["values"][field.source] = value
        return out

    def person_creates(self, mapping: MappingSpec, **values: Any) -> str:
        return str(self.control("create", self._split(mapping, values))["id"])

    def person_edits(self, mapping: MappingSpec, id: str, **values: Any) -> None:
        self.control("edit", {**self._split(mapping, values), "id": id})

    def person_deletes(self, mapping: MappingSpec, id: str) -> None:
        self.control("delete", {"object": self.facts.objects[mapping.entity], "id": id})

    def shown(self, mapping: MappingSpec, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the CRM holds of a record, by entity field names."""
        out: dict[str, Any] = {}
        for field in mapping.fields:
            if field.association is not None:
                out[field.field] = next(iter(found["associations"].get(field.association.to_object, [])), None)
            else:
                out[field.field] = found["values"].get(field.source)
        return out

    def everything(self, mapping: MappingSpec) -> dict[str, dict[str, Any]]:
        """Return id -> record of all live records, straight from the CRM's store."""
        found = self.look("dump", object=self.facts.objects[mapping.entity])["records"]
        return {one["id"]: one for one in found}

    def stored(self, mapping: MappingSpec, id: str) -> dict[str, Any]:
        """Return what the CRM holds of one live record, by entity field names."""
        [found] = self.look("find", object=self.facts.objects[mapping.entity], field="id", value=id)["records"]
        return self.shown(mapping, found)

    def holders(self, mapping: MappingSpec, hub_id: UUID) -> list[str]:
        """Return the ids of all live records that carry a hub id."""
        object = self.facts.objects[mapping.entity]
        found = self.look("find", object=object, field=mapping.external_key, value=str(hub_id))["records"]
        return [one["id"] for one in found]

    def calls(self) -> int:
        return int(self.look("calls")["total"])

    # -- the connector

    def warm(self, connector: Connector | None = None) -> None:
        """Make one call, so that there is a token and an open connection."""
        (connector or self.connector).fetch(self.account, [self.facts.missing_account], LANE)

    def command(
        self, mapping: MappingSpec, record_id: str | None = None, *, hub_id: UUID | None = None, **values: Any
    ) -> Command:
        """Make a command from entity field names: an update where `record_id` is given, else a create."""
        references = {f.field: f.source for f in mapping.fields if f.target_object is not None}
        return Command(
            command_id=next(NUMBERS),
            action=Action.CREATE if record_id is None else Action.UPDATE,
            hub_id=hub_id or uuid4(),
            record_id=record_id,
            values={mapping.field(n).source: v for n, v in values.items() if n not in references},
            references={references[n]: v for n, v in values.items() if n in references},
        )

    def seen(self, mapping: MappingSpec, command: Command) -> Command:
        """Return an update with the version and stamp that the CRM shows now."""
        assert command.record_id is not None
        batch = self.connector.fetch(mapping, [command.record_id], LANE)
        stamp = batch.stamps[0].item().replace(tzinfo=UTC)
        return replace(command, version=batch.versions[0], stamp=stamp)

    def write(self, mapping: MappingSpec, *commands: Command) -> list[Outcome]:
        return self.connector.write(mapping, commands, Lane.OUTBOUND)

    def created(self, mapping: MappingSpec, **values: Any) -> str:
        """Create a record through the connector and return its id."""
        [outcome] = self.write(mapping, self.command(mapping, **values))
        assert outcome.record_id is not None, outcome
        return outcome.record_id

    def values(self, mapping: MappingSpec, batch: SourceBatch, row: int) -> dict[str, Any]:
        """Return one row of a batch by entity field names."""
        return {f.field: batch.values[f.source][row] for f in mapping.fields}


def ids_of(pages: list[Page]) -> list[str]:
    return [id for page in pages for id in page.batch.record_ids]
