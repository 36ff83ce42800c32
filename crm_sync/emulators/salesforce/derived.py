"""Work out the fields that the org sets by itself when a record is written: closed flags, activity dates, numbers.

Source: Object Reference, Case, Task, Event, Opportunity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.salesforce.moments import microseconds, stamp
from crm_sync.emulators.salesforce.schema import Org

LIKELIHOOD = {
    "Prospecting": 10, "Qualification": 10, "Needs Analysis": 20, "Value Proposition": 50, "Id. Decision Makers": 60,
    "Perception Analysis": 70, "Proposal/Price Quote": 75, "Negotiation/Review": 90, "Closed Won": 100,
    "Closed Lost": 0,
}  # fmt: skip
MINUTE_US = 60_000_000


def derive(org: Org, sobject: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the org sets beside the new values; `old` is the record before, empty for a new one."""
    merged = {**old, **new}
    if sobject == "Case":
        return _closing(org, old, merged, "ClosedDate", merged.get("Status") == "Closed")
    if sobject == "Task":
        done = _closing(org, old, merged, "CompletedDateTime", merged.get("Status") == "Completed")
        return {**done, "IsHighPriority": merged.get("Priority") == "High", **_account(org, merged)}
    if sobject == "Event":
        return {**_times(new, merged), **_account(org, merged)}
    if sobject == "Opportunity":
        stage = str(merged.get("StageName"))
        out: dict[str, Any] = {"IsClosed": stage.startswith("Closed"), "IsWon": stage == "Closed Won"}
        if "StageName" in new and "Probability" not in new and stage in LIKELIHOOD:
            out["Probability"] = LIKELIHOOD[stage]
        return out
    return {}


def _closing(
    org: Org, old: Mapping[str, Any], merged: Mapping[str, Any], moment: str, closed: bool
) -> dict[str, Any]:
    before = old.get(moment) if old.get("IsClosed") else None
    return {"IsClosed": closed, moment: (before or stamp(org.state.now_us())) if closed else None}


def _account(org: Org, merged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the account that an activity belongs to by what, else by whom, it is about."""
    for name in ("WhatId", "WhoId"):
        linked = merged.get(name)
        sobject = org.prefix_object(linked) if linked else None
        if sobject == "Account":
            return {"AccountId": linked}
        if sobject is not None:
            found = org.state.get(sobject, str(linked))
            account = found.values.get("AccountId") if found else None
            if account:
                return {"AccountId": account}
    return {"AccountId": None}


def _times(new: Mapping[str, Any], merged: Mapping[str, Any]) -> dict[str, Any]:
    """Return start, end, duration and date of an event, whichever of them were given."""
    if "ActivityDateTime" in new and "StartDateTime" not in new:
        start = new["ActivityDateTime"]
    else:
        start = merged.get("StartDateTime") or merged.get("ActivityDateTime")
    if not start:
        return {}
    begin, minutes = microseconds(start), merged.get("DurationInMinutes")
    if new.get("EndDateTime"):
        minutes = (microseconds(new["EndDateTime"]) - begin) // MINUTE_US
    elif minutes is None:
        minutes = 60
    return {
        "StartDateTime": start,
        "ActivityDateTime": start,
        "ActivityDate": start[:10],
        "DurationInMinutes": int(minutes),
        "EndDateTime": stamp(begin + int(minutes) * MINUTE_US),
    }
