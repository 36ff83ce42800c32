"""The shapes that all definitions share: labels, managed properties, options, ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

TYPE: Final = "Microsoft.Dynamics.CRM."
ENGLISH: Final = 1033


def metadata_id(name: str) -> str:
    """Return the MetadataId of a table, column, relationship or option set: stable over restarts."""
    return str(uuid5(NAMESPACE_URL, f"dataverse:{name}"))


def metadata_type(kind: str) -> str:
    """Return the metadata type of an attribute type."""
    plain = {"Customer": "Lookup", "Owner": "Lookup", "Uniqueidentifier": "UniqueIdentifier"}
    return plain.get(kind, kind) + "AttributeMetadata"


def label(text: str) -> dict[str, Any]:
    """Return a label in Dataverse's shape."""
    one = {"Label": text, "LanguageCode": ENGLISH, "IsManaged": False, "MetadataId": metadata_id(f"label:{text}")}
    return {"LocalizedLabels": [one], "UserLocalizedLabel": one}


def label_text(given: Any) -> str:
    """Return the text of a label that a client wrote."""
    labels = given.get("LocalizedLabels") if isinstance(given, Mapping) else None
    first = labels[0] if isinstance(labels, list) and labels else None
    return str(first.get("Label", "")) if isinstance(first, Mapping) else ""


def managed(value: Any, name: str) -> dict[str, Any]:
    """Return a managed property."""
    return {"Value": value, "CanBeChanged": True, "ManagedPropertyLogicalName": name}


def options(given: Mapping[str, str], state_of: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """Return the options of a choice; those of a status tell their state."""
    return [
        {
            **({} if state_of is None else {"State": state_of[value], "TransitionData": None}),
            "Value": int(value),
            "Color": None,
            "IsManaged": False,
            "ExternalValue": None,
            "Label": label(text),
            "Description": {"LocalizedLabels": [], "UserLocalizedLabel": None},
        }
        for value, text in given.items()
    ]


def option_set(name: str, given: Mapping[str, str], kind: str, state_of: Mapping[str, int] | None) -> dict[str, Any]:
    """Return the option set of one column."""
    return {
        "MetadataId": metadata_id(f"optionset:{name}"),
        "Name": name,
        "IsGlobal": False,
        "OptionSetType": kind,
        "DisplayName": label(name),
        "Options": options(given, state_of),
    }


def boolean_set(name: str, labels: tuple[str, str]) -> dict[str, Any]:
    """Return the option set of a two-option column."""
    false, true = options({"0": labels[0], "1": labels[1]})
    return {
        "MetadataId": metadata_id(f"optionset:{name}"),
        "Name": name,
        "IsGlobal": False,
        "OptionSetType": "Boolean",
        "TrueOption": true,
        "FalseOption": false,
    }
