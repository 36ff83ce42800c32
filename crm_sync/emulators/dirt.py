"""Write down what a CRM's users know of a real thing, as carelessly as they do, at fixed rates.

The outcome is neutral: field names of no CRM. `keys` are the strong keys that a sync may rely on, `flaws` what it must
refuse the record for.
"""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass, field
from datetime import date
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
    "street_missing": 0.20, "country_missing": 0.10, "country_differs": 0.15, "state_missing": 0.25,
    "state_code": 0.35, "street_short": 0.20, "street_floor": 0.06, "postal_missing": 0.20, "postal_long": 0.05,
    "second_email_missing": 0.60, "second_email_invalid": 0.004, "home_phone_missing": 0.60, "fax_missing": 0.70,
    "fax_differs": 0.05, "no_calls_differs": 0.03, "company_email_missing": 0.35,
    "company_email_other": 0.05, "type_missing": 0.15,
    "type_differs": 0.05, "revenue_missing": 0.30, "revenue_differs": 0.15, "since_missing": 0.25,
    "since_differs": 0.04,
}  # fmt: skip
STREET_FORMS = {"Street": "St.", "Avenue": "Ave", "Road": "Rd", "Drive": "Dr.", "Lane": "Ln"}
COUNTRY_FORMS = {"United States": "USA", "United Kingdom": "UK", "Germany": "Deutschland"}


@dataclass(slots=True)
class Sighting:
    """What one CRM record says. `thing` is the index of the real one; `account` the index of a person's company.

    `connection` is where it is: the name of its CRM, unless there are several of one kind.
    """

    crm: str
    thing: int
    values: dict[str, Any]
    keys: set[str] = field(default_factory=set)
    flaws: list[str] = field(default_factory=list)
    account: int | None = None
    id: str = ""
    modified_us: int = 0
    created_us: int = 0
    connection: str = ""


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
        second_email, valid_second = self._second_email(crm, person)
        if not valid_second:
            seen.flaws.append("second e-mail invalid")
        seen.values = {
            "first": self._spaced(crm, first), "last": self._spaced(crm, last), "salutation": person.salutation,
            "email": email, "phone": phone, "mobile": self._written(mobile), "title": title,
            "second_email": second_email,
            "home_phone": "" if self.slips("home_phone_missing") else self._written(person.home_phone),
            "fax": self._fax(person.fax, person.phone), **self._address(person),
            "birth": "" if self.slips("birth_missing") else person.birth.isoformat(),
            "opt_out": person.opt_out != self.slips("opt_out_differs"),
            "no_calls": person.no_calls != self.slips("no_calls_differs"), "notes": notes,
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
        type = company.type if not self.slips("type_differs") else self.random.choice(words.COMPANY_TYPES)
        employees = company.employees
        if self.slips("employees_differs"):
            employees = max(1, int(employees * self.random.uniform(0.7, 1.4)))
        seen.values = {
            "name": self._spaced(crm, name), "website": self.random.choice(forms).format(host) if host else "",
            "host": host, "phone": "" if self.slips("phone_missing") else self._written(company.phone),
            "email": self._role_email(company),
            "fax": self._fax(company.fax, company.phone), **self._address(company),
            "industry": "" if self.slips("industry_missing") else self._word(words.INDUSTRY_WORDS, crm, industry),
            "type": "" if self.slips("type_missing") else self._word(words.TYPE_WORDS, crm, type),
            "employees": None if self.slips("employees_missing") else employees,
            "revenue": None if self.slips("revenue_missing") else self._revenue(crm, company.revenue),
            "customer_since": self._since(company.customer_since),
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

    def _word(self, words_of: dict[str, dict[str, tuple[str | int, ...]]], crm: str, meant: str) -> str | int:
        return self.random.choice(words_of[crm][meant])

    def _second_email(self, crm: str, person: Person) -> tuple[str, bool]:
        """Return (address, whether it is one). Salesforce checks it; elsewhere it is a text like any other."""
        if self.slips("second_email_missing"):
            return "", True
        if crm != "salesforce" and self.slips("second_email_invalid"):
            return self.random.choice(words.BAD_EMAILS), False
        return person.other_email.upper() if self.slips("email_case") else person.other_email, True

    def _role_email(self, company: Company) -> str:
        if self.slips("company_email_missing"):
            return ""
        if self.slips("company_email_other"):
            return f"{self.random.choice(words.ROLES)}@{company.host}"
        return company.email.upper() if self.slips("email_case") else company.email

    def _fax(self, fax: str, phone: str) -> str:
        if self.slips("fax_missing"):
            return ""
        return self._written(phone if self.slips("fax_differs") else fax)

    def _address(self, at: Company | Person) -> dict[str, Any]:
        state = words.STATE_CODES.get(at.state, at.state) if self.slips("state_code") else at.state
        country = COUNTRY_FORMS[at.country] if self.slips("country_differs") else at.country
        postal_code = at.postal_code
        if postal_code.isdigit() and self.slips("postal_long"):
            postal_code = f"{postal_code}-{self.random.randint(1, 999):04}"
        return {
            "street": "" if self.slips("street_missing") else self._street(at.street), "city": self._city(at.city),
            "state": "" if self.slips("state_missing") else state,
            "postal_code": "" if self.slips("postal_missing") else postal_code,
            "country": "" if self.slips("country_missing") else country,
        }  # fmt: skip

    def _street(self, street: str) -> str:
        if self.slips("street_short"):
            number_and_name, _, kind = street.rpartition(" ")
            street = f"{number_and_name} {STREET_FORMS.get(kind, kind)}"
        return f"{street}\nFloor {self.random.randint(2, 9)}" if self.slips("street_floor") else street

    def _revenue(self, crm: str, revenue: float) -> float:
        """Return a year's revenue; Salesforce keeps no cents."""
        if self.slips("revenue_differs"):
            revenue *= self.random.choice((0.9, 1.1, 1.25))
        return float(round(revenue)) if crm == "salesforce" else round(revenue, 2)

    def _since(self, day: date | None) -> str:
        if day is None or self.slips("since_missing"):
            return ""
        return (day.replace(day=1) if self.slips("since_differs") else day).isoformat()
