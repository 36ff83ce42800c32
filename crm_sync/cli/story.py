"""The story of the demo: people edit records in three places, and every edit arrives everywhere.

Belongs here: who edits what, and whether it arrived. Not here: how the demo is set up (demo.py).
Fields are named as the CRMs name them and found through the mappings: renaming a field of ours leaves the story alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from crm_sync.cli.desk import Desk
from crm_sync.cli.rounds import Rounds
from crm_sync.cli.telling import sentence
from crm_sync.errors import CrmSyncError
from crm_sync.flows.context import open_context
from crm_sync.flows.edit import edit
from crm_sync.flows.explain import explain
from crm_sync.settings import Settings
from crm_sync.specs.model import SpecSet
from crm_sync.store import holding, links

PHONE: Final = "+12025550143"
TITLE: Final = "Head of Interesting Affairs"
CITY: Final = "Reykjavik"
ONE_TITLE, OTHER_TITLE = "Director of North", "Director of South"


class Story:
    """Edits and their arrival; `lines` tell it, `verdicts` say whether it came true."""

    def __init__(self, settings: Settings, specs: SpecSet, addresses: Mapping[str, Any], rounds: Rounds) -> None:
        self.settings, self.specs, self.rounds = settings, specs, rounds
        self.desks = {name: Desk(addresses[name]["url"], Path(addresses["ca_bundle"])) for name in rounds.connections}
        self.entity = next(e for (c, e), m in specs.mappings.items() if c == "salesforce" and m.object == "Contact")
        self.lines: list[str] = []
        self.verdicts: list[dict[str, Any]] = []

    def tell(self) -> None:
        """Tell all chapters."""
        first, second = self._people_known_everywhere()
        edited = self._three_edits(*first)
        self._two_at_once(second[1])
        self.lines.append(f"After {self.rounds.settle()} rounds:")
        self._arrived(first[1], edited)
        self._settled(*second)
        for desk in self.desks.values():
            desk.reset_calls()
        self.rounds.last()
        made = ", ".join(f"{name} {desk.calls()}" for name, desk in self.desks.items())
        self.lines.append(f"A last round finds all equal; the CRMs counted these API calls: {made}.")

    def _three_edits(self, hub_id: UUID, records: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Edit one person in three places; return field, value and place of each."""
        phone, title, city = (self._field("salesforce", source) for source in ("Phone", "Title", "MailingCity"))
        self._edit("salesforce", records, phone, PHONE)
        self._edit("hubspot", records, title, TITLE)
        with open_context(self.settings, kind="edit") as context:
            edit(context, self.entity, hub_id, {city: CITY}, "demo")
        self.lines.append(f"Someone changes a {phone} in salesforce, a {title} in hubspot and a {city} in the hub.")
        return [(phone, PHONE, "salesforce"), (title, TITLE, "hubspot"), (city, CITY, "the hub")]

    def _two_at_once(self, records: Mapping[str, str]) -> None:
        title = self._field("salesforce", "Title")
        self._edit("salesforce", records, title, ONE_TITLE)
        self._edit("dynamics", records, title, OTHER_TITLE)
        self.lines.append(
            f"Two people change the same {title} of someone else in salesforce and in dynamics, to different values."
        )

    def _arrived(self, records: Mapping[str, str], edited: list[tuple[str, str, str]]) -> None:
        for field, value, where in edited:
            seen = self._everywhere(records, field)
            self._judge(set(seen.values()) == {value}, f"the {field} changed in {where} stands in {', '.join(seen)}")
            self.lines.append(f"  {field}: " + ", ".join(f"{name} has {found!r}" for name, found in seen.items()))

    def _settled(self, hub_id: UUID, records: Mapping[str, str]) -> None:
        title = self._field("salesforce", "Title")
        seen = set(self._everywhere(records, title).values())
        policy = self.specs.entities[self.entity].field(title).policy.value
        agreed = len(seen) == 1 and seen <= {ONE_TITLE, OTHER_TITLE}
        self._judge(agreed, f"a {title} changed in two CRMs is settled by {policy}")
        with open_context(self.settings, kind="explain") as context:
            told = explain(context, self.entity, str(hub_id), title)
        self._judge(bool(told.history), f"the {title} can be explained")
        self.lines.append(
            f"The policy {policy} settles the two: {next(iter(seen), None)!r}. `crm-sync explain` says why:"
        )
        for row in told.history[-6:]:
            self.lines.append(f"  {row['at'][:19]} {sentence(row)}")

    def _people_known_everywhere(self) -> list[tuple[UUID, dict[str, str]]]:
        """Return two golden records with their record ids, linked once in every CRM and without an open question."""
        with open_context(self.settings, kind="look") as context:
            with context.database.transaction() as conn:
                hub_ids: set[UUID] = set()
                for name, desk in self.desks.items():
                    ids = list(desk.records(self._object(name)))
                    found = links.find_links(conn, name, self.specs.mapping(name, self.entity).object, ids)
                    here = {link.hub_id for link in found.values() if link.state == "live"}
                    hub_ids = hub_ids & here if hub_ids else here
                people: dict[UUID, list[links.LinkRow]] = {}
                for link in links.links_by_hub(conn, sorted(hub_ids)):
                    people.setdefault(link.hub_id, []).append(link)
                asked = {c.link_id for c in holding.open_cells(conn, [x.link_id for v in people.values() for x in v])}
            plain = [
                (hub_id, {link.connection: link.record_id for link in rows})
                for hub_id, rows in people.items()
                if len(rows) == len(self.desks) and not any(link.link_id in asked for link in rows)
            ]
            if len(plain) >= 2:
                return plain[:2]
        raise CrmSyncError(f"No two people are known in all of {', '.join(self.desks)}; take a larger population.")

    def _everywhere(self, records: Mapping[str, str], field: str) -> dict[str, Any]:
        """Return what each CRM shows of a field."""
        seen = {}
        for name, desk in self.desks.items():
            source = self.specs.mapping(name, self.entity).field(field).source
            seen[name] = desk.records(self._object(name))[records[name]].get(source)
        return seen

    def _edit(self, connection: str, records: Mapping[str, str], field: str, value: str) -> None:
        source = self.specs.mapping(connection, self.entity).field(field).source
        self.desks[connection].edit(self._object(connection), records[connection], {source: value})

    def _field(self, connection: str, source: str) -> str:
        return next(f.field for f in self.specs.mapping(connection, self.entity).fields if f.source == source)

    def _object(self, connection: str) -> str:
        mapping = self.specs.mapping(connection, self.entity)
        return mapping.singular if self.specs.connections[connection].crm == "dynamics" else mapping.object

    def _judge(self, ok: bool, what: str) -> None:
        self.verdicts.append({"ok": ok, "what": what})
