"""JSON Schemas (draft 2020-12) of the rule files, by which editors complete and check them while one types.

Belongs here: what one file can be judged by alone, made from the words and bounds that the loader itself uses.
Not here: what needs other files or the whole file (the loader finds it: `crm-sync check`), writing files (cli).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from crm_sync.specs.connections import FASTEST_SECONDS, SLOWEST_SECONDS
from crm_sync.specs.entities import RESERVED, TEXTUAL
from crm_sync.specs.model import Direction, FieldType, OnFirstLink, OnInbound, Policy
from crm_sync.specs.reading import NAME, SOURCE, VARIABLE
from crm_sync.specs.vocabulary import AUTHS, AUTHS_OF_KIND, HUB, KINDS, NORMALISERS, OPERATORS, OUTCOMES, TRANSFORMS

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_LONGEST: Final = 1_000_000


def schemas() -> dict[str, Schema]:
    """Return the schemas by name: entity, mapping, connections."""
    return {"entity": _entity(), "mapping": _mapping(), "connections": _connections()}


def schema_reference(file: str) -> str:
    """Return where a rule file finds its schema: entities/contact.yaml -> ../schema/entity.json."""
    kind = {"entities": "entity", "mappings": "mapping"}.get(file.partition("/")[0], "connections")
    return "../" * file.count("/") + f"schema/{kind}.json"


def _entity() -> Schema:
    field = _field()
    rule = _section(
        {
            "name": _text("What this rule is called in the audit."),
            "keys": _keys("Fields that must all be filled and equal, and how they are made comparable."),
            "veto": _keys("Fields that forbid a link where both sides are filled and differ."),
            "outcome": _word(OUTCOMES, "link, or review: a person decides."),
        },
        required=("name", "keys"),
    )
    properties = {
        "entity": _text("The name of the file.", NAME),
        "version": _whole("Raise it with every change of meaning.", 1),
        "owner": _text("Who answers for these rules."),
        "description": _text("What one record is."),
        "fields": {
            "description": "The fields, in the order of the hub's records.",
            "type": "object",
            "minProperties": 1,
            "propertyNames": {**_pattern(NAME), "not": {"enum": sorted(RESERVED)}},
            "additionalProperties": field,
        },
        "match": {"description": "When two records are one; the strongest rule first.", "type": "array", "items": rule},
    }
    return _file("A kind of record that all sides agree on", properties, ("entity", "fields"))


def _field() -> Schema:
    field = _section(
        {
            "type": _word(FieldType, "What a value is."),
            "pii": _flag("Tells something about a person, so it is only ever stored encrypted (the default)."),
            "required": _flag("A record without it is put in quarantine."),
            "max_length": _whole("Characters; longer values are put in quarantine.", 1, _LONGEST),
            "values": _words("The values of a picklist, in our words."),
            "target": _text("The entity that a reference points to."),
            "policy": _word(Policy, "Who wins when two sides changed it."),
            "priority": _words(f"Connections from strongest to weakest; the hub is called {HUB}."),
            "on_first_link": _word(OnFirstLink, "Who wins when two records that exist are linked for the first time."),
            "restrictive": {
                "description": "The value that wins under most_restrictive.",
                "type": ["boolean", "string"],
            },
            "description": _text("What the field means."),
        },
        required=("type",),
    )
    type_ = FieldType.PICKLIST.value, FieldType.REFERENCE.value
    field["allOf"] = [
        _when("type", [type_[0]], then=_needs("values"), otherwise=_without("values")),
        _when("type", [type_[1]], then=_needs("target"), otherwise=_without("target")),
        _when("type", sorted(kind.value for kind in TEXTUAL), then={}, otherwise=_without("max_length")),
        _when("policy", [Policy.FIELD_MERGE.value], then=_needs("priority")),
        _when("policy", [Policy.MOST_RESTRICTIVE.value], then=_needs("restrictive"), otherwise=_without("restrictive")),
    ]
    return field


def _mapping() -> Schema:
    rule = _section(
        {
            "source": _source("The CRM's field that decides."),
            "operator": _word(OPERATORS, "How it is compared."),
            "values": {
                "description": "For is and is_not: one of these.",
                "type": "array",
                "items": {"type": ["string", "number", "boolean"]},
            },
        },
        required=("source", "operator"),
    )
    rule["allOf"] = [_when("operator", ["is", "is_not"], then=_needs("values"))]
    properties = {
        "entity": _text("The name of the file.", NAME),
        "version": _whole("Raise it with every change of meaning.", 1),
        "object": _source("The CRM's object, as its paths name it."),
        "singular": _source("Its logical name, where that differs."),
        "id_field": _source("The field of the record id."),
        "stamp_field": _source("The field of the time of the last change."),
        "external_key": _source("Our own unique field, which holds the hub's id; `crm-sync provision` creates it."),
        "create": _flag("May we create records there? The default is yes."),
        "scope": {"description": "Records are ours where every rule holds.", "type": "array", "items": rule},
        "fields": {
            "description": "Our field -> the CRM's field.",
            "type": "object",
            "propertyNames": _pattern(NAME),
            "additionalProperties": _mapped(),
        },
    }
    needed = ("entity", "object", "id_field", "stamp_field", "external_key", "fields")
    return _file("How an entity lives in one CRM", properties, needed)


def _mapped() -> Schema:
    association = _section(
        {
            "type_id": _whole("The CRM's number of the association's type.", 1),
            "label_type_id": _whole("The number of its label, such as the primary company.", 1),
            "category": _text("Whose type it is; HUBSPOT_DEFINED unless told."),
        },
        required=("type_id",),
    )
    structure: dict[str, Schema] = {
        "source": _source("The CRM's field, or associations.<object>."),
        "transform": _word(TRANSFORMS, "How a value is converted; the field's type decides unless told."),
        "direction": _word(Direction, "both (the default), in: only read, out: only written."),
        "on_inbound": _word(OnInbound, "What a change there does to the fuller value in the hub, where this loses."),
        "association": {**association, "description": "For a reference that the CRM keeps as an association."},
        "bind": _source("The name by which a reference is written, where it differs."),
        "target_object": _source("The CRM's object that a reference points to."),
        "provision": _flag("The field is ours: `crm-sync provision` creates it where it is missing."),
    }
    options = _options()
    offered = {option for word in TRANSFORMS.values() for option in word.options}
    mapped = _section(structure | options, required=("source",))
    mapped["allOf"] = [
        _when("transform", [name], then=_without(*sorted(offered - word.options)))
        for name, word in TRANSFORMS.items()
        if offered - word.options
    ]
    return mapped


def _options() -> dict[str, Schema]:
    value: Schema = {"type": ["string", "integer"]}
    return {
        "max_length": _whole("Characters that the CRM holds; longer texts are cut when written.", 1, _LONGEST),
        "values": {
            "description": "Our word -> the CRM's value, or several: all are read, the first is written.",
            "type": "object",
            "additionalProperties": {"anyOf": [value, {"type": "array", "minItems": 1, "items": value}]},
        },
        "default": _text("Our word for a value there that none has."),
        "unmapped": _word(("refuse", "ignore"), "What a value there that none has does; without it, it is refused."),
        "invert": _flag("Their true is our false."),
        "empty": _flag("What null there means to us."),
        "as": _word(("text",), "Written as a text."),
        "region": _region("The country of phone numbers without a country code."),
        "places": _whole("Digits after the point; more are rounded when written.", 0, 10),
        "truncate": _word(("seconds", "milliseconds"), "How fine times are written."),
    }


def _connections() -> Schema:
    needed = sorted({secret for must, may in AUTHS.values() for secret in must | may})
    variable = _pattern(VARIABLE)
    limits = _section(
        {
            "requests_per_window": _whole("Calls in one window.", 1),
            "window_seconds": {
                "description": "How long a window is.",
                "type": "number",
                "minimum": 0.1,
                "maximum": 86_400,
            },
            "max_concurrent": _whole("Calls at one time.", 1, 64),
        }
    )
    connection = _section(
        {
            "crm": _word(KINDS, "The kind of CRM."),
            "enabled": _flag("false: leave this account alone for now."),
            "mappings": _text("The directory under mappings/ that says which field is which.", NAME),
            "entities": _words("What is kept equal there."),
            "interval_seconds": _whole("How often changes are read.", FASTEST_SECONDS, SLOWEST_SECONDS),
            "drift_threshold": {
                "description": "The share of records that may differ unexplained before an alarm.",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
            },
            "region": _region("The country of phone numbers written without a country code."),
            "auth": _word(AUTHS, "How we sign in."),
            "address_env": {**variable, "description": "The NAME of the variable that holds the base address."},
            "secrets_env": {
                **_section(dict.fromkeys(needed, variable)),
                "description": "Secret -> the NAME of the variable that holds it, never the secret itself.",
            },
            "limits": {**limits, "description": "How fast we may call; stay below what the CRM grants."},
            "options": {
                "description": "Options of this kind of CRM.",
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
        },
        required=("crm", "auth", "address_env", "secrets_env", "mappings", "entities"),
    )
    connection["allOf"] = [
        *(
            _when("crm", [kind], then={"properties": {"auth": {"enum": list(ways)}}})
            for kind, ways in AUTHS_OF_KIND.items()
        ),
        *(
            _when("auth", [auth], then={"properties": {"secrets_env": {"required": sorted(must), **_only(must | may)}}})
            for auth, (must, may) in AUTHS.items()
        ),
    ]
    accounts = {
        "description": "The CRM accounts, strongest first.",
        "type": "object",
        "minProperties": 1,
        "propertyNames": {**_pattern(NAME), "not": {"const": HUB}},
        "additionalProperties": connection,
    }
    return _file("The CRM accounts that are connected", {"connections": accounts}, ("connections",))


def _file(title: str, properties: Mapping[str, Schema], required: tuple[str, ...]) -> Schema:
    return {"$schema": DIALECT, "title": title, **_section(properties, required=required)}


def _section(properties: Mapping[str, Schema], *, required: tuple[str, ...] = ()) -> Schema:
    out: Schema = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return {**out, "required": list(required)} if required else out


def _pattern(pattern: re.Pattern[str]) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern.pattern})$"}


def _text(description: str, pattern: re.Pattern[str] | None = None) -> Schema:
    form: Schema = {"type": "string", "minLength": 1} if pattern is None else _pattern(pattern)
    return {"description": description, **form}


def _source(description: str) -> Schema:
    return _text(description, SOURCE)


def _region(description: str) -> Schema:
    return {"description": description, "type": "string", "pattern": "^[A-Z]{2}$"}


def _word(words: Any, description: str) -> Schema:
    return {"description": description, "enum": [str(word) for word in words]}


def _words(description: str) -> Schema:
    items = {"type": "string", "minLength": 1}
    return {"description": description, "type": "array", "uniqueItems": True, "items": items}


def _keys(description: str) -> Schema:
    return {"description": description, "type": "object", "additionalProperties": _word(NORMALISERS, "")}


def _flag(description: str) -> Schema:
    return {"description": description, "type": "boolean"}


def _whole(description: str, low: int, high: int | None = None) -> Schema:
    bounds = {"minimum": low} if high is None else {"minimum": low, "maximum": high}
    return {"description": description, "type": "integer", **bounds}


def _when(key: str, words: list[str], *, then: Schema, otherwise: Schema | None = None) -> Schema:
    out: Schema = {"if": {"required": [key], "properties": {key: {"enum": words}}}, "then": then}
    return out if otherwise is None else {**out, "else": otherwise}


def _needs(key: str) -> Schema:
    return {"required": [key]}


def _without(*keys: str) -> Schema:
    return {"properties": dict.fromkeys(keys, False)}


def _only(keys: frozenset[str]) -> Schema:
    return {"propertyNames": {"enum": sorted(keys)}}
