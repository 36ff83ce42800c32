"""Named normalisers of canonical texts for match keys: they forgive more than canonical text does.

Belongs here: what counts as equal when two records are compared. Not here: the rules (config/entities), the comparison
(matching.py). They only ever feed match keys; nothing normalised is stored or sent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crm_sync.records import ABSENT, NULL, Texts
from crm_sync.steps.transforms_text import valid_email

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://")
_HOST: Final = re.compile(r"([^\W_]([\w-]*[^\W_])?\.)+[^\W\d_][\w-]*[^\W_]")
_DIGITS: Final = re.compile(r"\D+", re.ASCII)
_E164: Final = re.compile(r"\+\d{6,15}", re.ASCII)

NORMALISER_VERSION: Final = 1
"""Raise it whenever a normaliser turns any text into something else than before: match keys are then made anew."""


def _exact(text: str) -> str | None:
    return text


def _email(text: str) -> str | None:
    found = text.strip().lower()
    return found if valid_email(found) else None


def _phone(text: str) -> str | None:
    found = _E164.match(text)
    rest = text[found.end() :] if found else text
    return found.group() if found and (not rest or rest.startswith(" ext. ")) else None


def _name(text: str) -> str | None:
    folded = text.casefold()
    if not folded.isascii():
        decomposed = unicodedata.normalize("NFKD", folded)
        folded = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
    bare = "".join(_NAME_MARKS.get(c, c) for c in folded) if not folded.isalnum() else folded
    words = bare.split()
    return " ".join(words) if words else (" ".join(folded.split()) or None)


def _host(text: str) -> str | None:
    found = _SCHEME.sub("", text.strip().lower(), count=1)
    found = re.split(r"[/?#\\]", found, maxsplit=1)[0].rpartition("@")[2]
    found = found.partition(":")[0].rstrip(".").removeprefix("www.")
    return found if _HOST.fullmatch(found) else None


def _digits(text: str) -> str | None:
    return _DIGITS.sub("", text) or None


_NAME_MARKS: Final = {
    **dict.fromkeys("'’‘`´ʼ\".,;:!?()[]{}*_“”„«»", ""),
    **dict.fromkeys("-‐‑‒–—/\\", " "),
}

_NORMALISERS: Final[dict[str, Callable[[str], str | None]]] = {
    "exact": _exact,
    "email": _email,
    "phone": _phone,
    "name": _name,
    "company": _name,
    "host": _host,
    "digits": _digits,
}

NAMES: Final = tuple(_NORMALISERS)


def normalise(name: str, texts: Texts) -> NDArray[np.object_]:
    """Return n match key parts for n canonical texts; None where there is nothing to match by.

    exact: the value itself; email: lower case, None if malformed; phone: the number without its extension, None for
    what is no number; name and company: without case, accents and punctuation; host: the host of a web address;
    digits: the digits alone.
    """
    function = _NORMALISERS[name]
    seen: dict[str, str | None] = {ABSENT: None, NULL: None}
    keys: list[str | None] = []
    for text in texts.tolist():
        if text not in seen:
            seen[text] = function(text[2:])
        keys.append(seen[text])
    out = np.empty(len(texts), dtype=object)
    out[:] = keys
    return out
