"""Read parts of JSON bodies, and refuse those of another shape with a 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.refusals import invalid


def listed(document: Mapping[str, Any], name: str) -> list[Any]:
    """Return an array; none where it is left out."""
    found = document.get(name) or []
    if not isinstance(found, list):
        raise invalid(f"Invalid input JSON: {name} must be an array.")
    return found


def texts(document: Mapping[str, Any], name: str) -> list[str]:
    """Return an array of texts; none where it is left out."""
    found = listed(document, name)
    if not all(isinstance(one, str) for one in found):
        raise invalid(f"Invalid input JSON: {name} must be an array of strings.")
    return found


def mappings(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return an array of objects; none where it is left out."""
    found = listed(document, name)
    if not all(isinstance(one, Mapping) for one in found):
        raise invalid(f"Invalid input JSON: {name} must be an array of objects.")
    return found


def mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object; an empty one where it is left out."""
    found = document.get(name) or {}
    if not isinstance(found, Mapping):
        raise invalid(f"Invalid input JSON: {name} must be an object.")
    return found


def whole(document: Mapping[str, Any], name: str, default: int) -> int:
    """Return a whole number, sent as a number or as text."""
    value = document.get(name)
    if value is None or value == "":
        return default
    text = str(value)
    if isinstance(value, bool) or len(text) > 18 or not text.removeprefix("-").isdigit():
        raise invalid(f"{name} must be a whole number.")
    return int(text)
