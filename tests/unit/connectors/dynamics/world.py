"""What the tests of the Dynamics connector share: specs, ports, the emulator's control, short words for calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import requests

from crm_sync.connectors.dynamics.connector import DynamicsConnector
from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Outcome, Page, Status
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec, FieldMapping, MappingSpec
from tests.unit.connectors.memory_ports import Ports as MemoryPorts

CONNECTION = ConnectionSpec(
    name="d365",
    crm="dynamics",
    auth="client_credentials",
    address_env="DYNAMICS_URL",
    secrets_env={
        "authority": "DYNAMICS_AUTHORITY",
        "client_id": "DYNAMICS_CLIENT_ID",
        "client_secret": "DYNAMICS_CLIENT_SECRET",
    },
    mappings="dynamics",
    entities=("account", "contact"),
)
COMMON = {"crm": "dynamics", "version": 1, "stamp_field": "modifiedon", "external_key": "crmsync_hubid"}
ACCOUNT = MappingSpec(
    entity="account",
    object="accounts",
    singular="account",
    id_field="accountid",
    fields=(FieldMapping("name", "name", "text"),),
    **COMMON,  # type: ignore[arg-type]
)
CONTACT = MappingSpec(
    entity="contact",
    object="contacts",
    singular="contact",
    id_field="contactid",
    fields=(
        FieldMapping("first_name", "firstname", "text"),
        FieldMapping("last_name", "lastname", "text"),
        FieldMapping("email_opt_out", "donotbulkemail", "boolean"),
        FieldMapping(
            "account",
            "_parentcustomerid_value",
            "reference",
            bind="parentcustomerid_account",
            target_object="accounts",
        ),
    ),
    **COMMON,  # type: ignore[arg-type]
)


class Ports(MemoryPorts):
    """The ports in memory, on the real clock (the emulator lives by it too); sleeping is only noted."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    @property
    def operations(self) -> list[str]:
        """Return the names of the calls made."""
        return [operation for operation, _ in self.counted]


class Environment:
    """The emulator, with its control API."""

    def __init__(self, process: EmulatorProcess) -> None:
        self.variables = environment(process.addresses)
        self.url = self.variables["DYNAMICS_URL"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = self.variables["CRM_SYNC_CA_BUNDLE"]

    def control(self, path: str, body: Any = None, method: str = "POST", **query: str) -> Any:
        answer = self._session.request(method, f"{self.url}/__emulator__/{path}", json=body, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, path: str, action: str, **further: Any) -> None:
        self.control("faults", [{"path": path, "action": action, **further}])

    def find(self, field: str, value: str, object: str = "contact") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("find", None, "GET", object=object, field=field, value=value)[
            "records"
        ]
        return found

    def close(self) -> None:
        self._session.close()


def connect(variables: Mapping[str, str]) -> tuple[DynamicsConnector, Ports]:
    ports = Ports()
    return DynamicsConnector(CONNECTION, ports.services, Settings.load(variables)), ports


def create(hub_id: UUID, number: int = 1, account: str | None = None, **values: Any) -> Command:
    references = {} if account is None else {"_parentcustomerid_value": account}
    return Command(number, Action.CREATE, hub_id, None, values, references)


def update(record_id: str, version: str | None, number: int = 1, **values: Any) -> Command:
    return Command(number, Action.UPDATE, uuid4(), record_id, values, {}, version)


def write(connector: DynamicsConnector, *commands: Command, mapping: MappingSpec = CONTACT) -> list[Outcome]:
    return connector.write(mapping, commands, Lane.OUTBOUND)


def made(connector: DynamicsConnector, **values: Any) -> Outcome:
    (outcome,) = write(connector, create(uuid4(), **values))
    assert outcome.status is Status.DELIVERED
    return outcome


def watermark(pages: Sequence[Page]) -> str:
    assert all(page.watermark is None for page in pages[:-1])
    assert pages[-1].watermark is not None
    return pages[-1].watermark


def changes(connector: DynamicsConnector, since: str | None, resume: str | None = None) -> list[Page]:
    return list(connector.changes(CONTACT, since, resume, Lane.INCREMENTAL))


def ids(pages: Sequence[Page]) -> list[str]:
    return [one for page in pages for one in page.batch.record_ids]
