"""Fill the three pretend CRMs with overlapping, dirty records of one real world, and write down the truth.

A real thing is in one to three CRMs, and sometimes twice in one. Ids go on from the CRMs' own counters, so that records
created later never collide. The same seed gives the same records; only stamps follow the clock.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators.clock import system_clock
from crm_sync.emulators.dirt import Clerk, Sighting
from crm_sync.emulators.hubspot.records import FIRST_ID
from crm_sync.emulators.population import World, invent
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.serving import CannotServe, open_state, write_private
from crm_sync.emulators.settings import CRMS
from crm_sync.emulators.spoiling import spoil
from crm_sync.emulators.state import NewRecord, State
from crm_sync.emulators.truth import strong_pairs

PRESENCE = {1: 0.40, 2: 0.32, 3: 0.28}
ACCOUNT_TWICE_RATE = 0.10
CONTACT_TWICE_RATE = 0.03
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
OBJECTS = {
    "salesforce": ("Account", "Contact"), "hubspot": ("companies", "contacts"), "dynamics": ("account", "contact"),
}  # fmt: skip


def truth_file(state_dir: Path) -> Path:
    """Return where the truth of a seeded population is."""
    return state_dir / "truth.json"


def seed_once(
    state_dir: Path, *, seed: int, accounts: int = 300, contacts: int = 1500, invalid_share: float | None = None
) -> bool:
    """Fill the CRMs of a state directory, unless that was done; return whether it was done now.

    An interrupted call is completed by the next. `invalid_share` is the share of records that a sync must refuse, a
    little over one in a hundred if not given. Raises CannotServe where the directory holds another population, or
    where such a share is not possible.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, Any] = {"seed": seed, "accounts": accounts, "contacts": contacts}
    if invalid_share is not None:
        wanted["invalid_share"] = invalid_share
    with ExitStack() as stack:
        states = {crm: stack.enter_context(closing(open_state(state_dir, crm))) for crm in CRMS}
        seeded = {crm: state.get_meta("seeded") for crm, state in states.items()}
        other = [crm for crm, was in seeded.items() if was not in (None, wanted)]
        filled = [crm for crm in CRMS if seeded[crm] is None and any(states[crm].count(o) for o in OBJECTS[crm])]
        if other or filled:
            raise CannotServe(
                f"{state_dir} holds other records already ({', '.join(other or filled)}); expected none, or those of "
                "the same --seed, --accounts, --contacts and --invalid-share. Choose another --state directory, or "
                "remove this one."
            )
        missing = [crm for crm in CRMS if seeded[crm] is None]
        if missing:
            sightings = look(invent(seed, accounts, contacts), seed, system_clock())
            if invalid_share is not None:
                try:
                    spoil(*sightings, invalid_share, seed)
                except ValueError as error:
                    raise CannotServe(f"{state_dir} cannot be filled: {error}. Mend --invalid-share.") from None
            write_private(truth_file(state_dir), orjson.dumps({**wanted, **_truth(*sightings)}))
            for crm in missing:
                _fill(crm, states[crm], *sightings, wanted)
    return bool(missing)


def look(world: World, seed: int, now_us: int) -> tuple[list[Sighting], list[Sighting]]:
    """Return what the CRMs say of a world: (of accounts, of contacts), with ids and stamps, oldest change first."""
    clerk = Clerk(seed ^ 0x5EED)
    rng = random.Random(seed ^ 0xC0DE)
    accounts = [
        clerk.account(crm, number, company)
        for number, company in enumerate(world.companies)
        for crm in _places(rng, ACCOUNT_TWICE_RATE)
    ]
    taken: set[str] = set()
    contacts = [
        clerk.contact(crm, number, person, email_taken=taken)
        for number, person in enumerate(world.people)
        for crm in _places(rng, CONTACT_TWICE_RATE)
    ]
    for sightings in (accounts, contacts):
        for seen in sightings:
            seen.modified_us = now_us - HOUR_US - rng.randrange(90 * DAY_US)
            seen.created_us = seen.modified_us - rng.randrange(400 * DAY_US)
        sightings.sort(key=lambda seen: seen.modified_us)
    numbers = dict.fromkeys(((crm, at) for crm in CRMS for at in (0, 1)), 0)
    for at, sightings in enumerate((accounts, contacts)):
        for seen in sightings:
            numbers[seen.crm, at] += 1
            seen.id = _id(seen.crm, at, numbers, rng)
    return accounts, contacts


def _places(rng: random.Random, twice_rate: float) -> list[str]:
    """Choose the CRMs that know one real thing; the last one may know it twice."""
    size = rng.choices(list(PRESENCE), list(PRESENCE.values()))[0]
    places = rng.sample(CRMS, size)
    return places + places[-1:] if rng.random() < twice_rate else places


def _id(crm: str, at: int, numbers: Mapping[tuple[str, int], int], rng: random.Random) -> str:
    if crm == "salesforce":
        return ids.make(("001", "003")[at], numbers[crm, at])
    if crm == "hubspot":
        return str(FIRST_ID + numbers[crm, 0] + (numbers[crm, 1] if at else 0))
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _truth(accounts: list[Sighting], contacts: list[Sighting]) -> dict[str, Any]:
    out: dict[str, Any] = {"strong": {}}
    for at, (kind, sightings) in enumerate((("accounts", accounts), ("contacts", contacts))):
        things: dict[int, list[Sighting]] = {}
        for seen in sightings:
            things.setdefault(seen.thing, []).append(seen)
        out[kind] = [
            [{"crm": x.crm, "object": OBJECTS[x.crm][at], "id": x.id, "flaws": x.flaws} for x in things[thing]]
            for thing in sorted(things)
        ]
        out["strong"][kind] = [
            [{"crm": group[a].crm, "id": group[a].id}, {"crm": group[b].crm, "id": group[b].id}]
            for group in (things[thing] for thing in sorted(things))
            for a, b in strong_pairs([() if one.flaws else one.keys for one in group])
        ]
    return out


def _fill(
    crm: str, state: State, accounts: list[Sighting], contacts: list[Sighting], wanted: Mapping[str, Any]
) -> None:
    """Write one CRM's records in one transaction."""
    account_object, contact_object = OBJECTS[crm]
    of_company: dict[int, list[str]] = {}
    mine = [seen for seen in accounts if seen.crm == crm]
    for seen in mine:
        of_company.setdefault(seen.thing, []).append(seen.id)
    people = [seen for seen in contacts if seen.crm == crm]
    rng = random.Random(f"{wanted['seed']}-{crm}")
    linked = {
        seen.id: rng.choice(of_company[seen.account])
        for seen in people
        if seen.account is not None and seen.account in of_company
    }
    shape = SHAPES[crm]
    with state.transaction():
        state.insert_many(account_object, _rows(mine, lambda seen: shape[0](seen.values)))
        state.insert_many(contact_object, _rows(people, lambda seen: shape[1](seen.values, linked.get(seen.id))))
        if crm == "salesforce":
            state.next_number("id:Account", len(mine) or 1)
            state.next_number("id:Contact", len(people) or 1)
        if crm == "hubspot":
            state.next_number("hubspot-id", len(mine) + len(people) or 1)
            state.associate(
                row
                for id, company in linked.items()
                for row in (
                    ("contacts", id, "companies", company, 279), ("contacts", id, "companies", company, 1),
                    ("companies", company, "contacts", id, 280), ("companies", company, "contacts", id, 2),
                )
            )  # fmt: skip
        state.set_meta("seeded", dict(wanted))


def _rows(sightings: Iterable[Sighting], shape: Callable[[Sighting], dict[str, Any]]) -> Iterable[NewRecord]:
    return (NewRecord(seen.id, shape(seen), seen.created_us, seen.modified_us) for seen in sightings)


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", None)}


def _digits(value: float | None) -> str | None:
    """Write a number as the text that HubSpot keeps."""
    if value is None:
        return None
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".")


def _salesforce_account(v: Mapping[str, Any]) -> dict[str, Any]:
    return _filled(
        {
            "Name": v["name"], "Website": v["website"], "Crm_Sync_Email__c": v["email"], "Phone": v["phone"],
            "Fax": v["fax"], "BillingStreet": v["street"], "BillingCity": v["city"], "BillingState": v["state"],
            "BillingPostalCode": v["postal_code"], "BillingCountry": v["country"], "Industry": v["industry"],
            "Type": v["type"], "NumberOfEmployees": v["employees"], "AnnualRevenue": v["revenue"],
            "Crm_Sync_Customer_Since__c": v["customer_since"], "Description": v["description"],
        }
    )  # fmt: skip


def _salesforce_contact(v: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    salutation = v["salutation"] if v["salutation"] != "Eng." else ""
    return _filled(
        {
            "FirstName": v["first"], "LastName": v["last"], "Salutation": salutation, "Email": v["email"],
            "Crm_Sync_Second_Email__c": v["second_email"], "Phone": v["phone"], "MobilePhone": v["mobile"],
            "HomePhone": v["home_phone"], "Fax": v["fax"], "Title": v["title"], "MailingStreet": v["street"],
            "MailingCity": v["city"], "MailingState": v["state"], "MailingPostalCode": v["postal_code"],
            "MailingCountry": v["country"], "Birthdate": v["birth"], "HasOptedOutOfEmail": v["opt_out"],
            "DoNotCall": v["no_calls"], "Description": v["notes"], "AccountId": account,
        }
    )  # fmt: skip


def _hubspot_company(v: Mapping[str, Any]) -> dict[str, Any]:
    return _filled(
        {
            "name": v["name"], "domain": v["host"], "website": v["website"], "crm_sync_email": v["email"],
            "phone": v["phone"], "address": v["street"], "city": v["city"], "state": v["state"],
            "zip": v["postal_code"], "country": v["country"], "industry": v["industry"], "type": v["type"],
            "numberofemployees": _digits(v["employees"]), "annualrevenue": _digits(v["revenue"]),
            "crm_sync_customer_since": v["customer_since"], "description": v["description"],
        }
    )  # fmt: skip


def _hubspot_contact(v: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    """Shape a contact; its company is an association. Whoever never opted out has no value there."""
    return _filled(
        {
            "firstname": v["first"], "lastname": v["last"], "salutation": v["salutation"], "email": v["email"],
            "crm_sync_second_email": v["second_email"], "phone": v["phone"], "mobilephone": v["mobile"],
            "fax": v["fax"], "jobtitle": v["title"], "address": v["street"], "city": v["city"], "state": v["state"],
            "zip": v["postal_code"], "country": v["country"], "date_of_birth": v["birth"], "message": v["notes"],
            "crm_sync_email_opt_out": "true" if v["opt_out"] else "",
            "crm_sync_do_not_call": "true" if v["no_calls"] else "",
        }
    )  # fmt: skip


def _dynamics_account(v: Mapping[str, Any]) -> dict[str, Any]:
    return _filled(
        {
            "name": v["name"], "websiteurl": v["website"], "emailaddress1": v["email"], "telephone1": v["phone"],
            "fax": v["fax"], "address1_line1": v["street"], "address1_city": v["city"],
            "address1_stateorprovince": v["state"], "address1_postalcode": v["postal_code"],
            "address1_country": v["country"], "industrycode": v["industry"], "customertypecode": v["type"],
            "numberofemployees": v["employees"], "revenue": v["revenue"],
            "crmsync_customersince": v["customer_since"], "description": v["description"],
        }
    )  # fmt: skip


def _dynamics_contact(v: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    return _filled(
        {
            "firstname": v["first"], "lastname": v["last"], "salutation": v["salutation"], "emailaddress1": v["email"],
            "emailaddress2": v["second_email"], "telephone1": v["phone"], "telephone2": v["home_phone"],
            "mobilephone": v["mobile"], "fax": v["fax"], "jobtitle": v["title"], "address1_line1": v["street"],
            "address1_city": v["city"], "address1_stateorprovince": v["state"],
            "address1_postalcode": v["postal_code"], "address1_country": v["country"], "birthdate": v["birth"],
            "donotbulkemail": v["opt_out"], "donotphone": v["no_calls"], "description": v["notes"],
            "parentcustomerid": account,
        }
    )  # fmt: skip


Shape = tuple[Callable[[Mapping[str, Any]], dict[str, Any]], Callable[[Mapping[str, Any], str | None], dict[str, Any]]]
SHAPES: dict[str, Shape] = {
    "salesforce": (_salesforce_account, _salesforce_contact),
    "hubspot": (_hubspot_company, _hubspot_contact),
    "dynamics": (_dynamics_account, _dynamics_contact),
}
