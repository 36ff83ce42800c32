"""The audit of a golden record in sentences, for a person.

Belongs here: one sentence per decision on one field. Not here: finding them (flows/explain), tables (showing.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def history_rows(history: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return when, field and what happened, one row a decision, oldest first."""
    return [{"at": row["at"][:19], "field": row["field"], "what happened": sentence(row)} for row in history]


def sentence(row: Row) -> str:
    """Say what one decision did to a field; it holds values, so it is for a person only."""
    if row["direction"] == "out":
        return _outward(row)
    if row["action"] == "edited":
        return f"{row['actor']} changed it in the hub: {_change(row)}"
    return _inward(row)


def _outward(row: Row) -> str:
    where, value, why = row["connection"], _value(row["incoming"]), row["result"]
    if row["action"] == "sent":
        return f"sent to {where}: {value}"
    if row["action"] == "withheld":
        if row["decision"] == "REFUSED":
            return f"{where} refused {value} and takes the rest of the record without it ({why})"
        return f"not written to {where} with a value that it refused; it goes again without that one: {value}"
    if row["action"] == "dead":
        if row["decision"] == "REFUSED":
            return f"{where} refused {value} for good; the command is a dead letter ({why})"
        return f"not delivered to {where}, the command is a dead letter ({why}): {value}"
    return f"{row['action']} at {where}, nothing settled yet ({why}): {value}"


def _inward(row: Row) -> str:
    where, rule, decision = row["connection"], row["rule"], row["decision"]
    incoming, before, winner = _value(row["incoming"]), _value(row["before"]), row.get("winner") or "the hub"
    if decision == "QUARANTINE":
        return f"a record of {where} is in quarantine for it ({rule})"
    if decision == "HOLD":
        return f"waits for a person: {where} says {incoming}, the hub {before} ({_rule(rule)})"
    if decision == "WAIT":
        return f"{where} points to a record that is not linked yet; it waits for that"
    if decision == "TAKE":
        if rule == "one_side_changed":
            return f"{where} changed it: {_change(row)}"
        if rule == "first_read":
            return f"read from {where} for the first time: {_change(row)}"
        return f"{where} wins by {_rule(rule)}: {_change(row)}"
    said = "had" if rule == "first_link" else "says"
    return f"{where} {said} {incoming}, but {before} of {winner} stands by {_rule(rule)}"


def _rule(rule: str) -> str:
    words = {"first_link": "priority when the records were linked", "one_side_changed": "the other side's change"}
    return words.get(rule, f"the policy {rule}")


def _change(row: Row) -> str:
    if row["before"] is None:
        return _value(row["incoming"])
    return f"{_value(row['before'])} -> {_value(row['incoming'])}"


def _value(value: Any) -> str:
    return "nothing" if value is None else repr(value)
