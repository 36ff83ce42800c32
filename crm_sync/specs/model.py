"""The rules of config/ as frozen dataclasses: entity specs, mapping specs, connections.

Belongs here: the shape of the rules and look-ups on them. Not here: reading files (loader.py), applying rules (steps/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import StrEnum


class FieldType(StrEnum):
    TEXT = "text"
    LONG_TEXT = "long_text"
    EMAIL = "email"
    PHONE = "phone"
    PICKLIST = "picklist"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    NUMBER = "number"
    REFERENCE = "reference"


class Policy(StrEnum):
    """Who wins a conflict. MOST_RESTRICTIVE is for consent flags: the value named `restrictive` wins."""

    LAST_WRITE_WINS = "last_write_wins"
    FIELD_MERGE = "field_merge"
    MANUAL_REVIEW = "manual_review"
    MOST_RESTRICTIVE = "most_restrictive"


class OnFirstLink(StrEnum):
    PRIORITY = "priority"
    REVIEW = "review"


class OnInbound(StrEnum):
    """What an inbound change of a lossy field does to the fuller value in the hub."""

    REPLACE = "replace"
    REVIEW = "review"
    IGNORE = "ignore"


class Direction(StrEnum):
    BOTH = "both"
    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of an entity.

    `priority` lists connections (and "hub") from strongest to weakest, for `field_merge`, ties of `last_write_wins`
    and first
    links; connections not listed rank behind, in the order of connections.yaml. `restrictive` is the canonical text
    that wins
    under MOST_RESTRICTIVE ("b:1"). `pii` fields are only ever stored encrypted; others may stand in clear columns.
    """

    name: str
    type: FieldType
    pii: bool = True
    required: bool = False
    max_length: int | None = None
    values: tuple[str, ...] = ()
    target: str | None = None
    policy: Policy = Policy.LAST_WRITE_WINS
    priority: tuple[str, ...] = ()
    on_first_link: OnFirstLink = OnFirstLink.PRIORITY
    restrictive: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One part of a match key: a field and the named normaliser applied to it (see steps/matching)."""

    field: str
    normaliser: str


@dataclass(frozen=True, slots=True)
class MatchRule:
    """All `parts` must be filled and equal after normalisation; a `veto` field filled on both sides and different
    forbids it.

    A rule with `outcome: review` never links by itself: it opens a review.
    """

    name: str
    parts: tuple[KeyPart, ...]
    veto: tuple[KeyPart, ...] = ()
    outcome: str = "link"

    @property
    def key(self) -> str:
        """Name what the rule compares, whatever it is called: a renamed rule finds the match keys of its old name."""
        return "+".join(f"{p.field}:{p.normaliser}" for p in self.parts)


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """An entity: its fields in file order (vectors and bitmaps follow this order) and its match rules, strongest
    first."""

    name: str
    version: int
    fields: tuple[FieldSpec, ...]
    match_rules: tuple[MatchRule, ...] = ()
    description: str = ""
    owner: str = ""

    def field(self, name: str) -> FieldSpec:
        """Return the field of that name; KeyError where there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    @property
    def references(self) -> tuple[FieldSpec, ...]:
        return tuple(f for f in self.fields if f.type is FieldType.REFERENCE)


@dataclass(frozen=True, slots=True)
class Association:
    """A reference that this CRM keeps as an association, not as a field (HubSpot contact -> company)."""

    to_object: str
    type_id: int
    category: str = "HUBSPOT_DEFINED"
    label_type_id: int | None = None


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """One field <-> one source field.

    `source` is the CRM's field name, or for an association "associations.<to_object>". `transform` names a transform of
    steps/mapping; `options` are its arguments (`max_length`, `values` = canonical -> CRM value, `invert`, `region`,
    ...).
    `bind` is the name by which the CRM takes the reference on write where it differs (Dataverse
    "parentcustomerid_account"), `target_object` the CRM object that the reference points to.
    `provision`: the field is ours; `crm-sync provision` creates it where it is missing.
    """

    field: str
    source: str
    transform: str
    direction: Direction = Direction.BOTH
    options: Mapping[str, object] = dataclass_field(default_factory=dict)
    on_inbound: OnInbound = OnInbound.REPLACE
    association: Association | None = None
    bind: str | None = None
    target_object: str | None = None
    provision: bool = False
    lossy: bool = False


@dataclass(frozen=True, slots=True)
class ScopeRule:
    """A record is in scope when every rule holds: `source` <operator> `values`. Operators: is, is_not, filled,
    empty."""

    source: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """How one entity lives in one CRM object.

    `object` is the API name used in paths (Contact, contacts), `singular` the logical name where it differs (Dataverse
    "contact"). `id_field`, `stamp_field`, `external_key`: source field names of the record id, the modification stamp,
    and
    our own unique key field that holds the hub id. `create`: may we create records there.
    """

    crm: str
    entity: str
    object: str
    singular: str
    version: int
    id_field: str
    stamp_field: str
    external_key: str
    fields: tuple[FieldMapping, ...]
    scope: tuple[ScopeRule, ...] = ()
    create: bool = True

    def field(self, name: str) -> FieldMapping:
        """Return the mapping of that entity field; KeyError where it is not mapped."""
        for candidate in self.fields:
            if candidate.field == name:
                return candidate
        raise KeyError(name)

    @property
    def mapped(self) -> tuple[str, ...]:
        return tuple(f.field for f in self.fields)

    @property
    def source_fields(self) -> tuple[str, ...]:
        """Source names to read, associations and technical fields not included."""
        names = [f.source for f in self.fields if f.association is None]
        names += [s.source for s in self.scope]
        return tuple(dict.fromkeys(names))

    @property
    def associations(self) -> tuple[FieldMapping, ...]:
        return tuple(f for f in self.fields if f.association is not None)


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """One configured CRM account.

    `address_env` and the values of `secrets_env` name environment variables; `secrets_env` keys depend on `auth`
    (client_credentials: client_id, client_secret [, tenant]; token: token; refresh_token: client_id, client_secret,
    refresh_token). `interval_seconds` drives the schedule; `limits` are requests per window for the budget.
    `drift_threshold` is the share of records that a reconciliation may find drifting before its check fails.
    """

    name: str
    crm: str
    auth: str
    address_env: str
    secrets_env: Mapping[str, str]
    mappings: str
    entities: tuple[str, ...]
    enabled: bool = True
    interval_seconds: int = 300
    drift_threshold: float = 0.005
    region: str = "US"
    options: Mapping[str, object] = dataclass_field(default_factory=dict)
    requests_per_window: int | None = None
    window_seconds: float = 10.0
    max_concurrent: int = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where rules stand: a rule file, relative to config/, and the line of each of its keys ("" is the whole)."""

    file: str
    lines: Mapping[str, int] = dataclass_field(default_factory=dict)

    def line(self, *keys: str) -> int:
        """Return the line of the first of `keys` that the file has, else of the whole, else 0."""
        return next((self.lines[key] for key in (*keys, "") if key in self.lines), 0)


@dataclass(frozen=True, slots=True)
class SpecSet:
    """All rules together. `entities` is ordered so that the target of a reference comes before who refers to it."""

    entities: Mapping[str, EntitySpec]
    connections: Mapping[str, ConnectionSpec]
    mappings: Mapping[tuple[str, str], MappingSpec]
    """Keyed by (connection name, entity name)."""
    places: Mapping[tuple[str, str], Place] = dataclass_field(default_factory=dict, compare=False)
    """(connection, entity) -> its mapping file: "field", "field.<key>", "field.values.<word>", ".<key>",
    ".scope.<source>"; (connection, "") -> connections.yaml: "<connection>", "<connection>.address", ..."""

    def place(self, connection: str, entity: str = "") -> Place:
        """Return where a mapping, or without an entity a connection, was read from."""
        return self.places.get((connection, entity), Place("connections.yaml"))

    def mapping(self, connection: str, entity: str) -> MappingSpec:
        """Return how `entity` lives in `connection`; KeyError where it is not mapped there."""
        return self.mappings[(connection, entity)]

    def priority(self, field: FieldSpec) -> dict[str, int]:
        """Return the rank of every source for a field, 0 the strongest; "hub" ranks last unless listed."""
        order = list(field.priority)
        order += [c for c in self.connections if c not in order]
        if "hub" not in order:
            order.append("hub")
        return {name: rank for rank, name in enumerate(order)}
