"""Make and check record ids: 15 characters, of which three are the object's prefix, and 3 check characters."""

from __future__ import annotations

import re

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
FORM = re.compile(r"[0-9A-Za-z]{15}([A-Z0-5]{3})?")
CAPITALS = str.maketrans({c: "1" if c.isupper() else "0" for c in ALPHABET})
ORG = "00DHs0000000001"
USER = "005Hs0000000001"


def lengthen(short: str) -> str:
    """Return the 18-character form: each check character tells which of five characters are capitals."""
    bits = short.translate(CAPITALS)[::-1]
    return f"{short}{CHECKS[int(bits[10:15], 2)]}{CHECKS[int(bits[5:10], 2)]}{CHECKS[int(bits[0:5], 2)]}"


def make(prefix: str, number: int) -> str:
    """Return the 18-character id of the n-th record of an object."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = ALPHABET[rest] + digits
    return lengthen(f"{prefix}Hs{digits:0>10}")


def parse(text: object) -> str | None:
    """Return the 18-character form of a 15- or 18-character id; None if it is none, or wrongly checked."""
    if not isinstance(text, str) or not FORM.fullmatch(text):
        return None
    full = lengthen(text[:15])
    return full if len(text) == 15 or text == full else None
