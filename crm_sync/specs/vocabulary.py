"""The words that rule files may use: kinds of CRM, transforms and their options, normalisers, operators, sign-in.

Belongs here: names only, so that the loader can check them. Not here: what they do (steps/transforms*,
steps/normalising, steps/scoping); tests hold these lists equal to what the steps offer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crm_sync.specs.model import FieldType

KINDS: Final = ("salesforce", "hubspot", "dynamics")

HUB: Final = "hub"
"""The name under which the hub itself stands in a priority list; no connection may bear it."""


@dataclass(frozen=True, slots=True)
class TransformWord:
    """A transform as rule files know it: the field types that it serves and the options that it takes."""

    types: frozenset[FieldType]
    options: frozenset[str]


def _word(types: tuple[FieldType, ...], *options: str) -> TransformWord:
    return TransformWord(frozenset(types), frozenset(options))


TRANSFORMS: Final[dict[str, TransformWord]] = {
    "text": _word((FieldType.TEXT, FieldType.LONG_TEXT), "max_length"),
    "long_text": _word((FieldType.LONG_TEXT,), "max_length"),
    "email": _word((FieldType.EMAIL,), "max_length"),
    "phone": _word((FieldType.PHONE,), "max_length", "region"),
    "picklist": _word((FieldType.PICKLIST,), "values", "default", "unmapped"),
    "boolean": _word((FieldType.BOOLEAN,), "invert", "empty", "as"),
    "date": _word((FieldType.DATE,)),
    "datetime": _word((FieldType.DATETIME,), "truncate"),
    "number": _word((FieldType.NUMBER,), "places", "as"),
    "reference": _word((FieldType.REFERENCE,)),
}

DEFAULT_TRANSFORM: Final[dict[FieldType, str]] = {kind: kind.value for kind in FieldType}

NORMALISERS: Final = ("exact", "email", "phone", "name", "company", "host", "digits")

OPERATORS: Final = ("is", "is_not", "filled", "empty")

OUTCOMES: Final = ("link", "review")

AUTHS: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    "client_credentials": (frozenset({"client_id", "client_secret"}), frozenset({"tenant", "authority"})),
    "token": (frozenset({"token"}), frozenset()),
    "refresh_token": (frozenset({"client_id", "client_secret", "refresh_token"}), frozenset()),
}
"""Sign-in method -> (secrets that it needs, secrets that it may have)."""

AUTHS_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "salesforce": ("client_credentials",),
    "hubspot": ("token", "refresh_token"),
    "dynamics": ("client_credentials",),
}
