"""The words that the seeded population is made of: names of people, companies, streets, places, jobs.

Belongs here: word lists alone. Hosts end in .example, phone numbers are in ranges that nobody is reached by.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())



FIRST_NAMES: tuple[tuple[str, ...], ...] = tuple(
    tuple(one.split("/"))
    for one in _words(
        """
Robert/Bob/Rob William/Bill/Will Elizabeth/Liz/Beth Katherine/Kate/Kathy Michael/Mike James/Jim Richard/Rick/Dick
Margaret/Peggy/Maggie Thomas/Tom Jennifer/Jen Christopher/Chris Patricia/Pat Edward/Ed/Ted Susan/Sue Charles/Chuck
Joseph/Joe Daniel/Dan Deborah/Deb Anthony/Tony Steven/Steve Nicholas/Nick Samantha/Sam Benjamin/Ben Alexandra/Alex
Jonathan/Jon Gregory/Greg Theodore/Theo Victoria/Vicky Andrew/Andy Timothy/Tim Rebecca/Becky Matthew/Matt
Abigail/Abby José María Zoë Chloë Renée André François Hélène Jürgen Björn Sören Günther Käthe Åsa Łukasz Małgorzata
Dvořák Siân Niamh D'Arcy Jean-Luc Anne-Marie Mary-Jane Nan Null None Ana Bruno Carla Dmitri Elena Fatima Giulia Hana
Ivan Jana Karim Leila Mei Noor Olga Paolo Quinn Rosa Sanjay Tariq Uma Vera Wanda Ximena Yusuf Zara Aisha Bjarne
Cedric Dolores Esther Felix Greta Hugo Ingrid Jasper Klara Lorenzo Mila Nils Oscar Petra Rafael Selma Tobias Ursula
Valentin Wilma Xavier Yara Zeno Agnes Boris Clara Dario Edith Florian Gloria Hector Irene Julius Kira Linus Mona
Noel Otis Pia Ruth Silas Tessa Ugo Viola Wendy Abel Bella Cora Dana Eli Faye Gus Hope Ines Jude Kurt Lena Marco Nora
Owen Paul Rita Saul Tara Ulf Vito Ward
"""
    )
)
"""Each a first name and the nicknames that others may know the person by."""

LAST_NAMES: tuple[str, ...] = _words(
    """
Smith Johnson Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Wilson Anderson Taylor Moore
Jackson Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Young Allen King Wright Scott
Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts O'Brien O'Neill
D'Angelo McDonald MacLeod Müller Schröder Größe Weiß Günther Jäger Peña Núñez Ibáñez Gómez Lefèvre Bérénger Côté
Béranger Señor Håkansson Lindström Sjöberg Kovač Dvořáková Nováková Krzyżanowski Wójcik Żak Yılmaz Öztürk Çelik Null
None Nan Na Test True Void Undefined Smith-Jones Garcia-Lorca Saint-Exupéry Fischer Weber Wagner Becker Hoffmann
Koch Richter Klein Wolf Neumann Schwarz Zimmermann Braun Hartmann Lange Krause Lehmann Köhler Maier Rossi Russo
Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo Conti Costa Mancini Rizzo Lombardi Moretti
Barbieri Fontana Santoro Mariani Rinaldi Silva Santos Oliveira Souza Pereira Ferreira Almeida Carvalho Ribeiro
Martins Tanaka Suzuki Sato Watanabe Ito Yamamoto Nakamura Kobayashi Kim Park Choi Jung Chen Wang Zhang Liu Singh
Kumar Sharma Patel Gupta Khan Ali Hussain Ahmed Cohen Levi Mizrahi Peretz Ivanova Petrov Sokolov Popov Volkov Dubois
Durand Moreau Laurent Simon Michel Leroy Roux David Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine
Rousseau Vincent Jansen Bakker Visser Smit Meijer Mulder Bos Vos Peters Hendriks Dekker Brouwer Dijkstra Nielsen
Jensen Hansen Pedersen Andersen Christensen Larsen Rasmussen Berg Haugen Hagen Virtanen Korhonen Nieminen
Papadopoulos Georgiou Okafor Adeyemi Mensah Diallo Traore Mwangi Otieno Ndlovu Dlamini Abebe Tesfaye
"""
)

COMPANY_FIRST: tuple[str, ...] = _words(
    """
Acme Apex Atlas Aurora Beacon Birch Blue Bright Cedar Citadel Cobalt Copper Crest Crown Delta Dune Eagle Echo Ember
Falcon Fern Fjord Forge Fox Gamma Garnet Glacier Golden Granite Green Grove Harbor Hazel Helix Heron Horizon Indigo
Iron Ivory Jade Juniper Keystone Lake Lark Laurel Ligne Lumen Lunar Maple Marble Meridian Mesa Mill Mosaic Nimbus
North Oak Ocean Onyx Opal Orbit Orchid Osprey Pearl Pine Pioneer Plum Polar Prairie Prism Quartz Quill Raven Redwood
River Rowan Ruby Saffron Sage Sierra Silver Slate Solar Sparrow Spruce Stellar Stone Summit Swift Tern Thistle Tidal
Timber Topaz Trident Tulip Umber Union Valley Vector Velvet Vertex Vista Walnut Willow Winter Zenith Zephyr Café
Brücken Señal Überland Ångström
"""
)
COMPANY_SECOND: tuple[str, ...] = _words(
    """
Analytics Assurance Bakery Bank Biotech Books Builders Capital Clinic Consulting Credit Dental Design Devices
Dynamics Energy Engineering Finance Foods Freight Furniture Health Holdings Hotels Insurance Labs Learning Legal
Logistics Machines Markets Media Metals Motors Networks Optics Outfitters Paper Partners Pharma Plastics Power Press
Robotics School Security Software Solutions Steel Studios Supply Systems Textiles Toys Trading Travel Ventures Water
Works
"""
)
COMPANY_FORMS: tuple[str, ...] = ("", "", "", "Inc.", "Inc.", "LLC", "Ltd", "GmbH", "Group", "& Sons", "Corp.")

INDUSTRIES: tuple[str, ...] = (
    "technology", "software", "finance", "insurance", "manufacturing", "retail", "healthcare", "education", "other",
)  # fmt: skip
INDUSTRY_WORDS: dict[str, dict[str, tuple[str | int, ...]]] = {
    "salesforce": {
        "technology": ("Technology", "Electronics", "Telecommunications"), "software": ("Technology",),
        "finance": ("Finance", "Banking"), "insurance": ("Insurance",), "manufacturing": ("Manufacturing", "Machinery"),
        "retail": ("Retail",), "healthcare": ("Healthcare", "Biotechnology"), "education": ("Education",),
        "other": ("Other", "Hospitality", "Energy"),
    },
    "hubspot": {
        "technology": ("INFORMATION_TECHNOLOGY_AND_SERVICES", "COMPUTER_HARDWARE", "TELECOMMUNICATIONS"),
        "software": ("COMPUTER_SOFTWARE", "INTERNET"), "finance": ("FINANCIAL_SERVICES", "BANKING"),
        "insurance": ("INSURANCE",), "manufacturing": ("MACHINERY", "INDUSTRIAL_AUTOMATION"), "retail": ("RETAIL",),
        "healthcare": ("HOSPITAL_HEALTH_CARE", "MEDICAL_PRACTICE"), "education": ("EDUCATION_MANAGEMENT", "E_LEARNING"),
        "other": ("CONSUMER_SERVICES", "HOSPITALITY"),
    },
    "dynamics": {
        "technology": (6,), "software": (6,), "finance": (16, 4), "insurance": (20,), "manufacturing": (12, 17),
        "retail": (22, 25), "healthcare": (11,), "education": (27,), "other": (8, 10),
    },
}  # fmt: skip
"""How each CRM words an industry."""

COMPANY_TYPES: tuple[str, ...] = ("prospect", "customer", "partner", "reseller", "supplier", "other")
TYPE_WORDS: dict[str, dict[str, tuple[str | int, ...]]] = {
    "salesforce": {
        "prospect": ("Prospect",), "customer": ("Customer - Direct", "Customer - Channel"),
        "partner": ("Technology Partner", "Installation Partner"), "reseller": ("Channel Partner / Reseller",),
        "supplier": ("Other",), "other": ("Other",),
    },
    "hubspot": {
        "prospect": ("PROSPECT",), "customer": ("OTHER",), "partner": ("PARTNER",), "reseller": ("RESELLER",),
        "supplier": ("VENDOR",), "other": ("OTHER",),
    },
    "dynamics": {
        "prospect": (8,), "customer": (3,), "partner": (5,), "reseller": (9,), "supplier": (10, 11),
        "other": (12, 4, 7),
    },
}  # fmt: skip
"""How each CRM words what a company is to us."""

CITIES: tuple[tuple[str, str, str, str, str], ...] = tuple(
    tuple(part.strip() for part in line.split("|"))  # type: ignore[misc]
    for line in """
New York|New York|10001|United States|212
Chicago|Illinois|60601|United States|312
San Francisco|California|94103|United States|415
Boston|Massachusetts|02108|United States|617
Austin|Texas|78701|United States|512
Seattle|Washington|98101|United States|206
Denver|Colorado|80202|United States|303
Atlanta|Georgia|30303|United States|404
Miami|Florida|33101|United States|305
Portland|Oregon|97201|United States|503
Phoenix|Arizona|85001|United States|602
Minneapolis|Minnesota|55401|United States|612
Philadelphia|Pennsylvania|19103|United States|215
Dallas|Texas|75201|United States|214
Springfield|Illinois|62701|United States|217
London||EC1A 1BB|United Kingdom|44
Berlin|Berlin|10115|Germany|49
""".strip().splitlines()
)
"""City, state, postal code, country, and the area code (of a US city) or country code."""

STATE_CODES: dict[str, str] = {
    "New York": "NY", "Illinois": "IL", "California": "CA", "Massachusetts": "MA", "Texas": "TX", "Washington": "WA",
    "Colorado": "CO", "Georgia": "GA", "Florida": "FL", "Oregon": "OR", "Arizona": "AZ", "Minnesota": "MN",
    "Pennsylvania": "PA",
}  # fmt: skip
"""How others write a state."""

STREETS: tuple[str, ...] = (
    "Main Street", "Oak Avenue", "Market Street", "High Street", "Park Lane", "Mill Road", "Church Street",
    "Station Road", "King Street", "Lake Drive", "Hill Road", "River Street", "Elm Street", "Bridge Road",
    "Harbour Way",
)  # fmt: skip
TITLES: tuple[str, ...] = (
    "Accountant", "Account Manager", "Analyst", "Architect", "Buyer", "Chief Financial Officer",
    "Chief Technology Officer", "Consultant", "Controller", "Customer Success Manager", "Director of Operations",
    "Engineer", "Facility Manager", "Head of Procurement", "Head of Sales", "HR Manager", "IT Manager", "Lawyer",
    "Marketing Manager", "Nurse", "Office Manager", "Owner", "Product Manager", "Project Manager", "Receptionist",
    "Researcher", "Sales Representative", "Scientist", "Support Lead", "Teacher", "Vice President, Sales & Marketing",
)  # fmt: skip
NOTES: tuple[str, ...] = (
    "Prefers to be called in the morning.", "Met at the spring fair.", "Asked for the new price list.",
    "Waits for a call about the contract.", "Likes short answers.", "Speaks German & French.",
    "Renewal is due in autumn;\nask about more seats.", "Said \"call me maybe\" (really).", "Changed jobs lately.",
)  # fmt: skip
ROLES: tuple[str, ...] = ("info", "sales", "office", "contact", "support")
MAIL_HOSTS: tuple[str, ...] = ("mailbox.example", "post.example", "inbox.example", "webmail.example")
BAD_EMAILS: tuple[str, ...] = ("unknown", "n/a", "jane.doe@", "@nowhere.example", "two@signs@host.example")
BAD_PHONES: tuple[str, ...] = ("n/a", "unknown", "12345", "ask reception", "tbd", "---")
