"""Transforms of texts: text, long_text, email, phone.

Belongs here: what makes two spellings of one text equal. Not here: match keys, which forgive more (normalising.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from crm_sync.records import NULL
from crm_sync.specs.model import FieldSpec
from crm_sync.steps.codec import REFUSED, Codec
from crm_sync.steps.transforms_scalar import number_text

_BREAKS: Final = re.compile(r"\s*[\t\n\r\v\f\x1c-\x1f\x85\u2028\u2029]\s*")
_LINE_ENDS: Final = re.compile(r"\r\n?|\x85|\u2028|\u2029")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_LONG_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

_EMAIL: Final = re.compile(
    r"(?!.{255})[^\s@<>\"(),:;\\\[\].]+(\.[^\s@<>\"(),:;\\\[\].]+)*"
    r"@([^\W_]([\w-]*[^\W_])?\.)+[^\W\d_][\w-]*[^\W_]"
)

_TEN_DIGITS: Final = re.compile(r"(?:\+?1)?[ .-]?\(?([2-9][0-9]{2})\)?[ .-]?([0-9]{3})[ .-]?([0-9]{4})")
"""Numbers of the North American plan in the usual notations: the library reads them the same, whatever the digits."""
_TEN_DIGIT_REGIONS: Final = frozenset({"US", "CA"})
_PHONE_DIGITS: Final = re.compile(r"\d")
_SLACK: Final = 4
"""Digits that a notation may have beyond the number itself: prefixes for trunk and international calls."""


def _one_line(value: str) -> str:
    """Strip a text and put it on one line; control characters vanish."""
    value = value.strip()
    if value.isprintable():
        return value
    return _CONTROLS.sub("", _BREAKS.sub(" ", value)).strip()


def _lines(value: str) -> str:
    """Strip a text and end its lines with LF; other control characters vanish."""
    value = value.strip()
    if value.isprintable():
        return value
    return _LONG_CONTROLS.sub("", _LINE_ENDS.sub("\n", value)).strip()


def _as_text(value: Any) -> str | None:
    """Return the text of a scalar, None where it is no scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, int | float) else None


def _lifting(clean: Callable[[str], str]) -> Callable[[Any], str]:
    def lift(value: Any) -> str:
        found = _as_text(value)
        if found is None:
            return f"{REFUSED}text_invalid"
        cleaned = clean(found)
        if not cleaned.isascii() and _SURROGATE.search(cleaned):
            return f"{REFUSED}text_invalid"
        return f"t:{cleaned}" if cleaned else NULL

    return lift


def _cutting(clean: Callable[[str], str], options: Mapping[str, object]) -> Callable[[str], Any]:
    limit = options.get("max_length")

    def project(text_: str) -> str | None:
        cleaned = clean(text_[2:])
        if isinstance(limit, int) and len(cleaned) > limit:
            cleaned = cleaned[:limit].rstrip()
        return cleaned or None

    return project


def text(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of one-line texts: stripped, line breaks as spaces, cut to `max_length` outward."""
    return Codec(_lifting(_one_line), _cutting(_one_line, options))


def long_text(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of texts with lines: stripped, LF line ends, cut to `max_length` outward."""
    return Codec(_lifting(_lines), _cutting(_lines, options))


def valid_email(address: str) -> bool:
    """Tell whether a text has the form of an e-mail address that all CRMs take."""
    return _EMAIL.fullmatch(address) is not None


def email(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of e-mail addresses: stripped and lower-cased; anything else is `email_invalid`."""
    plain = _lifting(_one_line)

    def lift(value: Any) -> str:
        found = plain(value).lower() if isinstance(value, str) else f"{REFUSED}email_invalid"
        if found[:2] != "t:":
            return found
        return found if valid_email(found[2:]) else f"{REFUSED}email_invalid"

    def project(text_: str) -> str | None:
        return _one_line(text_[2:]).lower() or None

    return Codec(lift, project)


def _e164(written: str, region: str) -> str | None:
    try:
        parsed = phonenumbers.parse(written, region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return None
    number = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    extension = parsed.extension or ""
    if len(_PHONE_DIGITS.findall(written)) > len(number) - 1 + len(extension) + _SLACK:
        return None
    return f"{number} ext. {extension}" if extension else number


def phone_form(written: str, region: str) -> str:
    """Return a phone number as E.164, with " ext. <n>" where it has an extension; other texts come back as they are.

    A text that holds more digits than one number explains (two numbers, a remark) is left alone: nothing is lost. So is
    one whose E.164 form would be read as yet another number (odd runs of zeros).
    """
    plain = _TEN_DIGITS.fullmatch(written)
    if plain is not None and (written[0] == "+" or region in _TEN_DIGIT_REGIONS):
        return f"+1{plain[1]}{plain[2]}{plain[3]}"
    return parsed_phone_form(written, region)


@lru_cache(maxsize=20_000)
def parsed_phone_form(written: str, region: str) -> str:
    """Return the same by parsing with the library alone, which takes a hundred times longer."""
    found = _e164(written, region)
    return written if found is None or _e164(found, region) != found else found


def phone(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of phone numbers: E.164 by `region`; what is no number stays text (`doubts` counts it)."""
    region = str(options.get("region", "US"))
    plain = _lifting(_one_line)

    def lift(value: Any) -> str:
        found = plain(value)
        return f"t:{phone_form(found[2:], region)}" if found[:2] == "t:" else found

    def project(text_: str) -> str | None:
        written = _one_line(text_[2:])
        return phone_form(written, region) if written else None

    return Codec(lift, project)
