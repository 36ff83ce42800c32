"""Read a tree of rules key by key, and collect every mistake with its file and line.

Belongs here: the tree (without YAML), the collector, typed look-ups. Not here: YAML (loader.py), what the keys mean
(entities.py, mappings.py, connections.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from crm_sync.errors import Mistake

Scalar = str | int | float | bool | None
E = TypeVar("E", bound=StrEnum)

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
SOURCE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Node:
    """One place in a rule file: a scalar, a list of nodes, or a mapping key -> (node, line of the key)."""

    line: int
    value: Scalar | list[Node] | dict[str, tuple[Node, int]]

    @property
    def shape(self) -> str:
        """Name what stands here, for messages."""
        value = self.value
        if value is None:
            return "nothing"
        if isinstance(value, dict):
            return "a mapping (key: value)"
        if isinstance(value, list):
            return "a list"
        if isinstance(value, bool):
            return f"{str(value).lower()} (yes or no)"
        return f"the number {value}" if isinstance(value, int | float) else f"the text {value!r}"


@dataclass(slots=True)
class Mistakes:
    """Every mistake found so far."""

    found: list[Mistake] = field(default_factory=list)

    def add(self, file: str, line: int, message: str, suggestion: str = "") -> None:
        """Note one mistake; the same one twice counts once (rule files may share parts)."""
        mistake = Mistake(file, line, message, suggestion)
        if mistake not in self.found:
            self.found.append(mistake)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean ...?" for the nearest known word, else the list of what is known."""
    options = sorted(set(known))
    near = difflib.get_close_matches(word.lower(), [o.lower() for o in options], n=1, cutoff=0.6)
    if near:
        return f"did you mean {next(o for o in options if o.lower() == near[0])!r}?"
    if not options:
        return ""
    return "known: " + ", ".join(options[:15]) + (", ..." if len(options) > 15 else "")


class Section:
    """One mapping of a rule file, read key by key; `done` reports the keys that nobody asked for."""

    def __init__(self, file: str, node: Node, what: str, mistakes: Mistakes, line: int | None = None) -> None:
        self.file, self.node, self.what, self.mistakes = file, node, what, mistakes
        self.at = node.line if line is None else line
        """The line of the key under which the section stands."""
        self._asked: set[str] = set()
        self.entries: dict[str, tuple[Node, int]] = {}
        if isinstance(node.value, dict):
            self.entries = node.value
        else:
            self.add(self.at, f"{what} is {node.shape}; expected a mapping (key: value)")

    @property
    def usable(self) -> bool:
        """Tell whether it is a mapping at all, be it an empty one; where it is not, that has been noted."""
        return isinstance(self.node.value, dict)

    def add(self, line: int, message: str, suggestion: str = "") -> None:
        """Note a mistake of this file."""
        self.mistakes.add(self.file, line, message, suggestion)

    def line(self, key: str) -> int:
        """Return the line of a key, or of the section where it is missing."""
        entry = self.entries.get(key)
        return self.at if entry is None else entry[1]

    def has(self, key: str) -> bool:
        """Tell whether the key is there with a value."""
        return key in self.entries and self.entries[key][0].value is not None

    def take(self, key: str, *, required: bool = False) -> Node | None:
        """Return the node of a key, None where there is none; a missing required key is a mistake."""
        self._asked.add(key)
        entry = self.entries.get(key)
        if entry is None or entry[0].value is None:
            if required and isinstance(self.node.value, dict):
                state = "lacks" if entry is None else "has no value for"
                self.add(self.line(key), f"{self.what} {state} {key!r}", f"add `{key}: ...`")
            return None
        return entry[0]

    def _wrong(self, key: str, node: Node, expected: str) -> None:
        self.add(node.line, f"{key!r} of {self.what} is {node.shape}; expected {expected}")

    def text(
        self,
        key: str,
        *,
        required: bool = False,
        default: str = "",
        pattern: re.Pattern[str] | None = None,
        expected: str = "a text",
        hidden: bool = False,
    ) -> str:
        """Return a text; a wrong type or form is a mistake and gives the default. `hidden` keeps it out of messages."""
        node = self.take(key, required=required)
        if node is None:
            return default
        if not isinstance(node.value, str) or not node.value.strip():
            self._wrong(key, node, f"{expected} (quote it if it looks like a number or yes/no)")
            return default
        if pattern is not None and not pattern.fullmatch(node.value):
            if hidden:
                self.add(node.line, f"{key!r} of {self.what} has a wrong form; expected {expected}")
            else:
                self._wrong(key, node, expected)
            return default
        return node.value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a yes/no value."""
        node = self.take(key)
        if node is None:
            return default
        if not isinstance(node.value, bool):
            self._wrong(key, node, "true or false")
            return default
        return node.value

    def number(
        self,
        key: str,
        *,
        default: float | None = None,
        low: float = 0,
        high: float = 1e9,
        whole: bool = True,
        required: bool = False,
    ) -> float | None:
        """Return a number within [low, high]."""
        node = self.take(key, required=required)
        if node is None:
            return default
        kinds = (int,) if whole else (int, float)
        value = node.value
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            self._wrong(key, node, f"a {'whole ' if whole else ''}number from {low:g} to {high:g}")
            return default
        return value

    def choice(self, key: str, options: Collection[str], *, required: bool = False, default: str = "") -> str:
        """Return one word out of `options`; a near miss is suggested."""
        node = self.take(key, required=required)
        if node is None:
            return default
        if not isinstance(node.value, str):
            self._wrong(key, node, "one of " + ", ".join(sorted(options)))
            return default
        if node.value not in options:
            self.add(node.line, f"unknown {key} {node.value!r} in {self.what}", suggest(node.value, options))
            return default
        return node.value

    def member(self, key: str, enum: type[E], default: E, *, required: bool = False) -> E:
        """Return a member of an enumeration by its value."""
        word = self.choice(key, [m.value for m in enum], required=required)
        return enum(word) if word else default

    def section(self, key: str, what: str, *, required: bool = False) -> Section | None:
        """Return the mapping under a key."""
        node = self.take(key, required=required)
        return None if node is None else Section(self.file, node, what, self.mistakes, self.line(key))

    def nodes(self, key: str, *, required: bool = False) -> list[Node]:
        """Return the list under a key, empty where there is none; a single scalar is not taken for a list."""
        node = self.take(key, required=required)
        if node is None:
            return []
        if not isinstance(node.value, list):
            self._wrong(key, node, "a list, e.g. [a, b]")
            return []
        return node.value

    def words(self, key: str, *, required: bool = False) -> list[tuple[str, int]]:
        """Return a list of texts with their lines; doubles and other types are mistakes."""
        out: list[tuple[str, int]] = []
        for item in self.nodes(key, required=required):
            if not isinstance(item.value, str) or not item.value.strip():
                self.add(
                    item.line, f"{key!r} of {self.what} holds {item.shape}; expected texts (quote them if need be)"
                )
            elif item.value in [w for w, _ in out]:
                self.add(item.line, f"{key!r} of {self.what} lists {item.value!r} twice")
            else:
                out.append((item.value, item.line))
        return out

    def named(self, key: str, what: str, *, required: bool = False) -> list[tuple[str, Section]]:
        """Return the sections under a key by name; a name of a wrong form is a mistake and left out."""
        parent = self.section(key, f"{key!r} of {self.what}", required=required)
        if parent is None:
            return []
        out: list[tuple[str, Section]] = []
        for name, (node, line) in parent.entries.items():
            if not NAME.fullmatch(name):
                self.add(
                    line,
                    f"{what} {name!r} has a name of a wrong form; expected lower-case letters, digits and _, "
                    "starting with a letter, at most 40",
                )
                continue
            out.append((name, Section(self.file, node, f"{what} {name!r}", self.mistakes, line)))
        return out

    def done(self) -> None:
        """Report the keys that nobody asked for."""
        for key, (_, line) in self.entries.items():
            if key not in self._asked:
                self.add(line, f"unknown key {key!r} in {self.what}", suggest(key, self._asked))


def scalar_text(value: Scalar) -> str:
    """Return a scalar as the text by which rule files and CRM values are compared (true, 0, abc)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
