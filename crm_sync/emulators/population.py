"""Invent the real world that the pretend CRMs know about: companies and people, deterministic by seed.

No two people share an e-mail address or phone number *and* any form of their full name; families and offices do share
addresses, and namesakes share names.
"""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass, field
from datetime import date, timedelta

from crm_sync.emulators import vocabulary as words

FRANCHISE_RATE = 0.02
SAME_NAME_RATE = 0.03
FAMILY_RATE = 0.06
ROLE_ADDRESS_RATE = 0.05
NAMESAKE_RATE = 0.03
NO_COMPANY_RATE = 0.12
PHONES_A_BLOCK = 100_000
"""More than a block of the largest size takes: five a person, two a company."""
SPARE_AREAS = ("646", "718", "773", "619", "408", "702", "813", "901", "316")


@dataclass(slots=True)
class Company:
    """One real company. `host` may be shared by a franchise, `name` by a company elsewhere; never both."""

    name: str
    host: str
    email: str
    phone: str
    fax: str
    street: str
    city: str
    state: str
    postal_code: str
    country: str
    industry: str
    type: str
    employees: int
    revenue: float
    customer_since: date | None
    description: str


@dataclass(slots=True)
class Person:
    """One real person; `company` is an index into the companies. Phones are E.164."""

    first: str
    last: str
    nicknames: tuple[str, ...]
    salutation: str
    email: str
    other_email: str
    phone: str
    other_phone: str
    mobile: str
    home_phone: str
    fax: str
    title: str
    street: str
    city: str
    state: str
    postal_code: str
    country: str
    birth: date
    opt_out: bool
    no_calls: bool
    notes: str
    company: int | None


@dataclass(slots=True)
class World:
    """The real world."""

    companies: list[Company] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)


class _Inventor:
    """Makes unique things: one random stream, and registers of what is taken."""

    def __init__(self, seed: int, block: int) -> None:
        self.random = random.Random(seed)
        self.mark = str(block) if block else ""
        self.hosts: set[str] = set()
        self.emails: set[str] = set()
        self.names: set[str] = set()
        self.placed: set[tuple[int, str, str]] = set()
        self.phones = block * PHONES_A_BLOCK

    def phone(self, area: str) -> str:
        """Return a number nobody has: 555 in the US, the ranges kept for drama elsewhere as long as they last."""
        self.phones += 1
        number = self.phones
        if area == "44" and number < 1000:
            return f"+4420794{60000 + number}"
        if area == "49" and number < 1000:
            return f"+493023125{number:03}"
        block, line = divmod(number, 10_000)
        if block:  # beyond ten thousand, area codes and exchanges are used up one after the other
            exchange, place = divmod(block, len(SPARE_AREAS))
            return f"+1{SPARE_AREAS[place]}{555 + exchange}{line:04}"
        return f"+1{area if len(area) == 3 else '917'}555{line:04}"

    def email(self, local: str, host: str) -> str:
        """Return an address nobody has."""
        local = f"{local}.b{self.mark}-" if self.mark else local  # "b1-" and "b12-" never meet, whatever follows
        candidate, number = f"{local.rstrip('-')}@{host}", 1
        while candidate in self.emails:
            number += 1
            candidate = f"{local}{number}@{host}"
        self.emails.add(candidate)
        return candidate

    def host(self, name: str) -> str:
        """Return a host nobody has."""
        base = f"{ascii_word(name)}-{self.mark}-" if self.mark else ascii_word(name)
        candidate, number = f"{base.rstrip('-')}.example", 1
        while candidate in self.hosts:
            number += 1
            candidate = f"{base}{number}.example"
        self.hosts.add(candidate)
        return candidate

    def street(self) -> str:
        return f"{self.random.randint(1, 999)} {self.random.choice(words.STREETS)}"

    def company(self, earlier: list[Company]) -> Company:
        rng = self.random
        name = " ".join(filter(None, map(rng.choice, (words.COMPANY_FIRST, words.COMPANY_SECOND, words.COMPANY_FORMS))))
        while name in self.names:
            name = f"{rng.choice(words.COMPANY_FIRST)} {name}"
        city, state, postal_code, country, area = rng.choice(words.CITIES)
        host, draw = "", rng.random()
        if earlier and draw < FRANCHISE_RATE:
            host = rng.choice(earlier).host
        elif earlier and draw < FRANCHISE_RATE + SAME_NAME_RATE:
            name = rng.choice(earlier).name
        self.names.add(name)
        host = host or self.host(name)
        employees = int(10 ** rng.uniform(0.3, 4.5))
        type = rng.choice(words.COMPANY_TYPES)
        return Company(
            name=name, host=host, email=f"{rng.choice(words.ROLES)}@{host}", phone=self.phone(area),
            fax=self.phone(area), street=self.street(), city=city, state=state, postal_code=postal_code,
            country=country, industry=rng.choice(words.INDUSTRIES), type=type, employees=employees,
            revenue=round(employees * rng.uniform(4e4, 3e5), 2),
            customer_since=date(2005, 1, 1) + timedelta(rng.randrange(7_000)) if type == "customer" else None,
            description=f"{name} in {city}. " + " ".join(rng.choice(words.NOTES) for _ in range(rng.randint(0, 3))),
        )  # fmt: skip

    def person(self, company: int | None, world: World, *, first: tuple[str, ...], last: str) -> Person:
        rng = self.random
        city, state, postal_code, country, area = rng.choice(words.CITIES)
        street = self.street()
        host = rng.choice(words.MAIL_HOSTS)
        if company is not None:
            at = world.companies[company]
            host, street, city, state, postal_code, country = (
                at.host, at.street, at.city, at.state, at.postal_code, at.country,
            )  # fmt: skip
        local = f"{ascii_word(first[0])}.{ascii_word(last)}"
        return Person(
            first=first[0], last=last, nicknames=first[1:],
            salutation=rng.choices(("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "", "Eng."), (35, 30, 10, 6, 2, 15, 2))[0],
            email=self.email(local, host), other_email=self.email(local, rng.choice(words.MAIL_HOSTS)),
            phone=self.phone(area), other_phone=self.phone(area), mobile=self.phone("917"),
            home_phone=self.phone(area), fax=self.phone(area), title=rng.choice(words.TITLES), street=street,
            city=city, state=state, postal_code=postal_code, country=country,
            birth=date(1945, 1, 1) + timedelta(rng.randrange(22_000)),
            opt_out=rng.random() < 0.08, no_calls=rng.random() < 0.05, company=company,
            notes=" ".join(rng.choice(words.NOTES) for _ in range(rng.choice((0, 0, 1, 2)))),
        )  # fmt: skip


def ascii_word(text: str) -> str:
    """Return the lower-case ASCII letters and digits of a text (an umlaut loses its dots)."""
    folded = unicodedata.normalize("NFKD", text.casefold().replace("ł", "l").replace("ı", "i"))
    return "".join(c for c in folded if c.isascii() and c.isalnum()) or "x"


def invent(seed: int, accounts: int, contacts: int, block: int = 0) -> World:
    """Invent `accounts` companies and `contacts` people; blocks share no address, phone and host."""
    inventor = _Inventor(seed, block)
    rng = inventor.random
    world = World()
    for _ in range(accounts):
        world.companies.append(inventor.company(world.companies))
    while len(world.people) < contacts:
        company = rng.randrange(accounts) if accounts and rng.random() >= NO_COMPANY_RATE else None
        last = rng.choice(words.LAST_NAMES)
        room = contacts - len(world.people)
        draw = rng.random()
        if draw < FAMILY_RATE and room >= 2:
            _family(inventor, world, last, min(room, rng.choice((2, 2, 3, 4))))
        elif draw < FAMILY_RATE + ROLE_ADDRESS_RATE and company is not None and room >= 2:
            _office(inventor, world, company, min(room, rng.choice((2, 3))))
        else:
            first = rng.choice(words.FIRST_NAMES)
            if world.people and rng.random() < NAMESAKE_RATE:
                namesake = rng.choice(world.people)
                first, last = (namesake.first, *namesake.nicknames), namesake.last
            world.people.append(inventor.person(company, world, first=first, last=last))
    return world


def _family(inventor: _Inventor, world: World, last: str, size: int) -> None:
    """Add people of one last name who share an e-mail address, and often the phone at home."""
    shared_phone = inventor.random.random() < 0.6
    firsts = inventor.random.sample(words.FIRST_NAMES, size)
    members = [inventor.person(None, world, first=first, last=last) for first in firsts]
    for member in members:
        member.email = members[0].email
        member.street, member.city, member.state = members[0].street, members[0].city, members[0].state
        member.postal_code, member.country = members[0].postal_code, members[0].country
        if shared_phone:
            member.phone = members[0].phone
    world.people += members


def _office(inventor: _Inventor, world: World, company: int, size: int) -> None:
    """Add colleagues who are reached by one role address and the company's phone."""
    rng = inventor.random
    address = f"{rng.choice(words.ROLES)}@{world.companies[company].host}"
    for first in rng.sample(words.FIRST_NAMES, size):
        last = rng.choice(words.LAST_NAMES)
        if (company, first[0], last) in inventor.placed:
            continue
        inventor.placed.add((company, first[0], last))
        person = inventor.person(company, world, first=first, last=last)
        person.email, person.phone = address, world.companies[company].phone
        world.people.append(person)
