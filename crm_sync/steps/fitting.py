"""Compare a mapping with what a CRM says of its object: does everything that we read and write fit there?

Belongs here: every way in which a mapping and a description can disagree. Not here: asking the CRM (flows/live_check),
mistakes that the rule files show alone (specs/), which type holds what (kinds.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from crm_sync.records import FieldDescription, ObjectDescription
from crm_sync.specs.model import Direction, EntitySpec, FieldMapping, FieldSpec, MappingSpec, Place
from crm_sync.specs.reading import suggest
from crm_sync.steps.kinds import holds_choice, holds_text, readable_as, writable_as

PROVISION: Final = "see `crm-sync provision --plan`, then run `crm-sync provision --apply`"
_TEXT_TRANSFORMS: Final = frozenset({"text", "long_text", "email", "phone", "picklist"})
_SHOWN: Final = 5


class Severity(StrEnum):
    """ERROR: records or fields will not sync as the rules say. WARNING: some values may not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement between the rules and a CRM, or our lack of access to it; `file` is relative to config/.

    `kind` is a word for programs: missing, hidden, read_only, too_short, wrong_type, value_absent, value_unmapped,
    not_unique, not_provisioned, unset, credentials, unreachable, limit, refused.
    """

    severity: Severity
    kind: str
    connection: str
    entity: str
    field: str
    source: str
    file: str
    line: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}: {self.severity}: {self.connection}: {self.message}{hint}"


@dataclass(frozen=True, slots=True)
class _Judge:
    """What stays the same for one mapping."""

    connection: str
    entity: EntitySpec
    mapping: MappingSpec
    there: ObjectDescription
    place: Place

    def finding(
        self,
        severity: Severity,
        kind: str,
        field: str,
        source: str,
        keys: Iterable[str],
        message: str,
        suggestion: str = "",
    ) -> Finding:
        line = self.place.line(*keys)
        return Finding(
            severity, kind, self.connection, self.entity.name, field, source, self.place.file, line, message, suggestion
        )

    def named(self, source: str) -> str:
        return f"{self.mapping.object}.{source}"


def judge(
    connection: str, entity: EntitySpec, mapping: MappingSpec, there: ObjectDescription, place: Place
) -> list[Finding]:
    """Return everything in which a mapping does not fit the object that a CRM describes, in the order of the file."""
    it = _Judge(connection, entity, mapping, there, place)
    found = [*_technical(it), *_scope(it)]
    for mapped in mapping.fields:
        if mapped.association is None:
            found += _field(it, mapped, entity.field(mapped.field))
    return sorted(found, key=lambda one: one.line)


def _technical(it: _Judge) -> Iterator[Finding]:
    for key in ("id_field", "stamp_field"):
        source = str(getattr(it.mapping, key))
        described = it.there.fields.get(source)
        if described is None or not described.readable:
            yield _missing(it, "", source, (f".{key}",))
    source = it.mapping.external_key
    key_there = it.there.fields.get(source)
    if key_there is None:
        what = f"{it.named(source)}, our own key, is missing, or hidden from us"
        yield it.finding(Severity.ERROR, "not_provisioned", "", source, (".external_key",), what, PROVISION)
        return
    if not key_there.unique:
        what = f"{it.named(source)}, our own key, is not unique there, so a repeated create could double a record"
        yield it.finding(Severity.ERROR, "not_unique", "", source, (".external_key",), what, PROVISION)
    if not (key_there.readable and key_there.writable):
        what = f"{it.named(source)}, our own key, must be readable and writable, and is not"
        hint = "let the integration user read and edit it"
        yield it.finding(Severity.ERROR, "read_only", "", source, (".external_key",), what, hint)


def _scope(it: _Judge) -> Iterator[Finding]:
    for rule in it.mapping.scope:
        described = it.there.fields.get(rule.source)
        keys = (f".scope.{rule.source}", ".scope")
        if described is None or not described.readable:
            yield _missing(it, "", rule.source, keys)
        elif described.options and rule.operator in ("is", "is_not"):
            absent = [value for value in rule.values if value not in described.options]
            if absent:
                what = f"{it.named(rule.source)} has no value {_listed(absent)}, by which the scope goes"
                hint = suggest(absent[0], described.options)
                yield it.finding(Severity.WARNING, "value_absent", "", rule.source, keys, what, hint)


def _missing(it: _Judge, field: str, source: str, keys: Iterable[str]) -> Finding:
    what = f"{it.named(source)} is missing, or hidden from us"
    hint = suggest(source, it.there.fields)
    hint = hint if hint.startswith("did") else "mend the name, or let the integration user see it"
    return it.finding(Severity.ERROR, "missing", field, source, keys, what, hint)


def _field(it: _Judge, mapped: FieldMapping, spec: FieldSpec) -> Iterator[Finding]:
    described = it.there.fields.get(mapped.source)
    at = (f"{mapped.field}.source", mapped.field)
    if described is None:
        if mapped.provision:
            what = f"{it.named(mapped.source)}, a field of our own, is missing"
            yield it.finding(Severity.ERROR, "not_provisioned", mapped.field, mapped.source, at, what, PROVISION)
        else:
            yield _missing(it, mapped.field, mapped.source, at)
        return
    inward, outward = mapped.direction is not Direction.OUT, mapped.direction is not Direction.IN
    if inward and not described.readable:
        what = f"{it.named(mapped.source)} cannot be read by us, so {mapped.field!r} is never taken over"
        hint = "let the integration user read it, or use direction: out"
        yield it.finding(Severity.ERROR, "hidden", mapped.field, mapped.source, at, what, hint)
    if outward and not described.writable:
        what = f"{it.named(mapped.source)} is read-only there, but {mapped.field!r} is mapped outward"
        hint = "use direction: in, or map a field that can be written"
        keys = (f"{mapped.field}.direction", *at)
        yield it.finding(Severity.ERROR, "read_only", mapped.field, mapped.source, keys, what, hint)
    if (outward and not writable_as(mapped, described.type)) or (inward and not readable_as(mapped, described.type)):
        as_text = mapped.transform in ("boolean", "number") and holds_text(described.type)
        what = f"{it.named(mapped.source)} is of type {described.type}, which does not hold the {spec.type} "
        what += f"{mapped.field!r} as it is mapped"
        hint = "add `as: text`" if as_text else "map a field of a fitting type"
        keys = (f"{mapped.field}.transform", *at)
        yield it.finding(Severity.ERROR, "wrong_type", mapped.field, mapped.source, keys, what, hint)
        return
    if outward:
        yield from _length(it, mapped, spec, described)
    if mapped.transform == "picklist":
        yield from _choices(it, mapped, spec, described, inward=inward, outward=outward)


def _length(it: _Judge, mapped: FieldMapping, spec: FieldSpec, described: FieldDescription) -> Iterator[Finding]:
    limit = described.max_length
    if not limit or mapped.transform not in _TEXT_TRANSFORMS or not holds_text(described.type):
        return
    longest = _longest(mapped, spec)
    if longest is not None and longest <= limit:
        return
    lengths = "any length" if longest is None else f"up to {longest} characters"
    what = f"{it.named(mapped.source)} holds {limit} characters, but {mapped.field!r} is sent with {lengths}"
    if mapped.transform == "picklist":
        hint = "use shorter values"
    elif mapped.transform in ("email", "phone"):
        hint = f"set max_length of the entity's field to {limit}; it cannot be cut"
    else:
        hint = f"add `max_length: {limit}` here with `on_inbound`, so that it is cut, or lengthen the field there"
    severity = Severity.WARNING if longest is None else Severity.ERROR
    keys = (f"{mapped.field}.max_length", mapped.field)
    yield it.finding(severity, "too_short", mapped.field, mapped.source, keys, what, hint)


def _longest(mapped: FieldMapping, spec: FieldSpec) -> int | None:
    """Return how long a text that we send can be, None where nothing limits it."""
    if mapped.transform == "picklist":
        return max((len(str(sent)) for _, sent in _sent(mapped, spec)), default=0)
    cut = mapped.options.get("max_length")
    limits = [n for n in (spec.max_length, cut) if isinstance(n, int)]
    return min(limits) if limits else None


def _choices(
    it: _Judge, mapped: FieldMapping, spec: FieldSpec, described: FieldDescription, *, inward: bool, outward: bool
) -> Iterator[Finding]:
    sent = _sent(mapped, spec)
    if outward and holds_text(described.type) and not described.options:
        numbers = [word for word, value in sent if not isinstance(value, str)]
        if numbers:
            what = f"{it.named(mapped.source)} is of type {described.type}, but the value for {_listed(numbers)} "
            what += "is a number"
            numbered = (f"{mapped.field}.values.{numbers[0]}", mapped.field)
            yield it.finding(
                Severity.ERROR, "wrong_type", mapped.field, mapped.source, numbered, what, "put the values in quotes"
            )
    if not described.options or not holds_choice(described.type):
        return
    if outward:
        for word, value in sent:
            if str(value) not in described.options:
                what = f"{it.named(mapped.source)} has no value {str(value)!r}, which {mapped.field!r} {word!r} is "
                what += "sent as"
                lines = (f"{mapped.field}.values.{word}", f"{mapped.field}.values", mapped.field)
                hint = suggest(str(value), described.options)
                yield it.finding(Severity.ERROR, "value_absent", mapped.field, mapped.source, lines, what, hint)
    if inward and "default" not in mapped.options and "unmapped" not in mapped.options:
        table = _table(mapped, spec)
        known = {str(value).strip().casefold() for values in table.values() for value in values}
        strangers = [option for option in described.options if option.strip().casefold() not in known]
        if strangers:
            what = (
                f"{it.named(mapped.source)} also offers {_listed(strangers)}, for which {mapped.field!r} says nothing"
            )
            hint = "map them, or say `default: ...` or `unmapped: ignore`; records with them are held otherwise"
            keys = (f"{mapped.field}.values", mapped.field)
            yield it.finding(Severity.WARNING, "value_unmapped", mapped.field, mapped.source, keys, what, hint)


def _table(mapped: FieldMapping, spec: FieldSpec) -> dict[str, tuple[str | int, ...]]:
    given = cast("dict[str, tuple[str | int, ...]] | None", mapped.options.get("values"))
    return dict(given) if given else {word: (word,) for word in spec.values}


def _sent(mapped: FieldMapping, spec: FieldSpec) -> list[tuple[str, str | int]]:
    return [(word, values[0]) for word, values in _table(mapped, spec).items()]


def _listed(words: list[str]) -> str:
    return ", ".join(map(repr, words[:_SHOWN])) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")
