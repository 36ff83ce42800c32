"""Fill pretend CRMs with overlapping, dirty records of one real world, and write down the truth.

A real thing is in one to three CRMs, and sometimes twice in one. Ids go on from the CRMs' own counters, so that records
created later never collide. The same seed gives the same records; only stamps follow the clock. Beyond BLOCK contacts
the world is made of blocks that share no address, phone or host, so that memory does not grow with the population.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators.clock import system_clock
from crm_sync.emulators.credentials import write_private
from crm_sync.emulators.dirt import Clerk, Sighting
from crm_sync.emulators.hubspot.records import FIRST_ID
from crm_sync.emulators.population import World, invent
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.serving import CannotServe, open_state
from crm_sync.emulators.settings import CRMS
from crm_sync.emulators.shapes import SHAPES
from crm_sync.emulators.spoiling import spoil
from crm_sync.emulators.state import NewRecord, State
from crm_sync.emulators.truth import strong_pairs

PRESENCE = {1: 0.40, 2: 0.32, 3: 0.28}
ACCOUNT_TWICE_RATE = 0.10
CONTACT_TWICE_RATE = 0.03
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
BLOCK = 10_000
OBJECTS = {
    "salesforce": ("Account", "Contact"), "hubspot": ("companies", "contacts"), "dynamics": ("account", "contact"),
}  # fmt: skip
Numbers = dict[tuple[str, int], int]
"""(connection, 0 for accounts or 1 for contacts) -> how many have an id."""


def truth_file(state_dir: Path) -> Path:
    """Return where the truth of a seeded population is."""
    return state_dir / "truth.json"


def seed_once(
    state_dir: Path, *, seed: int, accounts: int = 300, contacts: int = 1500, invalid_share: float | None = None,
    connections: Mapping[str, str] | None = None, everywhere: bool = False,
) -> bool:
    """Fill the CRMs of a state directory, unless that was done; return whether it was done now.

    An interrupted call is completed by the next. `invalid_share` is the share of records that a sync must refuse, a
    little over one in a hundred if not given. `connections` (name -> CRM) are the three CRMs if not given; with
    `everywhere` each real thing is in each of them. Raises CannotServe where the directory holds another population,
    or where such a share is not possible.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    places = dict(connections or {crm: crm for crm in CRMS})
    wanted: dict[str, Any] = {"seed": seed, "accounts": accounts, "contacts": contacts}
    wanted |= {} if invalid_share is None else {"invalid_share": invalid_share}
    wanted |= {"connections": places} if connections else {}
    wanted |= {"everywhere": True} if everywhere else {}
    with ExitStack() as stack:
        states = {name: stack.enter_context(closing(open_state(state_dir, crm, name))) for name, crm in places.items()}
        if not _missing(state_dir, states, places, wanted):
            return False
        truth = stack.enter_context(_Truth(state_dir, wanted))
        now, numbers = system_clock(), dict.fromkeys(((name, at) for name in places for at in (0, 1)), 0)
        parts = list(_blocks(accounts, contacts))
        for block, (some_accounts, some_contacts) in enumerate(parts):
            world = invent(seed + block, some_accounts, some_contacts, block)
            sightings = look(world, seed + block, now, places, numbers, everywhere=everywhere)
            if invalid_share is not None:
                try:
                    spoil(*sightings, invalid_share, seed + block)
                except ValueError as error:
                    raise CannotServe(f"{state_dir} cannot be filled: {error}. Mend --invalid-share.") from None
            truth.add(places, *sightings)
            if block == len(parts) - 1:
                truth.close()
            for name, state in states.items():
                if (state.get_meta("seeding") or {}).get("blocks", 0) <= block and state.get_meta("seeded") is None:
                    _fill(name, places[name], state, *sightings, wanted, block, last=block == len(parts) - 1)
    return True


def _missing(
    state_dir: Path, states: Mapping[str, State], places: Mapping[str, str], wanted: Mapping[str, Any]
) -> bool:
    """Tell whether any connection is still to be filled. Raises CannotServe where one holds something else."""
    other, missing = [], False
    for name, state in states.items():
        seeded, begun = state.get_meta("seeded"), (state.get_meta("seeding") or {}).get("wanted")
        filled = seeded is None and begun is None and any(state.count(one) for one in OBJECTS[places[name]])
        if filled or any(was not in (None, wanted) for was in (seeded, begun)):
            other.append(name)
        missing = missing or seeded is None
    if other:
        raise CannotServe(
            f"{state_dir} holds other records already ({', '.join(other)}); expected none, or those of "
            "the same --seed, --accounts, --contacts, --invalid-share, --everywhere and --connection. Choose another "
            "--state directory, or remove this one."
        )
    return missing


def _blocks(accounts: int, contacts: int) -> Iterator[tuple[int, int]]:
    """Divide a population: (accounts, contacts) of each block."""
    blocks = max(1, -(-max(accounts, contacts) // BLOCK))
    for block in range(blocks):
        yield tuple(n * (block + 1) // blocks - n * block // blocks for n in (accounts, contacts))  # type: ignore[misc]


def look(
    world: World, seed: int, now_us: int, places: Mapping[str, str] | Sequence[str] = CRMS,
    numbers: Numbers | None = None, *, everywhere: bool = False,
) -> tuple[list[Sighting], list[Sighting]]:
    """Return what the CRMs say of a world: (of accounts, of contacts), with ids and stamps, oldest change first.

    `places` is connection -> CRM; `numbers` is how many have an id already, and grows.
    """
    kinds = dict(places) if isinstance(places, Mapping) else {crm: crm for crm in places}
    counted = dict.fromkeys(((name, at) for name in kinds for at in (0, 1)), 0) if numbers is None else numbers
    clerk = Clerk(seed ^ 0x5EED)
    rng = random.Random(seed ^ 0xC0DE)

    def seen_in(twice_rate: float, write: Callable[[str], Sighting]) -> Iterator[Sighting]:
        for name in _places(rng, tuple(kinds), twice_rate, everywhere):
            seen = write(kinds[name])
            seen.connection = name
            yield seen

    accounts = [
        seen
        for number, company in enumerate(world.companies)
        for seen in seen_in(ACCOUNT_TWICE_RATE, lambda crm, n=number, c=company: clerk.account(crm, n, c))  # type: ignore[misc]
    ]
    taken: set[str] = set()
    contacts = [
        seen
        for number, person in enumerate(world.people)
        for seen in seen_in(
            CONTACT_TWICE_RATE, lambda crm, n=number, p=person: clerk.contact(crm, n, p, email_taken=taken)  # type: ignore[misc]
        )
    ]
    for sightings in (accounts, contacts):
        for seen in sightings:
            seen.modified_us = now_us - HOUR_US - rng.randrange(90 * DAY_US)
            seen.created_us = seen.modified_us - rng.randrange(400 * DAY_US)
        sightings.sort(key=lambda seen: seen.modified_us)
    for at, sightings in enumerate((accounts, contacts)):
        for seen in sightings:
            counted[seen.connection, at] += 1
            seen.id = _id(seen, at, counted, rng)
    return accounts, contacts


def _places(rng: random.Random, names: tuple[str, ...], twice_rate: float, everywhere: bool) -> list[str]:
    """Choose the connections that know one real thing; the last one may know it twice."""
    size = rng.choices(list(PRESENCE), list(PRESENCE.values()))[0]
    places = rng.sample(names, len(names) if everywhere else min(size, len(names)))
    return places + places[-1:] if rng.random() < twice_rate else places


def _id(seen: Sighting, at: int, numbers: Numbers, rng: random.Random) -> str:
    if seen.crm == "salesforce":
        return ids.make(("001", "003")[at], numbers[seen.connection, at])
    if seen.crm == "hubspot":
        return str(FIRST_ID + numbers[seen.connection, 0] + numbers[seen.connection, 1])
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


class _Truth:
    """The truth, written part by part; the file is there once `close` was called."""

    def __init__(self, state_dir: Path, wanted: Mapping[str, Any]) -> None:
        self._path, self._wanted = truth_file(state_dir), wanted
        self._drafts = {name: state_dir / f".truth-{name}.new" for name in ("accounts", "contacts", "sa", "sc")}
        self._files = {name: path.open("wb") for name, path in self._drafts.items()}

    def __enter__(self) -> _Truth:
        return self

    def __exit__(self, *_: object) -> None:
        for name, file in self._files.items():
            file.close()
            self._drafts[name].unlink(missing_ok=True)

    def add(self, places: Mapping[str, str], accounts: list[Sighting], contacts: list[Sighting]) -> None:
        """Add the things of one block."""
        for at, (kind, strong, sightings) in enumerate((("accounts", "sa", accounts), ("contacts", "sc", contacts))):
            things: dict[int, list[Sighting]] = {}
            for seen in sightings:
                things.setdefault(seen.thing, []).append(seen)
            groups = [things[thing] for thing in sorted(things)]
            self._write(
                kind,
                (
                    [
                        {"crm": x.connection, "object": OBJECTS[places[x.connection]][at], "id": x.id, "flaws": x.flaws}
                        for x in group
                    ]
                    for group in groups
                ),
            )
            self._write(
                strong,
                (
                    [{"crm": group[n].connection, "id": group[n].id} for n in pair]
                    for group in groups
                    for pair in strong_pairs([() if one.flaws else one.keys for one in group])
                ),
            )

    def _write(self, name: str, rows: Iterable[Any]) -> None:
        file = self._files[name]
        for row in rows:
            file.write(b"," if file.tell() else b"")
            file.write(orjson.dumps(row))

    def close(self) -> None:
        """Put the parts together, atomically."""
        for file in self._files.values():
            file.flush()
        kept = self._drafts
        begun = orjson.dumps(dict(self._wanted))[:-1]

        def content() -> Iterator[bytes]:
            yield begun + b',"strong":{"accounts":['
            yield from _chunks(kept["sa"])
            yield b'],"contacts":['
            yield from _chunks(kept["sc"])
            yield b']},"accounts":['
            yield from _chunks(kept["accounts"])
            yield b'],"contacts":['
            yield from _chunks(kept["contacts"])
            yield b"]}"

        write_private(self._path, content())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _fill(
    name: str, crm: str, state: State, accounts: list[Sighting], contacts: list[Sighting], wanted: Mapping[str, Any],
    block: int = 0, *, last: bool = True,
) -> None:
    """Write the records of one block of one connection in one transaction."""
    account_object, contact_object = OBJECTS[crm]
    of_company: dict[int, list[str]] = {}
    mine = [seen for seen in accounts if seen.connection == name]
    for seen in mine:
        of_company.setdefault(seen.thing, []).append(seen.id)
    people = [seen for seen in contacts if seen.connection == name]
    rng = random.Random(f"{wanted['seed']}-{name}" + (f"-{block}" if block else ""))
    linked = {
        seen.id: rng.choice(of_company[seen.account])
        for seen in people
        if seen.account is not None and seen.account in of_company
    }
    shape = SHAPES[crm]
    fewest = 0 if block else 1
    with state.transaction():
        state.insert_many(account_object, _rows(mine, lambda seen: shape[0](seen.values)))
        state.insert_many(contact_object, _rows(people, lambda seen: shape[1](seen.values, linked.get(seen.id))))
        if crm == "salesforce":
            state.next_number("id:Account", len(mine) or fewest)
            state.next_number("id:Contact", len(people) or fewest)
        if crm == "hubspot":
            state.next_number("hubspot-id", len(mine) + len(people) or fewest)
            state.associate(
                row
                for id, company in linked.items()
                for row in (
                    ("contacts", id, "companies", company, 279), ("contacts", id, "companies", company, 1),
                    ("companies", company, "contacts", id, 280), ("companies", company, "contacts", id, 2),
                )
            )  # fmt: skip
        state.set_meta("seeding", None if last else {"wanted": dict(wanted), "blocks": block + 1})
        if last:
            state.set_meta("seeded", dict(wanted))


def _rows(sightings: Iterable[Sighting], shape: Callable[[Sighting], dict[str, Any]]) -> Iterable[NewRecord]:
    return (NewRecord(seen.id, shape(seen), seen.created_us, seen.modified_us) for seen in sightings)
