"""Who made a change: what history and webhooks tell of it."""

from __future__ import annotations

from dataclasses import dataclass

APP_ID, USER_ID = 1180427, 63510001


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a change: `kind` is HubSpot's changeSource or sourceType."""

    kind: str
    id: str


API = Source("INTEGRATION", str(APP_ID))
SCREEN = Source("CRM_UI", f"userId:{USER_ID}")
WORKFLOW = Source("AUTOMATION_PLATFORM", "enrollmentId:1;actionExecutionIndex:0")
MERGE = Source("MERGE_OBJECTS", f"userId:{USER_ID}")
