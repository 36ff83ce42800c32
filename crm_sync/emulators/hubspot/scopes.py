"""What a token must be good for: the granular scopes of a call, any one of which suffices.

Source: scopes reference; object APIs (403 MISSING_SCOPES).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.hubspot.refusals import Refusal, refusal

SCOPED = (
    "contacts", "companies", "deals", "custom", "line_items", "products", "quotes", "leads", "goals",
    "feedback_submissions",
)  # fmt: skip
SCOPES = [
    *(f"crm.objects.{one}.{verb}" for one in SCOPED for verb in ("read", "write")),
    *(f"crm.schemas.{one}.{verb}" for one in SCOPED for verb in ("read", "write")),
    "crm.objects.owners.read", "tickets", "oauth", "communication_preferences.read",
    "communication_preferences.read_write", "communication_preferences.write",
]  # fmt: skip
"""All scopes of the emulator; a private app has them."""
READING = ("read", "search")


def needed(object: str, traits: Mapping[str, Any], *, writes: bool) -> list[str]:
    """Return the scopes of which a call on records of an object needs one; `traits` is what is declared of it."""
    if object == "tickets":
        return ["tickets"]
    name = "contacts" if traits.get("engagement") else str(traits.get("scope", object))
    name = name if name in SCOPED else "custom"
    return [f"crm.objects.{name}.{'write' if writes else 'read'}"]


def missing(scopes: Sequence[str]) -> Refusal:
    """Make the 403 for a token that lacks all of these scopes."""
    said = "This app hasn't been granted all required scopes to make this call."
    inner = {"message": "One or more of the following scopes are required.", "context": {}}
    inner["context"] = {"requiredGranularScopes": list(scopes)}
    return refusal(403, "MISSING_SCOPES", said, errors=[inner])
