"""Which clients are run, what each of them has to do, and where their CRM keeps what they leave behind.

Belongs here: the list. Not here: the sessions themselves (python/, node/), how they are run (conftest.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STEPS = (
    "connect", "describe", "create", "upsert", "read_since", "pages", "update", "delete", "read_deleted", "batch",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Crm:
    """A CRM: the variable that holds its address, its name for contacts, and for (email address, telephone)."""

    url: str
    contacts: str
    fields: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Session:
    """One client's session; `more`: steps beside those that every client has to do; `settings`: for its environment."""

    name: str
    script: str
    crm: Crm
    more: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def steps(self) -> tuple[str, ...]:
        """Return all steps."""
        return (*STEPS, *self.more)


SALESFORCE = Crm("SALESFORCE_URL", "Contact", ("Email", "Phone"))
HUBSPOT = Crm("HUBSPOT_URL", "contacts", ("email", "phone"))
DYNAMICS = Crm("DYNAMICS_URL", "contact", ("emailaddress1", "telephone1"))

BULK = ("bulk_2", "bulk_1")
SESSIONS = (
    Session("simple-salesforce", "simple_salesforce.session.py", SALESFORCE, (*BULK, "login_by_soap", "login_by_jwt")),
    Session("jsforce", "jsforce.session.mjs", SALESFORCE, (*BULK, "login_by_soap"), {"PACKAGE": "jsforce"}),
    Session(
        "jsforce-node", "jsforce.session.mjs", SALESFORCE, (*BULK, "login_by_soap"),
        {"PACKAGE": "@jsforce/jsforce-node"},
    ),
    Session("dlt-salesforce", "dlt_salesforce.session.py", SALESFORCE),
    Session("hubspot-api-client", "hubspot_api_client.session.py", HUBSPOT, ("other_objects", "merge")),
    Session("hubspot-node", "hubspot_api_client.session.mjs", HUBSPOT, ("other_objects",)),
    Session("dlt-hubspot", "dlt_hubspot.session.py", HUBSPOT),
    Session("dataverse-api", "dataverse_api.session.py", DYNAMICS, ("batches_of_other_kinds",)),
    Session("powerplatform-dataverse", "powerplatform_dataverse.session.py", DYNAMICS, ("fetch_xml",)),
    Session("dynamics-web-api", "dynamics_web_api.session.mjs", DYNAMICS, ("bulk", "fetch_xml")),
    Session("dlt-dynamics", "dlt_dynamics.session.py", DYNAMICS),
)  # fmt: skip
