"""Keep webhook events with the write that caused them, and send them as the CRM's policy says.

Events are rows of the CRM's own file, written in the transaction of the write, so neither is there without the other;
they survive a restart. One thread sends, in order, whatever is due by the emulator's clock.

Faults strike when an event is first looked at (object: that of the event; path: the receiver's URL):
    webhook_lost        it is never sent
    webhook_doubled     a copy of it goes out in a request of its own, right behind
    webhook_reordered   it goes out behind the next event of its subscription (at most `seconds`, else 1, later)
    webhook_late        it is due `seconds` later
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators.posting import GIVEN_UP, Event, Outgoing, Policy, Reply, Subscription, Verdict, post
from crm_sync.emulators.state import State
from crm_sync.emulators.striking import Faults

SCHEMA = """
CREATE TABLE IF NOT EXISTS hook_subscription (id TEXT PRIMARY KEY, url TEXT NOT NULL, facts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS hook_event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, object TEXT NOT NULL,
    created_us INTEGER NOT NULL, body TEXT NOT NULL, turn REAL NOT NULL DEFAULT 0, due_us INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    looked_at INTEGER NOT NULL DEFAULT 0, alone INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting');
CREATE INDEX IF NOT EXISTS hook_event_waiting ON hook_event (due_us, turn) WHERE state = 'waiting';
"""
KEPT = 100_000
"""Events that are over and still told by `events`; older ones are forgotten."""

LONGEST_STOP_SECONDS = 2.0
log = logging.getLogger(__name__)
Post = Callable[[Outgoing, float], Reply | None]


class Hooks:
    """The subscriptions and events of one CRM. All methods may be called from any thread."""

    def __init__(self, state: State, faults: Faults, policy: Policy, ca_bundle: Path | None = None) -> None:
        """Prepare; `ca_bundle` is trusted besides the system's where a receiver speaks TLS. `start` begins to send."""
        self.state, self.faults, self.policy = state, faults, policy
        self.post: Post = lambda outgoing, seconds: post(outgoing, seconds, ca_bundle)
        state.connection().executescript(SCHEMA)
        self._subscriptions: dict[str, Subscription] | None = None
        self._woken = self._stopped = False
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        state.after_restore(self._restored)

    # -- subscriptions

    def subscribe(self, url: str, facts: Mapping[str, Any] | None = None, id: str | None = None) -> Subscription:
        """Add a receiver, or replace the one of this id. Raises ValueError for what the CRM would refuse."""
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url is {url!r}; expected http://... or https://...")
        checked = dict(self.policy.check(url, facts or {}))
        with self.state.transaction() as db:
            one = Subscription(id or str(self.state.next_number("hook-subscription")), url, checked)
            stored = (one.id, one.url, orjson.dumps(one.facts).decode())
            db.execute("INSERT OR REPLACE INTO hook_subscription VALUES (?, ?, ?)", stored)
            self._subscriptions = None
        return one

    def unsubscribe(self, id: str) -> bool:
        """Remove a receiver and what waits for it; False if there is none."""
        with self.state.transaction() as db:
            db.execute("UPDATE hook_event SET state = 'removed' WHERE subscription = ? AND state = 'waiting'", (id,))
            removed = db.execute("DELETE FROM hook_subscription WHERE id = ?", (id,)).rowcount > 0
            self._subscriptions = None
        return removed

    def subscriptions(self) -> list[Subscription]:
        """Return the receivers; cheap, so that every write may ask."""
        known = self._subscriptions
        if known is None:
            rows = self.state.connection().execute("SELECT id, url, facts FROM hook_subscription ORDER BY rowid")
            known = {row[0]: Subscription(row[0], row[1], orjson.loads(row[2])) for row in rows.fetchall()}
            self._subscriptions = known
        return list(known.values())

    # -- events

    def emit(self, subscription: str, body: Mapping[str, Any], *, object: str = "", delay_seconds: float = 0.0) -> int:
        """Keep one event for one subscription and return its number; call it in the transaction of the write.

        Raises LookupError where there is no such subscription.
        """
        if subscription not in {one.id for one in self.subscriptions()}:
            raise LookupError(f"no subscription {subscription!r}")
        now = self.state.now_us()
        with self.state.transaction() as db:
            number: int = db.execute(
                "INSERT INTO hook_event (subscription, object, created_us, body, due_us) VALUES (?, ?, ?, ?, ?)"
                " RETURNING number",
                (subscription, object, now, orjson.dumps(body).decode(), now + round(delay_seconds * 1_000_000)),
            ).fetchone()[0]
            db.execute("UPDATE hook_event SET turn = number WHERE number = ?", (number,))
            if number % 1000 == 0:
                db.execute("DELETE FROM hook_event WHERE state <> 'waiting' AND number <= ?", (number - KEPT,))
            self.state.after_commit(self._wake)
        return number

    def events(self, state: str = "") -> list[dict[str, Any]]:
        """Return what became of the events: waiting, accepted, given_up, lost or removed; oldest first."""
        rows = self.state.connection().execute(
            "SELECT number, subscription, object, state, attempt, created_us, due_us, body FROM hook_event"
            " WHERE ? IN ('', state) ORDER BY number",
            (state,),
        )
        names = ("number", "subscription", "object", "state", "attempt", "created_us", "due_us")
        return [{**dict(zip(names, row[:7], strict=True)), "body": orjson.loads(row[7])} for row in rows]

    # -- sending

    def deliver_due(self) -> int:
        """Send all that is due now and return how many requests went out."""
        sent = 0
        with self._sending:
            while (batch := self._next_batch()) is not None:
                subscription, events, numbers = batch
                try:
                    outgoing = self.policy.compose(subscription, events)
                except Exception:  # what one event breaks must not keep the others
                    log.exception("Events %s for %s cannot be put into a request", numbers, subscription.url)
                    self._settle(numbers, GIVEN_UP)
                    continue
                reply = self.post(outgoing, self.policy.timeout_seconds)
                self._settle(numbers, self.policy.judge(reply, max(event.attempt for event in events)))
                sent += 1
        return sent

    def _next_batch(self) -> tuple[Subscription, list[Event], list[int]] | None:
        with self.state.transaction() as db:
            now = self.state.now_us()
            self._look(now)
            first = db.execute(
                "SELECT subscription, alone, attempt, turn FROM hook_event WHERE state = 'waiting' AND due_us <= ?"
                " ORDER BY turn LIMIT 1",
                (now,),
            ).fetchone()
            if first is None:
                return None
            rows = db.execute(
                "SELECT number, object, created_us, body FROM hook_event WHERE state = 'waiting' AND due_us <= ?"
                " AND subscription = ? AND alone = ? AND attempt = ? AND turn >= ? ORDER BY turn LIMIT ?",
                (now, *first, 1 if first[1] else self.policy.batch_size),
            ).fetchall()
            numbers = [row[0] for row in rows]
            at = orjson.dumps(numbers).decode()
            db.execute(
                "UPDATE hook_event SET attempt = attempt + 1 WHERE number IN (SELECT value FROM json_each(?))", (at,)
            )
            subscription = next(one for one in self.subscriptions() if one.id == first[0])
        events = [Event(row[0], row[1], row[2], first[2] + 1, orjson.loads(row[3])) for row in rows]
        return subscription, events, numbers

    def _look(self, now: int) -> None:
        """Let the faults strike at events that are looked at for the first time."""
        urls = {one.id: one.url for one in self.subscriptions()}
        with self.state.transaction() as db:
            rows = db.execute(
                "SELECT number, subscription, object FROM hook_event WHERE state = 'waiting' AND looked_at = 0"
                " AND due_us <= ? ORDER BY number",
                (now,),
            ).fetchall()
            for number, subscription, object in rows:
                scope = {"object": object, "target": urls[subscription]}
                if self.faults.strike("webhook_lost", **scope):
                    db.execute("UPDATE hook_event SET state = 'lost' WHERE number = ?", (number,))
                if self.faults.strike("webhook_doubled", **scope):
                    db.execute(
                        "INSERT INTO hook_event"
                        " (subscription, object, created_us, body, turn, due_us, looked_at, alone)"
                        " SELECT subscription, object, created_us, body, turn + 0.25, due_us, 1, 1"
                        " FROM hook_event WHERE number = ?",
                        (number,),
                    )
                if fault := self.faults.strike("webhook_reordered", **scope):
                    self._hold(number, subscription, now + round((fault.seconds or 1.0) * 1_000_000))
                if fault := self.faults.strike("webhook_late", **scope):
                    later = round(fault.seconds * 1_000_000)
                    db.execute("UPDATE hook_event SET due_us = due_us + ? WHERE number = ?", (later, number))
                db.execute("UPDATE hook_event SET looked_at = 1 WHERE number = ?", (number,))

    def _hold(self, number: int, subscription: str, until_us: int) -> None:
        """Put an event behind the next one, which may not be there yet."""
        with self.state.transaction() as db:
            following = db.execute(
                "SELECT turn FROM hook_event WHERE subscription = ? AND number > ? AND state = 'waiting'"
                " ORDER BY number LIMIT 1",
                (subscription, number),
            ).fetchone()
            if following is not None:
                db.execute("UPDATE hook_event SET turn = ?, alone = 1 WHERE number = ?", (following[0] + 0.5, number))
            else:
                db.execute("UPDATE hook_event SET due_us = ?, alone = 1 WHERE number = ?", (until_us, number))

    def _settle(self, numbers: list[int], verdict: Verdict) -> None:
        at = orjson.dumps(numbers).decode()
        with self.state.transaction() as db:
            due = self.state.now_us() + round((verdict.retry_seconds or 0.0) * 1_000_000)
            if verdict.retry_seconds is not None:
                state = "waiting"
            else:
                state = "accepted" if verdict.accepted else "given_up"
            db.execute(
                "UPDATE hook_event SET state = ?, due_us = ? WHERE state = 'waiting'"
                " AND number IN (SELECT value FROM json_each(?))",
                (state, due, at),
            )

    # -- the thread that sends

    def start(self) -> None:
        """Begin to send from a thread of our own."""
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what waits, and what is under way for long, is sent after the next `start`."""
        self._stopped = True
        self._wake()
        if self._thread is not None:
            self._thread.join(min(self.policy.timeout_seconds, LONGEST_STOP_SECONDS))
            self._thread = None

    def _wake(self) -> None:
        self._woken = True
        self.state.clock.wake()

    def _restored(self) -> None:
        self.state.connection().executescript(SCHEMA)
        self._subscriptions = None
        self._wake()

    def _run(self) -> None:
        while not self._stopped:
            self._woken = False
            self.deliver_due()
            waiting = "SELECT min(due_us) FROM hook_event WHERE state = 'waiting'"
            due = self.state.connection().execute(waiting).fetchone()[0]
            self.state.clock.wait_until(due, lambda: self._woken or self._stopped)
