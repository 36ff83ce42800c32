"""Fill one pretend CRM with exactly so many contacts, and the accounts that they belong to."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from crm_sync.emulators.clock import system_clock
from crm_sync.emulators.population import invent
from crm_sync.emulators.seeding import OBJECTS, _fill, look
from crm_sync.emulators.serving import open_state

CONTACTS_AN_ACCOUNT = 20
_KNOWN_SHARE = 0.6
"""Somewhat less than the share of all real people that one CRM knows (seeding.PRESENCE)."""


def fill(state_dir: Path, crm: str, seed: int, contacts: int) -> int:
    """Write the records of one CRM into a new state directory; return how many contacts, `contacts` unless too few."""
    state_dir.mkdir(parents=True, exist_ok=True)
    world = invent(seed, max(20, contacts // CONTACTS_AN_ACCOUNT), int(contacts / _KNOWN_SHARE))
    accounts, people = look(world, seed, system_clock())
    mine = [seen for seen in people if seen.crm == crm][:contacts]
    with closing(open_state(state_dir, crm)) as state:
        wanted = {"seed": seed, "accounts": len(world.companies), "contacts": contacts}
        _fill(crm, crm, state, accounts, mine, wanted)
        return state.count(OBJECTS[crm][1])


if __name__ == "__main__":
    fill(Path(sys.argv[2]), sys.argv[1], int(sys.argv[3]), int(sys.argv[4]))
