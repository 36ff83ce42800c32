"""Which clients are run, what each of them has to do, and where their CRM keeps what they leave behind.

Belongs here: the list. Not here: the sessions themselves (python/, node/), how they are run (conftest.py).
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """One client's session; `more` are the steps beside those that every client has to do."""

    name: str
    script: str
    crm: Crm
    more: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[str, ...]:
        """Return all steps."""
        return (*STEPS, *self.more)


SALESFORCE = Crm("SALESFORCE_URL", "Contact", ("Email", "Phone"))
HUBSPOT = Crm("HUBSPOT_URL", "contacts", ("email", "phone"))
DYNAMICS = Crm("DYNAMICS_URL", "contact", ("emailaddress1", "telephone1"))

SESSIONS = (
    Session(
        "simple-salesforce", "simple_salesforce.session.py", SALESFORCE, ("bulk_2", "bulk_1", "login_by_soap"),
    ),
    Session("jsforce", "jsforce.session.mjs", SALESFORCE, ("bulk_2", "bulk_1", "login_by_soap")),
    Session("dlt-salesforce", "dlt_salesforce.session.py", SALESFORCE),
    Session("hubspot-api-client", "hubspot_api_client.session.py", HUBSPOT, ("other_objects", "merge")),
    Session("hubspot-node", "hubspot_api_client.session.mjs", HUBSPOT, ("other_objects",)),
    Session("dlt-hubspot", "dlt_hubspot.session.py", HUBSPOT),
    Session("dataverse-api", "dataverse_api.session.py", DYNAMICS, ("batches_of_other_kinds",)),
    Session("dynamics-web-api", "dynamics_web_api.session.mjs", DYNAMICS, ("bulk",)),
    Session("dlt-dynamics", "dlt_dynamics.session.py", DYNAMICS),
)  # fmt: skip

AWAITED: dict[str, tuple[str, ...]] = {
    "simple-salesforce": ("login_by_soap",),
    "jsforce": ("login_by_soap",),
}
"""Steps that the emulators cannot answer yet: each fails, and has to leave this list once it does not."""
