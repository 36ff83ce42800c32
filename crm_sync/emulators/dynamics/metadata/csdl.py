"""Write $metadata: the service's types as CSDL XML (OData 4.0), with every table, column, relationship and action.

Lookups are `_x_value` with a ReferentialConstraint from their navigation property; systemuser derives from principal,
whose key is ownerid (Web API guide, Service documents).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import quoteattr

from crm_sync.emulators.dynamics.tables import LOOKUPS, Column, ManyToMany, OneToMany, Table, Tables

EDMX: Final = "http://docs.oasis-open.org/odata/ns/edmx"
EDM: Final = "http://docs.oasis-open.org/odata/ns/edm"
TYPES: Final = {
    "Boolean": "Edm.Boolean",
    "DateTime": "Edm.DateTimeOffset",
    "Integer": "Edm.Int32",
    "BigInt": "Edm.Int64",
    "Picklist": "Edm.Int32",
    "State": "Edm.Int32",
    "Status": "Edm.Int32",
    "Money": "Edm.Decimal",
    "Decimal": "Edm.Decimal",
    "Double": "Edm.Double",
    "Uniqueidentifier": "Edm.Guid",
}
MULTIPLE: Final = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")
FIXED: Final = """\
<EntityType Name="crmbaseentity" Abstract="true" />
<EntityType Name="principal" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="ownerid" /></Key>\
<Property Name="ownerid" Type="Edm.Guid" /></EntityType>
<ComplexType Name="WhoAmIResponse"><Property Name="BusinessUnitId" Type="Edm.Guid" Nullable="false" />\
<Property Name="UserId" Type="Edm.Guid" Nullable="false" />\
<Property Name="OrganizationId" Type="Edm.Guid" Nullable="false" /></ComplexType>
<ComplexType Name="CreateMultipleResponse"><Property Name="Ids" Type="Collection(Edm.Guid)" /></ComplexType>
<Function Name="WhoAmI"><ReturnType Type="mscrm.WhoAmIResponse" Nullable="false" /></Function>
<Action Name="Merge"><Parameter Name="Target" Type="mscrm.crmbaseentity" Nullable="false" />\
<Parameter Name="Subordinate" Type="mscrm.crmbaseentity" Nullable="false" />\
<Parameter Name="UpdateContent" Type="mscrm.crmbaseentity" />\
<Parameter Name="PerformParentingChecks" Type="Edm.Boolean" Nullable="false" /></Action>
<Action Name="CloseIncident"><Parameter Name="IncidentResolution" Type="mscrm.incidentresolution" Nullable="false" />\
<Parameter Name="Status" Type="Edm.Int32" Nullable="false" /></Action>
"""


def csdl(tables: Tables) -> str:
    """Return the document."""
    names = tables.names
    types = "\n".join("".join(_entity(tables, tables.table(name))) for name in names)
    actions = "\n".join(_actions(tables.table(name)) for name in names)
    sets = "\n".join(_set(tables, tables.table(name)) for name in names)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<edmx:Edmx Version="4.0" xmlns:edmx="{EDMX}"><edmx:DataServices>\n'
        f'<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="{EDM}">\n'
        f"{FIXED}{types}\n{actions}\n"
        f'<EntityContainer Name="System">\n{sets}\n<FunctionImport Name="WhoAmI" Function="mscrm.WhoAmI" />\n'
        '<ActionImport Name="Merge" Action="mscrm.Merge" />\n'
        '<ActionImport Name="CloseIncident" Action="mscrm.CloseIncident" />\n'
        "</EntityContainer>\n</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _entity(tables: Tables, table: Table) -> Iterator[str]:
    derived = table.logical == "systemuser"
    base = "mscrm.principal" if derived else "mscrm.crmbaseentity"
    yield f'<EntityType Name="{table.logical}" BaseType="{base}">'
    if not derived:
        yield f'<Key><PropertyRef Name="{table.id}" /></Key>'
    for column in table.columns.values():
        if not (derived and column.name == "ownerid"):
            yield _property(column)
    for navigation, (column, target) in table.navigation.items():
        yield _single(tables, navigation, column, target)
    for name, link in tables.collections(table.logical).items():
        yield _collection(table, name, link)
    yield "</EntityType>"


def _property(column: Column) -> str:
    kind = "Edm.Guid" if column.kind in LOOKUPS else TYPES.get(column.kind, "Edm.String")
    if column.kind == "DateTime" and column.date_only:
        kind = "Edm.Date"
    scale = ' Scale="Variable"' if kind == "Edm.Decimal" else ""
    unicode = ' Unicode="false"' if kind == "Edm.String" else ""
    return f'<Property Name={quoteattr(column.name)} Type="{kind}"{unicode}{scale} />'


def _single(tables: Tables, navigation: str, column: Column, target: str) -> str:
    collection = column.declaration.extra.get("collections", {}).get(target)
    partner = f" Partner={quoteattr(collection)}" if collection else ""
    key = tables.table(target).id
    return (
        f'<NavigationProperty Name={quoteattr(navigation)} Type="mscrm.{target}" Nullable="false"{partner}>'
        f'<ReferentialConstraint Property={quoteattr(column.name)} ReferencedProperty="{key}" /></NavigationProperty>'
    )


def _collection(table: Table, name: str, link: OneToMany | ManyToMany) -> str:
    if isinstance(link, OneToMany):
        kind, partner = link.referencing, link.navigation
    else:
        kind, partner = link.other(table.logical), name
    return f'<NavigationProperty Name={quoteattr(name)} Type="Collection(mscrm.{kind})" Partner={quoteattr(partner)} />'


def _actions(table: Table) -> str:
    rows = f'<Parameter Name="entityset" Type="Collection(mscrm.{table.logical})" Nullable="false" />'
    targets = f'<Parameter Name="Targets" Type="Collection(mscrm.{table.logical})" Nullable="false" />'
    returned = {"CreateMultiple": '<ReturnType Type="mscrm.CreateMultipleResponse" Nullable="false" />'}
    return "".join(
        f'<Action Name="{name}" IsBound="true">{rows}{targets}{returned.get(name, "")}</Action>' for name in MULTIPLE
    )


def _set(tables: Tables, table: Table) -> str:
    binds = [
        f'<NavigationPropertyBinding Path={quoteattr(name)} Target="{tables.table(target).set_name}" />'
        for name, (_, target) in table.navigation.items()
    ]
    for name, link in tables.collections(table.logical).items():
        far = link.referencing if isinstance(link, OneToMany) else link.other(table.logical)
        binds.append(f'<NavigationPropertyBinding Path={quoteattr(name)} Target="{tables.table(far).set_name}" />')
    return f'<EntitySet Name="{table.set_name}" EntityType="mscrm.{table.logical}">{"".join(binds)}</EntitySet>'
