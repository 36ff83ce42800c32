"""Show relationships as metadata, and create those that clients define."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration, Schema
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.metadata.attributes import SCHEMA_NAME
from crm_sync.emulators.dynamics.metadata.shapes import TYPE, label_text, metadata_id
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported, payload_error
from crm_sync.emulators.dynamics.tables import ManyToMany, OneToMany, Tables
from crm_sync.emulators.state import State


class Relationships:
    """The relationships of one environment."""

    def __init__(self, state: State, schema: Schema, tables: Tables, keys: Keys) -> None:
        self._state = state
        self._schema = schema
        self._tables = tables
        self._keys = keys

    def one_to_many(self, logical: str) -> list[dict[str, Any]]:
        """Return the relationships in which a table is referenced."""
        found = self._tables.collections(logical).values()
        return [self.row(one) for one in found if isinstance(one, OneToMany)]

    def many_to_one(self, logical: str) -> list[dict[str, Any]]:
        """Return the relationships by which a table points to others."""
        out: list[dict[str, Any]] = []
        for target in dict.fromkeys(target for _, target in self._tables.table(logical).navigation.values()):
            found = self._tables.collections(target).values()
            out += [self.row(one) for one in found if isinstance(one, OneToMany) and one.referencing == logical]
        return out

    def many_to_many(self, logical: str) -> list[dict[str, Any]]:
        """Return the N:N relationships of a table."""
        return [self.row(one) for one in self._tables.links.values() if logical in (one.entity1, one.entity2)]

    def all(self) -> list[dict[str, Any]]:
        """Return every relationship once."""
        rows = [row for logical in self._tables.names for row in self.one_to_many(logical)]
        return rows + [self.row(one) for one in self._tables.links.values()]

    def row(self, one: OneToMany | ManyToMany) -> dict[str, Any]:
        """Return a relationship's definition."""
        kind = "OneToMany" if isinstance(one, OneToMany) else "ManyToMany"
        row: dict[str, Any] = {
            "@odata.type": f"#{TYPE}{kind}RelationshipMetadata",
            "MetadataId": metadata_id(f"relationship:{one.schema_name}"),
            "SchemaName": one.schema_name,
            "RelationshipType": f"{kind}Relationship",
            "IsCustomRelationship": "_" in one.schema_name and one.schema_name.split("_")[0] in ("new", "cr"),
            "IsManaged": False,
            "IsValidForAdvancedFind": True,
            "SecurityTypes": "Append",
        }
        if isinstance(one, OneToMany):
            return row | self._one_row(one)
        return row | {
            "Entity1LogicalName": one.entity1,
            "Entity2LogicalName": one.entity2,
            "Entity1IntersectAttribute": self._tables.table(one.entity1).id,
            "Entity2IntersectAttribute": self._tables.table(one.entity2).id,
            "Entity1NavigationPropertyName": one.schema_name,
            "Entity2NavigationPropertyName": one.schema_name,
            "IntersectEntityName": one.intersect,
        }

    def _one_row(self, one: OneToMany) -> dict[str, Any]:
        on_delete = one.column.declaration.extra.get("on_delete", "RemoveLink")
        return {
            "ReferencedEntity": one.referenced,
            "ReferencedAttribute": self._tables.table(one.referenced).id,
            "ReferencedEntityNavigationPropertyName": one.collection,
            "ReferencingEntity": one.referencing,
            "ReferencingAttribute": one.column.logical,
            "ReferencingEntityNavigationPropertyName": one.navigation,
            "IsHierarchical": False,
            "CascadeConfiguration": {
                "Assign": "NoCascade",
                "Delete": on_delete,
                "Merge": "Cascade" if one.column.kind == "Customer" else "NoCascade",
                "Reparent": "NoCascade",
                "Share": "NoCascade",
                "Unshare": "NoCascade",
            },
        }

    def create(self, call: Call) -> Answer:
        """POST a relationship: a lookup and its collection, or an intersect table."""
        body = call.json()
        kind = str(body.get("@odata.type", "")).lstrip("#").removeprefix(TYPE).removesuffix("RelationshipMetadata")
        name = str(body.get("SchemaName", ""))
        if not SCHEMA_NAME.fullmatch(name):
            raise ODataError(400, "0x80047013", "The SchemaName of a relationship needs a valid customization prefix.")
        if any(row["SchemaName"] == name for row in self.all()):
            raise ODataError(400, "0x80047013", f"A relationship {name} exists already.")
        if kind == "OneToMany":
            self._create_lookup(name, body)
        elif kind == "ManyToMany":
            self._create_link(name, body)
        else:
            raise Unsupported(f"creating relationships of the type {body.get('@odata.type')}")
        where = f"{call.root}RelationshipDefinitions({metadata_id(f'relationship:{name}')})"
        return Answer(204, b"", {"OData-EntityId": where})

    def _create_lookup(self, name: str, body: dict[str, Any]) -> None:
        lookup = body.get("Lookup")
        target, table = str(body.get("ReferencedEntity")), str(body.get("ReferencingEntity"))
        if not isinstance(lookup, dict) or not SCHEMA_NAME.fullmatch(str(lookup.get("SchemaName"))):
            raise payload_error("A OneToManyRelationship needs a Lookup with a SchemaName.")
        self._known(target)
        self._known(table)
        schema_name = str(lookup["SchemaName"])
        if schema_name.lower() in self._schema.fields(table):
            raise ODataError(400, "0x80047013", f"Attribute {schema_name.lower()} already exists for entity {table}.")
        extra = {
            "schema_name": schema_name,
            "custom": True,
            "navigation": {schema_name: target},
            "collections": {target: name},
            "on_delete": (body.get("CascadeConfiguration") or {}).get("Delete", "RemoveLink"),
        }
        text = label_text(lookup.get("DisplayName")) or schema_name
        self._schema.add_field(table, FieldDeclaration(schema_name.lower(), "Lookup", label=text, extra=extra))
        self._keys.redefined(table)

    def _create_link(self, name: str, body: dict[str, Any]) -> None:
        one, two = str(body.get("Entity1LogicalName")), str(body.get("Entity2LogicalName"))
        self._known(one)
        self._known(two)
        link = {
            "schema_name": name,
            "entity1": one,
            "entity2": two,
            "intersect": str(body.get("IntersectEntityName") or name.lower()),
        }
        self._state.set_meta(f"link:{name}", link)
        self._tables.links[name] = ManyToMany(**link)

    def _known(self, logical: str) -> None:
        if logical not in self._tables.names:
            raise ODataError(404, "0x80060888", f"The entity with a name = '{logical}' was not found")
