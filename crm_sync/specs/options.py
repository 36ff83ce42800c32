"""Read the options of a mapped field's transform, and tell whether the mapping loses.

Belongs here: lengths, value maps, flags of transforms. Not here: what the transforms do with them (steps/transforms*).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crm_sync.specs.model import FieldSpec, FieldType
from crm_sync.specs.reading import Scalar, Section, suggest
from crm_sync.specs.vocabulary import TRANSFORMS

STRUCTURE: Final = frozenset(
    {"source", "transform", "direction", "on_inbound", "association", "bind", "target_object", "provision"}
)


def read_options(section: Section, spec: FieldSpec, transform: str) -> tuple[dict[str, object], str]:
    """Return the options of `transform` and, where the mapping loses, what it loses (else "")."""
    allowed = TRANSFORMS[transform].options
    every = {option for word in TRANSFORMS.values() for option in word.options}
    for key in sorted(every - allowed):
        if section.take(key) is not None:
            hint = "known: " + ", ".join(sorted(allowed)) if allowed else "it takes none; remove it"
            section.add(section.line(key), f"transform {transform!r} of {section.what} takes no option {key!r}", hint)
    options: dict[str, object] = {}
    losses: list[str] = []
    if transform == "text" and spec.type is FieldType.LONG_TEXT:
        losses.append("line breaks become spaces")
    if "max_length" in allowed:
        _length(section, spec, options, losses)
    if transform == "picklist":
        _values(section, spec, options, losses)
    if transform == "boolean":
        _boolean(section, options)
    if "as" in allowed:
        _rename(options, "as", section.choice("as", ("text",)))
    if "region" in allowed:
        region = section.text("region")
        if region and not (len(region) == 2 and region.isascii() and region.isupper()):
            section.add(
                section.line("region"),
                f"'region' of {section.what} is {region!r}; expected two capital letters",
                "e.g. US, GB or DE",
            )
        _rename(options, "region", region)
    if "places" in allowed:
        places = section.number("places", low=0, high=10)
        if places is not None:
            options["places"] = int(places)
            losses.append(f"numbers are rounded to {int(places)} places")
    if "truncate" in allowed:
        unit = section.choice("truncate", ("seconds", "milliseconds"))
        if unit:
            options["truncate"] = unit
            losses.append(f"times are cut to {unit}")
    return options, "; ".join(losses)


def _rename(options: dict[str, object], key: str, value: str) -> None:
    if value:
        options[key] = value


def _length(section: Section, spec: FieldSpec, options: dict[str, object], losses: list[str]) -> None:
    limit = section.number("max_length", low=1, high=1_000_000)
    if limit is None:
        return
    options["max_length"] = int(limit)
    if spec.max_length is not None and spec.max_length <= limit:
        return
    longest = "any length" if spec.max_length is None else f"{spec.max_length} characters"
    if spec.type in (FieldType.EMAIL, FieldType.PHONE):
        section.add(
            section.line("max_length"),
            f"the {spec.type} {spec.name!r} may have {longest} but is limited to {int(limit)} there; it cannot be cut",
            f"set max_length of the entity's field to {int(limit)} or less",
        )
    else:
        losses.append(f"texts of {longest} are cut to {int(limit)}")


def _boolean(section: Section, options: dict[str, object]) -> None:
    if section.flag("invert", default=False):
        options["invert"] = True
    if section.has("empty"):
        options["empty"] = section.flag("empty", default=False)
    else:
        section.take("empty")


def _values(section: Section, spec: FieldSpec, options: dict[str, object], losses: list[str]) -> None:
    default = section.choice("default", spec.values)
    _rename(options, "default", default)
    unmapped = section.choice("unmapped", ("refuse", "ignore"))
    _rename(options, "unmapped", unmapped)
    if default and unmapped:
        section.add(section.line("unmapped"), f"{section.what} has both 'default' and 'unmapped'", "keep one of them")
    inner = section.section("values", f"'values' of {section.what}")
    if inner is None:
        return
    values: dict[str, tuple[Scalar, ...]] = {}
    lines: dict[str, int] = {}
    for key, (node, line) in inner.entries.items():
        if key not in spec.values:
            inner.add(line, f"{spec.name!r} has no value {key!r}", suggest(key, spec.values))
            continue
        items = node.value if isinstance(node.value, list) else [node]
        found = []
        for item in items:
            if (isinstance(item.value, str) and item.value.strip()) or type(item.value) is int:
                found.append(item.value)
            else:
                inner.add(
                    item.line,
                    f"the value for {key!r} of {section.what} is {item.shape}; expected a text or whole number",
                    "quote it" if isinstance(item.value, bool) else "",
                )
        if found:
            values[key], lines[key] = tuple(dict.fromkeys(found)), line
        elif not items:
            inner.add(line, f"the value for {key!r} of {section.what} is an empty list; expected at least one")
    options["values"] = values
    missing = [v for v in spec.values if v not in inner.entries]
    if missing and (not default or default not in inner.entries):
        inner.add(
            inner.at,
            f"'values' of {section.what} says nothing for {', '.join(missing)}",
            "add the values, or `default:` with a value that has an entry",
        )
    _overlaps(inner, spec, values, lines)
    folded = _folded(values, missing, default)
    if folded:
        losses.append("one value there stands for " + "; ".join(" and ".join(group) for group in folded))


def _overlaps(
    inner: Section, spec: FieldSpec, values: Mapping[str, tuple[Scalar, ...]], lines: Mapping[str, int]
) -> None:
    owner: dict[str, str] = {}
    for canonical, found in values.items():
        for position, value in enumerate(found):
            key = str(value).strip().casefold()
            other = owner.setdefault(key, canonical)
            if other != canonical and (position > 0 or str(values[other][0]).strip().casefold() != key):
                inner.add(
                    lines[canonical],
                    f"{value!r} stands for both {other!r} and {canonical!r}, but is written for only one of them",
                    "list it once, or make it the first of both",
                )


def _folded(values: Mapping[str, tuple[Scalar, ...]], missing: list[str], default: str) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for canonical, found in values.items():
        groups.setdefault(str(found[0]).strip().casefold(), []).append(canonical)
    if missing and default in values:
        groups[str(values[default][0]).strip().casefold()].extend(missing)
    return [group for group in groups.values() if len(group) > 1]
