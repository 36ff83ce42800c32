"""Keep the faults that wait, say which one strikes, and log those that struck.

Belongs here: the catalogue of actions, scoping, the log. Not here: what a fault of the transport does (faults.py), what
a CRM answers when one of its own strikes (salesforce/, hubspot/, dynamics/).
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from crm_sync.emulators.clock import iso, system_clock

TRANSPORT: dict[str, tuple[str, ...]] = {
    "status": (), "drop_before": (), "drop_after": (), "delay": (), "truncate": (),
}  # fmt: skip
"""Actions that the middleware performs, whatever the CRM."""

OF_CRMS: dict[str, tuple[str, ...]] = {
    "limit": ("kind",), "server_error": (), "expire_token": (), "revoke_token": (), "rotate_refresh_token": (),
    "bad_record": (), "row_lock": (), "duplicate_rule": (), "late_commit": (), "index_lag": (), "expire_delta": (),
    "expire_locator": (), "webhook_lost": (), "webhook_doubled": (), "webhook_reordered": (), "webhook_late": (),
    "automation": ("field", "value"),
}  # fmt: skip
"""Actions that a CRM's own code performs -> options that each knows besides those of every fault."""

LOGGED = 10_000

current_request: ContextVar[tuple[str, str]] = ContextVar("current_request", default=("", ""))
"""(method, path?query) of the request that is being answered; empty outside of one."""


@dataclass(slots=True)
class Fault:
    """One fault; it lets `skip` matching requests pass, then strikes `times` of them (None: until removed).

    method, path      which requests: "*" or a verb; a regular expression over path?query (or over what `strike` named)
    object            which records: the CRM's own name of the object, in any case; "" means any
    probability, seed strike only this share of those that match; the same seed strikes the same ones
    status, headers, body   the answer of `status`
    seconds           how long: `delay`, `late_commit`, `index_lag`, `webhook_late`
    options           what else the action needs (`kind`, `field`, `value`)
    """

    action: str
    method: str = "*"
    path: str = ""
    object: str = ""
    skip: int = 0
    times: int | None = 1
    probability: float = 1.0
    seed: int = 0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {**TRANSPORT, **OF_CRMS}
        if self.action not in known:
            raise ValueError(f"unknown action {self.action!r}; expected one of {', '.join(known)}")
        strange = [name for name in self.options if name not in known[self.action]]
        if strange:
            raise ValueError(
                f"the action {self.action} has no option {strange[0]!r}; expected some of "
                f"{', '.join([one.name for one in fields(self) if one.name != 'options'] + [*known[self.action]])}"
            )
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability is {self.probability!r}; expected more than 0, at most 1")
        re.compile(self.path)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Fault:
        """Read a fault as the control API and the file give it: options beside the rest. Raises ValueError."""
        if not isinstance(raw, Mapping) or "action" not in raw:
            raise ValueError(f"found {raw!r} as a fault; expected an object with an action")
        own = {one.name for one in fields(cls)}
        given = {name: value for name, value in raw.items() if name in own}
        more = {name: value for name, value in raw.items() if name not in own}
        return cls(**given | {"options": {**given.get("options", {}), **more}})

    def matches(self, object: str, target: str, wanted: Mapping[str, Any]) -> bool:
        """Tell whether the fault is meant for this place."""
        method, request = current_request.get()
        if self.method not in ("*", method):
            return False
        if self.object and self.object.casefold() != object.casefold():
            return False
        if self.path and not any(re.search(self.path, text) for text in (target, request) if text):
            return False
        return all(self.options.get(name, value) == value for name, value in wanted.items())


class Faults:
    """The faults, knobs and call counts of one emulator; thread-safe."""

    def __init__(self, knobs: Mapping[str, Any] | None = None, now_us: Callable[[], int] = system_clock) -> None:
        self._lock = threading.Lock()
        self._now_us = now_us
        self._faults: list[tuple[Fault, random.Random]] = []
        self._known: Mapping[str, Mapping[str, Any]] | None = None
        self._knobs: dict[str, Any] = dict(knobs or {})
        self._calls: Counter[str] = Counter()
        self._log: deque[dict[str, Any]] = deque(maxlen=LOGGED)
        self._struck = 0
        self.down = False

    # -- arming

    def restrict(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse from now on the CRMs' actions that are not in `known` (action -> option -> list of its values)."""
        self._known = known

    def add(self, faults: Iterable[Fault]) -> None:
        """Add faults behind those that wait. Raises ValueError for one that could never strike here."""
        faults = list(faults)
        for one in faults:
            if self._known is None or one.action in TRANSPORT:
                continue
            if one.action not in self._known:
                raise ValueError(
                    f"this CRM has no fault {one.action!r}; expected one of {', '.join([*TRANSPORT, *self._known])}"
                )
            for name, value in one.options.items():
                values = self._known[one.action].get(name)
                if isinstance(values, list) and value not in values:
                    raise ValueError(f"{one.action} has no {name} {value!r} here; expected one of {', '.join(values)}")
        with self._lock:
            self._faults += [(one, random.Random(one.seed)) for one in faults]

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """Return what is left of the faults."""
        with self._lock:
            return [asdict(one) for one, _ in self._faults]

    # -- striking

    def strike(self, action: str, *, object: str = "", target: str = "", **wanted: Any) -> Fault | None:
        """Return the armed fault of this kind that strikes here and now, used up once and logged; None if none does.

        The code of a CRM asks at the very point where the fault would strike. `object` is the object it works on and
        `target` what else a fault may name by its path (a record id, the URL of a receiver); the request that is being
        answered counts without being named. `wanted` holds options that must be as given unless the fault leaves them
        open: strike("limit", kind="daily").
        """
        return self._take(lambda one: one.action == action and one.matches(object, target, wanted), object, target)

    def lateness(self, object: str) -> float | None:
        """Return by how many seconds a write commits late (State.postpone asks), None for in time."""
        struck = self.strike("late_commit", object=object)
        return None if struck is None else struck.seconds

    def take(self, method: str, target: str) -> Fault | None:
        """Return the first fault of the transport that strikes this request."""
        return self._take(
            lambda one: (
                one.action in TRANSPORT and one.method in ("*", method) and re.search(one.path, target) is not None
            ),
            "",
            target,
        )

    def _take(self, hit: Callable[[Fault], bool], object: str, target: str) -> Fault | None:
        if not self._faults:
            return None
        with self._lock:
            for pair in self._faults:
                one, draw = pair
                if not hit(one):
                    continue
                if one.skip > 0:
                    one.skip -= 1
                    continue
                if one.probability < 1 and draw.random() >= one.probability:
                    continue
                if one.times is not None:
                    one.times -= 1
                    if one.times <= 0:
                        self._faults.remove(pair)
                self._note(one, object, target)
                return one
        return None

    def _note(self, one: Fault, object: str, target: str) -> None:
        self._struck += 1
        now, request = self._now_us(), " ".join(current_request.get()).strip()
        noted = {"number": self._struck, "action": one.action, "object": object, "target": target or request}
        self._log.append({**noted, "request": request, "options": one.options, "moment": iso(now), "moment_us": now})

    def log(self, action: str = "") -> list[dict[str, Any]]:
        """Return the faults that struck, oldest first: number, action, object, target, request, options, moment."""
        with self._lock:
            return [dict(one) for one in self._log if action in ("", one["action"])]

    def clear_log(self) -> None:
        """Forget what struck; numbers go on."""
        with self._lock:
            self._log.clear()

    # -- knobs and counts

    def knob(self, name: str, default: Any = None) -> Any:
        """Return the present value of a knob, such as "limits"."""
        with self._lock:
            return self._knobs.get(name, default)

    def turn(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Set knobs and return all of them."""
        with self._lock:
            self._knobs.update(knobs)
            return dict(self._knobs)

    def count(self, label: str) -> None:
        """Count one call."""
        with self._lock:
            self._calls[label] += 1

    def calls(self) -> dict[str, Any]:
        """Return the counts since the last reset."""
        with self._lock:
            return {"total": sum(self._calls.values()), "by": dict(sorted(self._calls.items()))}

    def reset_calls(self) -> None:
        """Start counting from zero."""
        with self._lock:
            self._calls.clear()
