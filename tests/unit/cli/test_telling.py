"""What `crm-sync explain` says of each decision."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.cli.telling import history_rows, sentence


def row(direction: str, action: str, decision: str, rule: str, **further: Any) -> dict[str, Any]:
    return {
        "at": "2026-11-24T12:33:12.016514+00:00",
        "direction": direction,
        "action": action,
        "connection": "hubspot",
        "actor": "crm-sync",
        "rule": rule,
        "field": "city",
        "winner": "salesforce",
        "decision": decision,
        "before": "Leeds",
        "incoming": "York",
        "result": "ok",
        **further,
    }


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (row("in", "created", "TAKE", "first_read", before=None), "read from hubspot for the first time: 'York'"),
        (row("in", "updated", "TAKE", "one_side_changed"), "hubspot changed it: 'Leeds' -> 'York'"),
        (row("in", "updated", "TAKE", "one_side_changed", incoming=None), "hubspot changed it: 'Leeds' -> nothing"),
        (row("in", "updated", "TAKE", "field_merge"), "hubspot wins by the policy field_merge: 'Leeds' -> 'York'"),
        (
            row("in", "lost", "STAND", "last_write_wins"),
            "hubspot says 'York', but 'Leeds' of salesforce stands by the policy last_write_wins",
        ),
        (
            row("in", "linked", "STAND", "first_link"),
            "hubspot had 'York', but 'Leeds' of salesforce stands by priority when the records were linked",
        ),
        (
            row("in", "held", "HOLD", "manual_review"),
            "waits for a person: hubspot says 'York', the hub 'Leeds' (the policy manual_review)",
        ),
        (
            row("in", "held", "WAIT", "first_read"),
            "hubspot points to a record that is not linked yet; it waits for that",
        ),
        (
            row("in", "held", "QUARANTINE", "max_length"),
            "a record of hubspot is in quarantine for it (max_length)",
        ),
        (row("hub", "edited", "TAKE", "edit", actor="jane"), "jane changed it in the hub: 'Leeds' -> 'York'"),
        (row("out", "sent", "SEND", "sent", before=None), "sent to hubspot: 'York'"),
        (
            row("out", "withheld", "REFUSED", "withheld", result="duplicate:CONFLICT"),
            "hubspot refused 'York' and takes the rest of the record without it (duplicate:CONFLICT)",
        ),
        (
            row("out", "withheld", "SEND", "withheld"),
            "not written to hubspot with a value that it refused; it goes again without that one: 'York'",
        ),
        (
            row("out", "dead", "REFUSED", "dead", result="validation:X"),
            "hubspot refused 'York' for good; the command is a dead letter (validation:X)",
        ),
        (
            row("out", "dead", "SEND", "dead", result="unknown:"),
            "not delivered to hubspot, the command is a dead letter (unknown:): 'York'",
        ),
    ],
)
def test_each_decision_is_a_sentence(told: dict[str, Any], expected: str) -> None:
    assert sentence(told) == expected


def test_the_history_shows_when_which_field_and_what() -> None:
    (told,) = history_rows([row("out", "sent", "SEND", "sent")])
    assert told == {"at": "2026-11-24T12:33:12", "field": "city", "what happened": "sent to hubspot: 'York'"}
