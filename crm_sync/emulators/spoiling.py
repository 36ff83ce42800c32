"""Spoil records further, until a wanted share of them is such that a sync must refuse them.

Belongs here: flaws on demand. Not here: the dirt that every population has (dirt).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from crm_sync.emulators import vocabulary as words
from crm_sync.emulators.dirt import Sighting

BREAKABLE = ("hubspot", "dynamics")
"""CRMs that take records which a sync must refuse; Salesforce insists on names and checks what it is given."""


def spoil(accounts: Sequence[Sighting], contacts: Sequence[Sighting], share: float, seed: int) -> None:
    """Give so many further records a flaw that together `share` of all have one; ValueError where too few can."""
    if not 0 <= share <= 1:
        raise ValueError(f"the share of invalid records is {share}; expected 0 to 1")
    rng = random.Random(seed ^ 0xBAD)
    for sightings, break_ in ((accounts, _break_account), (contacts, _break_contact)):
        flawless = [seen for seen in sightings if seen.crm in BREAKABLE and not seen.flaws]
        missing = round(share * len(sightings)) - sum(bool(seen.flaws) for seen in sightings)
        if missing > len(flawless):
            most = 1 - sum(seen.crm not in BREAKABLE for seen in sightings) / len(sightings)
            raise ValueError(
                f"the share of invalid records is {share}; at most about {most:.2f} is possible, as Salesforce has none"
            )
        for seen in rng.sample(flawless, max(missing, 0)):
            break_(seen, rng)


def _break_account(seen: Sighting, rng: random.Random) -> None:
    seen.values["name"] = ""
    seen.flaws.append("name missing")


def _break_contact(seen: Sighting, rng: random.Random) -> None:
    if seen.crm == "dynamics" and rng.random() < 0.5:
        seen.values["email"] = rng.choice(words.BAD_EMAILS)
        seen.flaws.append("e-mail invalid")
    else:
        seen.values["last"] = ""
        seen.flaws.append("last name missing")
