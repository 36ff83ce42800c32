"""Answer unbound functions that clients ask: WhoAmI, RetrieveVersion, RetrieveTotalRecordCount, the organization."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import orjson

from crm_sync.emulators.dynamics.addressing import Resource
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError
from crm_sync.emulators.dynamics.tables import Tables
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

VERSION: Final = "9.2.25063.00180"
NAMES: Final = re.compile(r"EntityNames=(.*)", re.DOTALL)
PREFIX: Final = "Microsoft.Dynamics.CRM."


class Functions:
    """The functions of one environment."""

    def __init__(self, state: State, tables: Tables, settings: EmulatorSettings) -> None:
        self._state = state
        self._tables = tables
        self._settings = settings
        self.known: dict[str, Callable[[Call, Resource], Answer]] = {
            "WhoAmI": self._who_am_i,
            "RetrieveVersion": self._version,
            "RetrieveTotalRecordCount": self._total,
            "RetrieveCurrentOrganization": self._organization,
        }

    def answer(self, call: Call, found: Resource) -> Answer:
        """Answer a call of a function."""
        return self.known[found.name](call, found)

    def _who_am_i(self, call: Call, found: Resource) -> Answer:
        return Answer.of(
            {
                "@odata.context": f"{call.root}$metadata#{PREFIX}WhoAmIResponse",
                "BusinessUnitId": self._tables.business_unit,
                "UserId": self._tables.user,
                "OrganizationId": self._tables.organization,
            }
        )

    def _version(self, call: Call, found: Resource) -> Answer:
        return Answer.of(
            {"@odata.context": f"{call.root}$metadata#{PREFIX}RetrieveVersionResponse", "Version": VERSION}
        )

    def _total(self, call: Call, found: Resource) -> Answer:
        match = NAMES.fullmatch((found.key or "").strip())
        text = match.group(1) if match else ""
        text = call.aliases().get(text, text)
        try:
            names = orjson.loads(text.replace("'", '"'))
        except orjson.JSONDecodeError:
            raise ODataError(400, "0x80060888", "The parameter EntityNames must be a list of names.") from None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ODataError(400, "0x80060888", "The parameter EntityNames must be a list of names.")
        for name in names:
            if name not in self._tables.names:
                raise ODataError(404, "0x80040217", f"The entity with a name = '{name}' was not found")
        return Answer.of(
            {
                "@odata.context": f"{call.root}$metadata#{PREFIX}RetrieveTotalRecordCountResponse",
                "EntityRecordCountCollection": {
                    "Count": len(names),
                    "IsReadOnly": False,
                    "Keys": names,
                    "Values": [self._state.count(name) for name in names],
                },
            }
        )

    def _organization(self, call: Call, found: Resource) -> Answer:
        url, name = self._settings.url, self._settings.name or "dynamics"
        endpoints = {
            "Count": 3,
            "IsReadOnly": False,
            "Keys": ["WebApplication", "OrganizationService", "OrganizationDataService"],
            "Values": [
                f"{url}/",
                f"{url}/XRMServices/2011/Organization.svc",
                f"{url}/XRMServices/2011/OrganizationData.svc",
            ],
        }
        detail = {
            "OrganizationId": self._tables.organization,
            "FriendlyName": name,
            "OrganizationVersion": VERSION,
            "EnvironmentId": self._tables.organization,
            "DatacenterId": self._tables.organization,
            "Geo": "EUR",
            "TenantId": self._settings.tenant,
            "UrlName": name,
            "UniqueName": name,
            "State": "Enabled",
            "Endpoints": endpoints,
        }
        context = f"{call.root}$metadata#{PREFIX}RetrieveCurrentOrganizationResponse"
        return Answer.of({"@odata.context": context, "Detail": detail})
