"""One portal: everything that the endpoints, the desk and the webhooks of an emulator share."""

from __future__ import annotations

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.hubspot.association_routes import AssociationRoutes
from crm_sync.emulators.hubspot.association_types import AssociationTypes
from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.auth import Gate
from crm_sync.emulators.hubspot.batches import Batches
from crm_sync.emulators.hubspot.catalog import Catalog, declared_objects
from crm_sync.emulators.hubspot.consent import Consent
from crm_sync.emulators.hubspot.definitions import Definitions
from crm_sync.emulators.hubspot.desk import HubspotDesk
from crm_sync.emulators.hubspot.events import Events
from crm_sync.emulators.hubspot.former import Former
from crm_sync.emulators.hubspot.history import History
from crm_sync.emulators.hubspot.identity import Identity
from crm_sync.emulators.hubspot.late import Late
from crm_sync.emulators.hubspot.legacy import Legacy
from crm_sync.emulators.hubspot.legacy_engagements import LegacyEngagements
from crm_sync.emulators.hubspot.legacy_routes import LegacyRoutes
from crm_sync.emulators.hubspot.limits import Limits
from crm_sync.emulators.hubspot.metadata_routes import MetadataRoutes
from crm_sync.emulators.hubspot.object_routes import ObjectRoutes
from crm_sync.emulators.hubspot.owners import owner_ids
from crm_sync.emulators.hubspot.pipelines import Pipelines
from crm_sync.emulators.hubspot.properties import Properties
from crm_sync.emulators.hubspot.records import Records, prepare
from crm_sync.emulators.hubspot.routing import Endpoint
from crm_sync.emulators.hubspot.schemas import Schemas
from crm_sync.emulators.hubspot.search import Search
from crm_sync.emulators.hubspot.service_routes import ServiceRoutes
from crm_sync.emulators.hubspot.webhook_settings import WebhookSettings
from crm_sync.emulators.hubspot.webhooks import HubspotPolicy
from crm_sync.emulators.hubspot.writing import Writer
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State


class Portal:
    """The parts of one portal, put together."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        prepare(state)
        self.faults = faults
        self.catalog = Catalog(state, declared_objects(settings.declared))
        self.gate, self.limits, self.late = Gate(state, settings, faults), Limits(state, faults), Late(state)
        self.hooks = Hooks(state, faults, HubspotPolicy(state, settings.client_secret), settings.ca_bundle)
        events = Events(state, self.catalog, self.hooks)
        types = AssociationTypes(state, self.catalog)
        associations = Associations(state, self.catalog, types, events)
        pipelines = Pipelines(state, self.catalog)
        definitions = Definitions(state, self.catalog, pipelines)

        def picks(object: str, kind: str) -> list[str] | None:
            return owner_ids() if kind == "owner" else pipelines.values(object, kind)

        records = Records(state, self.catalog, History(state), Identity(state))
        properties = Properties(self.catalog, picks)
        former = Former(state)
        writer = Writer(records, properties, associations, pipelines, events, self.late, former, faults)
        self.desk = HubspotDesk(records, writer, associations)
        self._objects = ObjectRoutes(
            records, writer, Batches(records, writer, faults), Search(records, former, faults), associations
        )
        self._associations = AssociationRoutes(records, associations)
        self._metadata = MetadataRoutes(state, definitions, pipelines, Schemas(state, self.catalog, definitions, types))
        self._legacy = LegacyRoutes(records, writer, Legacy(records, associations, pipelines), definitions, self.limits)
        self._old_engagements = LegacyEngagements(records, writer, associations)
        self._services = ServiceRoutes(
            state, self.gate, self.limits, Consent(state, writer), WebhookSettings(state, self.hooks)
        )

    def endpoints(self) -> list[Endpoint]:
        """Return all endpoints, those that are called most first; of several that match a path the first counts."""
        return [
            *self._objects.table(), *self._services.table(), *self._metadata.table(), *self._associations.table(),
            *self._legacy.table(), *self._old_engagements.table(),
        ]  # fmt: skip
