"""Write down what a CRM's users know of a real thing, as carelessly as they do, at fixed rates.

The outcome is neutral: field names of no CRM. `keys` are the strong keys that a sync may rely on, `flaws` what it must
refuse the record for.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_sync.emulators import vocabulary as words
from crm_sync.emulators.population import Company, Person
from crm_sync.emulators.truth import plain, plain_host

RATES: dict[str, float] = {
    "email_missing": 0.10, "email_other": 0.04, "email_typo": 0.02, "email_invalid": 0.012, "email_case": 0.15,
    "email_space": 0.05, "phone_missing": 0.15, "phone_other": 0.04, "phone_invalid": 0.012, "mobile_missing": 0.40,
    "first_missing": 0.02, "last_missing": 0.01, "nickname": 0.06, "accents_lost": 0.25, "shouted": 0.03, "space": 0.05,
    "title_missing": 0.20, "title_differs": 0.10, "title_long": 0.012, "title_too_long": 0.004, "city_missing": 0.15,
    "city_differs": 0.05, "birth_missing": 0.50, "opt_out_differs": 0.04, "notes_missing": 0.30, "notes_long": 0.01,
    "account_missing": 0.05, "name_missing": 0.01, "website_missing": 0.12, "website_other": 0.03, "form_lost": 0.10,
    "industry_missing": 0.10, "industry_differs": 0.05, "employees_missing": 0.20, "employees_differs": 0.15,
    "street_missing": 0.20, "country_differs": 0.15,
}  # fmt: skip
COUNTRY_FORMS = {"United States": "USA", "United Kingdom": "UK", "Germany": "Deutschland"}


@dataclass(slots=True)
class Sighting:
    """What one CRM record says. `thing` is the index of the real one; `account` the index of a person's company."""

    crm: str
    thing: int
    values: dict[str, Any]
    keys: set[str] = field(default_factory=set)
    flaws: list[str] = field(default_factory=list)
    account: int | None = None
    id: str = ""
    modified_us: int = 0
    created_us: int = 0


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


class Clerk:
    """One careless random stream."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def slips(self, what: str) -> bool:
        """Tell whether it happens this time."""
        return self.random.random() < RATES[what]

    def contact(self, crm: str, number: int, person: Person, *, email_taken: set[str]) -> Sighting:
        """Write a person down. `email_taken`: addresses that this CRM will not take twice (HubSpot); grows."""
        seen = Sighting(crm, number, {}, account=None if self.slips("account_missing") else person.company)
        first = self.random.choice(person.nicknames) if person.nicknames and self.slips("nickname") else person.first
        first, last = self._spelled(first), self._spelled(person.last)
        if self.slips("first_missing"):
            first = ""
        if crm == "hubspot" and first and self.slips("last_missing"):
            last = ""
            seen.flaws.append("last name missing")
        email, valid_email = self._email(crm, person, email_taken)
        if email and not valid_email:
            seen.flaws.append("e-mail invalid")
        phone, phone_number = self._phone(person)
        mobile = "" if self.slips("mobile_missing") else person.mobile
        title = self._title(crm, person, seen)
        notes = "" if self.slips("notes_missing") else person.notes
        if notes and crm != "dynamics" and self.slips("notes_long"):
            notes = "\n".join([notes] * (2500 // len(notes) + 1))
        opt_out = person.opt_out if not self.slips("opt_out_differs") else not person.opt_out
        seen.values = {
            "first": self._spaced(crm, first), "last": self._spaced(crm, last), "salutation": person.salutation,
            "email": email, "phone": phone, "mobile": self._written(mobile), "title": title,
            "city": self._city(person.city), "birth": "" if self.slips("birth_missing") else person.birth.isoformat(),
            "opt_out": opt_out, "notes": notes,
        }  # fmt: skip
        if first and last:
            name = plain(f"{first} {last}")
            parts = {"e": plain(email) if valid_email else "", "p": phone_number, "m": mobile}
            seen.keys = {f"{kind}|{value}|{name}" for kind, value in parts.items() if value}
        return seen

    def account(self, crm: str, number: int, company: Company) -> Sighting:
        """Write a company down."""
        seen = Sighting(crm, number, {})
        name = company.name
        if self.slips("form_lost"):
            name = name.removesuffix(" Inc.").removesuffix(" LLC").removesuffix(" GmbH").removesuffix(" Corp.")
        name = self._spelled(name)
        if crm == "hubspot" and self.slips("name_missing"):
            name = ""
            seen.flaws.append("name missing")
        host = company.host
        if self.slips("website_other"):
            host = f"shop.{host}"
        if self.slips("website_missing") and name:
            host = ""
        forms = ("{}", "www.{}", "https://{}", "http://www.{}", "https://www.{}/", "https://{}/en/home?ref=crm", "HTTPS://{}")
        industry = company.industry if not self.slips("industry_differs") else self.random.choice(words.INDUSTRIES)
        employees = company.employees
        if self.slips("employees_differs"):
            employees = max(1, int(employees * self.random.uniform(0.7, 1.4)))
        seen.values = {
            "name": self._spaced(crm, name), "website": self.random.choice(forms).format(host) if host else "",
            "host": host, "phone": "" if self.slips("phone_missing") else self._written(company.phone),
            "street": "" if self.slips("street_missing") else company.street, "city": self._city(company.city),
            "postal_code": company.postal_code,
            "country": COUNTRY_FORMS[company.country] if self.slips("country_differs") else company.country,
            "industry": "" if self.slips("industry_missing") else self._industry(crm, industry),
            "employees": None if self.slips("employees_missing") else employees,
            "description": "" if self.slips("notes_missing") else company.description,
        }  # fmt: skip
        if host and name:
            seen.keys = {f"w|{plain_host(seen.values['website'])}|{plain(name)}"}
        return seen

    # -- single values

    def _spelled(self, name: str) -> str:
        if self.slips("accents_lost"):
            name = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
        return name.upper() if self.slips("shouted") else name

    def _spaced(self, crm: str, text: str) -> str:
        """Add surplus spaces (Salesforce strips texts when it saves them)."""
        if not text or crm == "salesforce" or not self.slips("space"):
            return text
        return self.random.choice((f"{text} ", f" {text}", f"{text}  "))

    def _email(self, crm: str, person: Person, taken: set[str]) -> tuple[str, bool]:
        """Return (address, whether it is one). Only Dynamics takes any text; HubSpot keeps lower case."""
        if self.slips("email_missing"):
            return "", True
        email = person.other_email if self.slips("email_other") else person.email
        if self.slips("email_typo"):
            local, _, host = email.partition("@")
            email = f"{local[0]}{local[0]}{local[1:]}@{host}"
        if crm == "hubspot":
            if email in taken:
                return "", True
            taken.add(email)
            return email, True
        if crm == "dynamics" and self.slips("email_invalid"):
            return self.random.choice(words.BAD_EMAILS), False
        if self.slips("email_case"):
            email = self.random.choice((email.upper(), email.title(), email.capitalize()))
        if crm == "dynamics" and self.slips("email_space"):
            email = self.random.choice((f"{email} ", f" {email}"))
        return email, True

    def _phone(self, person: Person) -> tuple[str, str]:
        """Return the phone as written, and the number it stands for."""
        if self.slips("phone_missing"):
            return "", ""
        if self.slips("phone_invalid"):
            return self.random.choice(words.BAD_PHONES), ""
        number = person.other_phone if self.slips("phone_other") else person.phone
        return self._written(number), number

    def _written(self, number: str) -> str:
        """Write an E.164 number in one of many notations; foreign ones always with their country code."""
        if number.startswith("+1"):
            a, b, c = number[2:5], number[5:8], number[8:]
            forms = [
                number, f"({a}) {b}-{c}", f"{a}-{b}-{c}", f"{a}.{b}.{c}", f"{a} {b} {c}", f"+1 {a} {b} {c}",
                f"1-{a}-{b}-{c}", f"{a}{b}{c}", f"+1 ({a}) {b}-{c}",
            ]  # fmt: skip
        elif number:
            code, rest = number[:3], number[3:]
            forms = [number, f"{code} {rest[:2]} {rest[2:6]} {rest[6:]}", f"{code} (0) {rest[:2]} {rest[2:]}"]
            forms.append(f"{code}-{rest}")
        else:
            return ""
        return self.random.choice(forms)

    def _title(self, crm: str, person: Person, seen: Sighting) -> str:
        if self.slips("title_missing"):
            return ""
        title = self.random.choice(words.TITLES) if self.slips("title_differs") else person.title
        if crm != "dynamics" and self.slips("title_long"):
            title = f"{title}, responsible for everything that has to do with {title.lower()} work"
            title = f"{title:.<110}"[:128]
        elif crm == "hubspot" and self.slips("title_too_long"):
            title = f"{title} " + "and so on " * 14
            seen.flaws.append("job title too long")
        return title

    def _city(self, city: str) -> str:
        if self.slips("city_missing"):
            return ""
        return self.random.choice(words.CITIES)[0] if self.slips("city_differs") else city

    def _industry(self, crm: str, industry: str) -> str | int:
        return self.random.choice(words.INDUSTRY_WORDS[crm][industry])
