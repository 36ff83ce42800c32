"""Transforms of choices: picklist, boolean.

Belongs here: value maps and flags. Not here: whether a map is complete (specs/options.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from crm_sync.records import ABSENT, MISSING, NULL
from crm_sync.specs.model import FieldSpec
from crm_sync.specs.reading import scalar_text
from crm_sync.steps.codec import REFUSED, Codec


def _key(value: Any) -> str | None:
    return scalar_text(value).strip().casefold() if isinstance(value, str | int | float | bool) else None


def picklist(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of picklists by a value map (our word -> their values; all are read, the first is written).

    Without a map the words are the same on both sides. A value of theirs that two of our words share lifts to the first
    word listed; one that no word has lifts to `default`, else is absent (`unmapped: ignore`) or `picklist_unmapped`.
    Case and surrounding spaces do not count.
    """
    table = cast(
        "Mapping[str, tuple[str | int, ...]]", options.get("values") or {word: (word,) for word in spec.values}
    )
    default = options.get("default")
    outward: dict[str, Any] = {f"t:{word}": found[0] for word, found in table.items()}
    inward: dict[str, str] = {}
    for word, found in table.items():
        for value in found:
            inward.setdefault(str(value).strip().casefold(), f"t:{word}")
    if default is not None:
        unmapped = f"t:{default}"
    else:
        unmapped = ABSENT if options.get("unmapped") == "ignore" else f"{REFUSED}picklist_unmapped"
    fallback = outward.get(f"t:{default}", MISSING)

    def lift(value: Any) -> str:
        key = _key(value)
        if key is None:
            return f"{REFUSED}picklist_unmapped"
        return inward.get(key, unmapped) if key else NULL

    def project(text: str) -> Any:
        return outward.get(text, fallback)

    return Codec(lift, project)


def boolean(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of flags: true/false, also as texts or 1/0. `invert`: their true is our false.

    `empty` is what null there means to us (then NULL is written as that value), `as: text` writes "true" and "false".
    """
    invert = options.get("invert") is True
    as_text = options.get("as") == "text"
    empty = options.get("empty")
    null_text = NULL if empty is None else ("b:1" if empty else "b:0")
    words = {"true": True, "1": True, "false": False, "0": False}

    def lift(value: Any) -> str:
        key = _key(value)
        if key == "":
            return null_text
        flag = words.get(key or "")
        if flag is None:
            return f"{REFUSED}boolean_invalid"
        return "b:1" if flag != invert else "b:0"

    def project(text: str) -> bool | str:
        flag = (text == "b:1") != invert
        return ("true" if flag else "false") if as_text else flag

    return Codec(lift, project, null_text, None if empty is None else project(null_text))
