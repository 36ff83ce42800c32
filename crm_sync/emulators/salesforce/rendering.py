"""Show records as JSON: the fields that were asked for, parents nested, in the order of the question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.moments import stamp
from crm_sync.emulators.salesforce.reading import CREATED, DELETED, DOC, ID, MERGED, MODIFIED, Row, fetch
from crm_sync.emulators.salesforce.schema import ADDRESS_PARTS, USER_FIELDS, Org, relationship_name, targets

Getter = Callable[[Row, Mapping[str, Any]], Any]
NAME_FIELDS = {
    name: FieldDeclaration(name, type_, label=name, read_only=True)
    for name, type_ in (
        ("Id", "id"), ("Name", "string"), ("Type", "string"), ("FirstName", "string"), ("LastName", "string"),
        ("Email", "email"), ("Phone", "phone"), ("Title", "string"), ("Alias", "string"), ("Username", "string"),
    )
}  # fmt: skip
"""What is known of a parent that may be of several objects (source: Object Reference, Name)."""


def whole_name(values: Mapping[str, Any]) -> str | None:
    """Return first and last name as one."""
    return " ".join(part for part in (values.get("FirstName"), values.get("LastName")) if part) or None


def address(field: FieldDeclaration) -> Getter:
    """Return the getter of a compound address."""
    prefix = field.name.removesuffix("Address")
    names = {part[0].lower() + part[1:]: prefix + part for part in ADDRESS_PARTS}

    def show(row: Row, values: Mapping[str, Any]) -> dict[str, Any] | None:
        parts = {key: values.get(name) for key, name in names.items()}
        if not any(parts.values()):
            return None
        return {**parts, "geocodeAccuracy": None, "latitude": None, "longitude": None}

    return show


def getter(field: FieldDeclaration) -> Getter | None:
    """Return how a field is read; None where the document holds it as it is shown."""
    name = field.name
    special: dict[str, Getter] = {
        "Id": lambda row, values: row[ID],
        "IsDeleted": lambda row, values: bool(row[DELETED]),
        "MasterRecordId": lambda row, values: row[MERGED],
        "CreatedDate": lambda row, values: stamp(row[CREATED]),
        "LastModifiedDate": lambda row, values: stamp(row[MODIFIED]),
        "SystemModstamp": lambda row, values: stamp(row[MODIFIED]),
    }
    if name in special:
        return special[name]
    if field.extra.get("computed"):
        return lambda row, values: whole_name(values)
    if name in USER_FIELDS:
        user = ids.lengthen(ids.USER)
        return lambda row, values: values.get(name) or user
    if field.type == "boolean":
        return lambda row, values: bool(values.get(name))
    if field.type == "address":
        return address(field)
    return None


class Shape:
    """What is shown of the records of one object."""

    def __init__(self, org: Org, sobject: str, base: str, kind: str | None = None) -> None:
        """Start empty; `kind` is the word in the attributes where it is not the object's name."""
        self.org, self.sobject = org, sobject
        self.kind = kind or sobject
        self.url = f"{base}/sobjects/{sobject}/"
        self.base = base
        self.blank: dict[str, Any] = {"attributes": None}
        self.plain: list[str] = []
        self.special: list[tuple[str, Getter]] = []
        self.parents: dict[str, tuple[Getter, dict[str, Shape]]] = {}
        self.via: list[tuple[str, Getter, Shape]] = []

    def add(self, path: Sequence[FieldDeclaration], shown: str | None = None) -> None:
        """Show a field, or a parent's field along references."""
        first = path[0]
        if len(path) > 1:
            self.parent(first, path[1:])
            return
        name = shown or first.name
        self.blank[name] = None
        if first.extra.get("via"):
            reference, _, field = str(first.extra["via"]).partition(".")
            source = self.org.fields(self.sobject)[reference]
            target = Shape(self.org, targets(source)[0], self.base)
            target.add((self.org.schema.fields(target.sobject)[field],), "value")
            self.via.append((name, read(source), target))
            return
        found = getter(first)
        if found is not None:
            self.special.append((name, found))
        elif name == first.name:
            self.plain.append(name)
        else:
            self.special.append((name, read(first)))

    def add_label(self, field: FieldDeclaration) -> None:
        """Show a picklist value by its label, as toLabel does."""
        self.blank[field.name] = None
        self.special.append((field.name, lambda row, values: label_of(field, values.get(field.name))))

    def parent(self, reference: FieldDeclaration, rest: Sequence[FieldDeclaration]) -> None:
        relation = relationship_name(reference)
        self.blank.setdefault(relation, None)
        several = targets(reference)
        if relation not in self.parents:
            kind = "Name" if len(several) > 1 else None
            shapes = {target: Shape(self.org, target, self.base, kind) for target in several}
            self.parents[relation] = (read(reference), shapes)
        for shape in self.parents[relation][1].values():
            shape.add_named(rest[0]) if len(several) > 1 else shape.add(rest)

    def add_named(self, field: FieldDeclaration) -> None:
        """Show what every parent has that may be of several objects; null where this one has no such field."""
        self.blank[field.name] = None
        if field.name == "Type":
            self.special.append(("Type", lambda row, values: self.sobject))
            return
        name = str(self.org.label(self.sobject, "name_field")) if field.name == "Name" else field.name
        own = self.org.field(self.sobject, name)
        if own is not None:
            self.add((own,), field.name)

    def rows(self, records: Iterable[Row]) -> list[dict[str, Any]]:
        """Return records as the selection wants them."""
        kind, url, blank, plain, special = self.kind, self.url, self.blank, self.plain, self.special
        decode = orjson.loads
        out = []
        links: list[tuple[Row, dict[str, Any]]] = []
        for record in records:
            values = decode(record[DOC])
            row = blank.copy()
            row["attributes"] = {"type": kind, "url": url + record[ID]}
            get = values.get
            for name in plain:
                row[name] = get(name)
            for name, show in special:
                row[name] = show(record, values)
            out.append(row)
            if self.parents or self.via:
                links.append((record, values))
        if links:
            self.link(out, links)
        return out

    def link(self, out: list[dict[str, Any]], links: Sequence[tuple[Row, Mapping[str, Any]]]) -> None:
        """Nest parents, each fetched once for all rows."""
        for name, reference, target in self.via:
            found = target.by_id([reference(*link) for link in links])
            for row, link in zip(out, links, strict=True):
                parent = found.get(reference(*link))
                row[name] = parent["value"] if parent else None
        for relation, (reference, shapes) in self.parents.items():
            wanted = [reference(*link) for link in links]
            found = {}
            for sobject, shape in shapes.items():
                found |= shape.by_id([one for one in wanted if self.org.prefix_object(one or "") == sobject])
            for row, one in zip(out, wanted, strict=True):
                row[relation] = found.get(one)

    def by_id(self, wanted: Iterable[str | None]) -> dict[str | None, dict[str, Any]]:
        """Return records by id, as this shape shows them."""
        records = fetch(self.org.state, self.sobject, {one for one in wanted if one})
        return dict(zip(records, self.rows(records.values()), strict=True))


def label_of(field: FieldDeclaration, value: Any) -> Any:
    """Return the label of a picklist value; the value itself where it has none."""
    return field.options.get(str(value), value)


def read(field: FieldDeclaration) -> Getter:
    """Return the getter of any field of its own."""
    name = field.name
    return getter(field) or (lambda row, values: values.get(name))


def all_fields(org: Org, sobject: str, base: str) -> Shape:
    """Return the shape that shows everything."""
    shape = Shape(org, sobject, base)
    for field in org.fields(sobject).values():
        shape.add((field,))
    return shape
