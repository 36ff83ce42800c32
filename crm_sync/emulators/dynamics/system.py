"""The rows that a new environment has: its organization, business unit, currency, users, messages and their filters."""

from __future__ import annotations

from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from crm_sync.emulators.dynamics.tables import Tables
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import NewRecord, State

MESSAGES: Final = (
    "Create", "Update", "Delete", "Retrieve", "RetrieveMultiple", "CreateMultiple", "UpdateMultiple", "UpsertMultiple",
    "Upsert", "Associate", "Disassociate", "Merge", "Close", "Win", "Lose",
)  # fmt: skip
ANYWHERE: Final = ("Create", "Update", "Delete", "Retrieve", "RetrieveMultiple", "CreateMultiple", "UpdateMultiple",
                   "UpsertMultiple", "Upsert")  # fmt: skip
ONLY: Final = {
    "Merge": ("account", "contact", "lead", "incident"),
    "Close": ("incident",),
    "Win": ("opportunity",),
    "Lose": ("opportunity",),
}


def message_id(name: str) -> str:
    """Return the id of a message; the same in every environment."""
    return str(uuid5(NAMESPACE_URL, f"sdkmessage:{name}"))


def filter_id(name: str, table: str) -> str:
    """Return the id of a message's filter for a table."""
    return str(uuid5(NAMESPACE_URL, f"sdkmessagefilter:{name}:{table}"))


def install(state: State, tables: Tables, settings: EmulatorSettings) -> None:
    """Insert what is missing; cheap where all is there."""
    if state.get("organization", tables.organization) is None:
        with state.transaction():
            _install_environment(state, tables, settings)
    wanted = sum(len(_messages_of(name)) for name in tables.names)
    if state.get_meta("sdkmessagefilters") != wanted:
        with state.transaction():
            install_messages(state, tables)
            state.set_meta("sdkmessagefilters", wanted)


def _install_environment(state: State, tables: Tables, settings: EmulatorSettings) -> None:
    name = settings.name or "dynamics"
    state.insert("businessunit", tables.business_unit, {"name": name})
    state.insert(
        "transactioncurrency",
        tables.currency,
        {"currencyname": "US Dollar", "isocurrencycode": "USD", "currencysymbol": "$", "exchangerate": 1},
    )
    state.insert("organization", tables.organization, {"name": name, "basecurrencyid": tables.currency})
    application = _guid(settings.client_id)
    state.insert(
        "systemuser",
        tables.user,
        {
            "firstname": "#",
            "lastname": "crm-sync",
            "domainname": f"{application}@localhost",
            "applicationid": application,
            "azureactivedirectoryobjectid": str(uuid5(NAMESPACE_URL, f"application:{application}")),
            "businessunitid": tables.business_unit,
            "accessmode": 4,
            "isdisabled": False,
        },
    )


def _guid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, text))


def _messages_of(table: str) -> list[str]:
    return [*ANYWHERE, *(name for name, tables in ONLY.items() if table in tables)]


def install_messages(state: State, tables: Tables) -> None:
    """Insert the messages and filters of tables that have none yet."""
    present = state.get_many("sdkmessage", [message_id(name) for name in MESSAGES])
    rows = [NewRecord(message_id(name), {"name": name}) for name in MESSAGES if message_id(name) not in present]
    state.insert_many("sdkmessage", rows)
    filters = [(name, table) for table in tables.names for name in _messages_of(table)]
    known = state.get_many("sdkmessagefilter", [filter_id(*one) for one in filters])
    state.insert_many(
        "sdkmessagefilter",
        [
            NewRecord(
                filter_id(name, table),
                {
                    "sdkmessageid": message_id(name),
                    "primaryobjecttypecode": table,
                    "secondaryobjecttypecode": "none",
                    "isvisible": True,
                    "iscustomprocessingstepallowed": True,
                },
            )
            for name, table in filters
            if filter_id(name, table) not in known
        ],
    )
