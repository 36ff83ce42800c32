"""What the model test of Dataverse draws: values, keys, navigation; and the environment that it starts from."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.models.dynamics_world import KEYS, SETS
from tests.unit.emulators.dynamics.local import Local

PREFIX = "Microsoft.Dynamics.CRM."
ALL = 'odata.include-annotations="*"'
NAVIGATION = {
    ("contact", "account"): ("parentcustomerid", "parentcustomerid_account"),
    ("contact", "contact"): ("parentcustomerid", "parentcustomerid_contact"),
    ("account", "contact"): ("primarycontactid", "primarycontactid"),
    ("task", "account"): ("regardingobjectid", "regardingobjectid_account_task"),
    ("task", "contact"): ("regardingobjectid", "regardingobjectid_contact_task"),
}

texts = st.sampled_from([None, "Li", "li", "O'Hara", "Ärlig", "100%", "x" * 50])
values = {
    "account": st.fixed_dictionaries(
        {}, optional={"name": texts, "numberofemployees": st.one_of(st.none(), st.integers(0, 9))}
    ),
    "contact": st.fixed_dictionaries(
        {},
        optional={
            "lastname": texts,
            "jobtitle": texts,
            "birthdate": st.sampled_from([None, "1980-02-29", "1999-12-31"]),
            "donotemail": st.booleans(),
        },
    ),
    "task": st.fixed_dictionaries(
        {}, optional={"subject": texts, "percentcomplete": st.one_of(st.none(), st.integers(0, 100))}
    ),
}
tables = st.sampled_from(list(SETS))
keyed = st.sampled_from(list(KEYS))
key_values = st.sampled_from(["K1", "k1", "K2", "K'3", "K 4"])


def template() -> Path:
    """Build the environment that all sequences start from, once."""
    place = Path(tempfile.mkdtemp(prefix="dynamics-model-"))
    here = Local(place)
    for table, column in KEYS.items():
        here.key(table, column)
    for table in SETS:
        here.track(table)
    here.close()
    return place


def change_set(*requests: tuple[int, str, dict[str, Any]]) -> bytes:
    """Return a $batch (boundary b) of one change set that creates rows: (Content-ID, set, body)."""
    parts = [
        f"--s\r\nContent-Type: application/http\r\nContent-ID: {at}\r\n\r\nPOST {set_name} HTTP/1.1\r\n"
        f"Content-Type: application/json\r\n\r\n{json.dumps(body)}\r\n"
        for at, set_name, body in requests
    ]
    head = "--b\r\nContent-Type: multipart/mixed; boundary=s\r\n\r\n"
    return (head + "".join(parts) + "--s--\r\n--b--\r\n").encode()
