"""Which of a CRM's types can hold what a transform writes.

Belongs here: the CRMs' own words for types, by what they hold. Not here: lengths and picklist values (fitting.py).
A word that stands nowhere here is unknown, and unknown is harmless: nothing is said of it.
"""

from __future__ import annotations

from typing import Final

from crm_sync.specs.model import FieldMapping

_PLAIN: Final = frozenset(
    {"string", "textarea", "phone", "url", "encryptedstring", "combobox", "phone_number", "String", "Memo"}
)
_TEXTS: Final = _PLAIN | {"email"}
_CHOICES: Final = frozenset({"picklist", "enumeration", "Picklist", "State", "Status", "combobox"})
_FLAGS: Final = frozenset({"boolean", "bool", "Boolean"})
_NUMBERS: Final = frozenset(
    {"int", "long", "double", "currency", "percent", "number", "Integer", "BigInt", "Decimal", "Double", "Money"}
)
_DAYS: Final = frozenset({"date", "DateTime"})
"""Dataverse says DateTime for days too; their format tells them apart, which a description does not carry."""
_INSTANTS: Final = frozenset({"datetime", "DateTime"})
_LINKS: Final = frozenset({"reference", "Lookup", "Customer", "Owner", "id", "Uniqueidentifier"})
_OTHERS: Final = frozenset(
    {"multipicklist", "address", "location", "base64", "time", "json", "object_coordinates", "Virtual", "PartyList"}
)
_KNOWN: Final = _TEXTS | _CHOICES | _FLAGS | _NUMBERS | _DAYS | _INSTANTS | _LINKS | _OTHERS

_HELD_BY: Final = {
    "text": _PLAIN,
    "long_text": _PLAIN,
    "phone": _PLAIN,
    "email": _TEXTS,
    "picklist": _CHOICES | _PLAIN,
    "boolean": _FLAGS,
    "date": _DAYS | _PLAIN,
    "datetime": _INSTANTS | _PLAIN,
    "number": _NUMBERS,
    "reference": _LINKS | _PLAIN,
}
_AS_TEXT: Final = {"boolean": _FLAGS | _PLAIN | {"enumeration"}, "number": _PLAIN | {"number"}}
_TEXT_TRANSFORMS: Final = frozenset({"text", "long_text", "email", "phone"})


def holds_text(word: str) -> bool:
    """Tell whether a CRM's type is a free text."""
    return word in _TEXTS


def holds_choice(word: str) -> bool:
    """Tell whether a CRM's type holds one out of a list of values."""
    return word in _CHOICES


def writable_as(mapped: FieldMapping, word: str) -> bool:
    """Tell whether a field of the CRM's type `word` can hold what the mapping writes; True for unknown words."""
    fitting = _HELD_BY[mapped.transform]
    if mapped.options.get("as") == "text":
        fitting = _AS_TEXT.get(mapped.transform, fitting)
    return word in fitting or word not in _KNOWN


def readable_as(mapped: FieldMapping, word: str) -> bool:
    """Tell whether values of the CRM's type `word` can be read by the mapping; True for unknown words."""
    if mapped.transform in _TEXT_TRANSFORMS:
        return word not in _OTHERS | _FLAGS | _NUMBERS
    if mapped.transform in ("boolean", "number"):
        return word in _HELD_BY[mapped.transform] | _AS_TEXT[mapped.transform] | _CHOICES or word not in _KNOWN
    if mapped.transform == "date":
        return word in _DAYS | _INSTANTS | _PLAIN or word not in _KNOWN
    return word in _HELD_BY[mapped.transform] or word not in _KNOWN
