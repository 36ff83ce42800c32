"""Association types: HubSpot's own ids, both directions, primary and other labels, and those that users define.

Source: associations v4 guide ("Association type ID values").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crm_sync.emulators.hubspot.catalog import Catalog
from crm_sync.emulators.hubspot.refusals import Refusal, invalid, not_supported, refusal
from crm_sync.emulators.state import State

DEFINED, USER = "HUBSPOT_DEFINED", "USER_DEFINED"
PLAIN = [
    ("contacts", "companies", 279, 280), ("contacts", "deals", 4, 3), ("contacts", "tickets", 15, 16),
    ("companies", "deals", 342, 341), ("companies", "tickets", 340, 339), ("deals", "tickets", 27, 28),
    ("contacts", "contacts", 449, 449), ("companies", "companies", 450, 450), ("deals", "deals", 451, 451),
    ("tickets", "tickets", 452, 452), ("deals", "line_items", 19, 20), ("deals", "quotes", 63, 64),
    ("quotes", "line_items", 67, 68), ("contacts", "quotes", 70, 69), ("companies", "quotes", 72, 71),
    ("leads", "contacts", 608, 609), ("leads", "companies", 610, 611),
    ("contacts", "feedback_submissions", 97, 98), ("tickets", "feedback_submissions", 99, 100),
    ("communications", "contacts", 81, 82), ("communications", "tickets", 83, 84),
    ("communications", "deals", 85, 86), ("communications", "companies", 87, 88),
    ("postal_mail", "contacts", 453, 454), ("postal_mail", "tickets", 455, 456), ("postal_mail", "deals", 457, 458),
    ("postal_mail", "companies", 459, 460),
    *(
        (engagement, other, id, id - 1)
        for engagement, ids in (
            ("notes", (202, 190, 214, 228)), ("calls", (194, 182, 206, 220)), ("emails", (198, 186, 210, 224)),
            ("meetings", (200, 188, 212, 226)), ("tasks", (204, 192, 216, 230)),
        )
        for other, id in zip(("contacts", "companies", "deals", "tickets"), ids, strict=True)
    ),
]  # fmt: skip
"""(object, other object, type id, type id of the way back) of the unlabeled types."""
PRIMARY = [("contacts", "companies", 1, 2), ("deals", "companies", 5, 6), ("tickets", "companies", 26, 25)]
"""The first object has one primary record of the second at most."""
FIRST_USER_TYPE = 10_001
"""Far from HubSpot's own ids: a pair of objects knows its types by id alone."""

Types = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One type in one direction; `back` is the id of the way back, `label` None for the unlabeled type."""

    id: int
    from_object: str
    to_object: str
    back: int
    category: str = DEFINED
    label: str | None = None
    name: str = ""

    def show(self) -> dict[str, Any]:
        """Return the type as associations v4 shows it."""
        return {"category": self.category, "typeId": self.id, "label": self.label}


def _both(one: Kind, label_back: str | None) -> tuple[Kind, Kind]:
    back = Kind(one.back, one.to_object, one.from_object, one.id, one.category, label_back, one.name)
    return one, back


def _standard() -> list[Kind]:
    out: list[Kind] = []
    for from_object, to_object, id, back in PLAIN:
        out += _both(Kind(id, from_object, to_object, back), None)
    for from_object, to_object, id, back in PRIMARY:
        out += _both(Kind(id, from_object, to_object, back, label="Primary"), "Primary")
    out += _both(Kind(13, "companies", "companies", 14, label="Child Company"), "Parent Company")
    return list(dict.fromkeys(out))


class AssociationTypes:
    """All types of the portal; those of users survive a restart (meta "association-types")."""

    def __init__(self, state: State, catalog: Catalog) -> None:
        self._state, self._catalog = state, catalog
        self._standard = _standard()
        self.reload()
        state.after_restore(self.reload)

    def reload(self) -> None:
        """Read the types of users anew."""
        own = [Kind(**one) for one in self._state.get_meta("association-types", [])]
        self._of_pair: dict[tuple[str, str], dict[int, Kind]] = {}
        for one in [*self._standard, *own]:
            self._of_pair.setdefault((one.from_object, one.to_object), {})[one.id] = one

    def _keep(self, kinds: Iterable[Kind]) -> None:
        self._state.set_meta("association-types", [asdict(one) for one in kinds])
        self.reload()

    def _own(self) -> list[Kind]:
        return [one for pair in self._of_pair.values() for one in pair.values() if one.category == USER]

    # -- reading

    def of(self, from_object: str, to_object: str) -> dict[int, Kind]:
        """Return the types of a pair of objects by id; none where it has none."""
        return self._of_pair.get((from_object, to_object), {})

    def known(self, from_object: str, to_object: str) -> dict[int, Kind]:
        """Return the types of a pair of objects; 501 where it is not emulated."""
        found = self.of(from_object, to_object)
        if not found:
            raise not_supported(f"associations from {from_object} to {to_object}")
        return found

    def unlabeled(self, from_object: str, to_object: str) -> Kind:
        """Return the unlabeled type of a pair of objects."""
        return next(one for one in self.known(from_object, to_object).values() if one.label is None)

    def primary(self, from_object: str, to_object: str) -> Kind | None:
        """Return the type of the one primary record, in the direction asked for."""
        return next((one for one in self.of(from_object, to_object).values() if one.label == "Primary"), None)

    def single(self, from_object: str, to_object: str) -> bool:
        """Tell whether the first object has one primary record of the second at most."""
        return any(pair[:2] == (from_object, to_object) for pair in PRIMARY)

    def partners(self, object: str) -> list[str]:
        """Return the objects that an object can be associated with."""
        return [to_object for from_object, to_object in self._of_pair if from_object == object]

    def legacy_name(self, kind: Kind) -> str:
        """Return the type's name in v3 and inline: contact_to_company, contact_to_company_unlabeled, or its own."""
        if kind.name:
            return kind.name
        plain = f"{self._catalog.singular(kind.from_object)}_to_{self._catalog.singular(kind.to_object)}"
        if kind.label is None and self.primary(kind.from_object, kind.to_object):
            return f"{plain}_unlabeled"
        if kind.label not in (None, "Primary"):
            return "parent_to_child_company" if kind.id == 13 else "child_to_parent_company"
        return plain

    def named(self, from_object: str, to_object: str, name: Any) -> Kind:
        """Return the type that v3 names by its name or its id; 400 where there is none."""
        kinds = self.known(from_object, to_object)
        for one in kinds.values():
            if str(name) in (self.legacy_name(one), str(one.id)):
                return one
        raise invalid(f"{name} is not a valid association type between {from_object} and {to_object}")

    # -- what requests name

    def ids(self, from_object: str, to_object: str, given: Any) -> set[int]:
        """Return the ids that a request names for a pair; 400 for others, as for those of the way back."""
        ids, known = _ids(given), self.known(from_object, to_object)
        if not ids <= set(known):
            raise self._wrong_way(from_object, ids)
        for one in given:
            kind = known[int(one["associationTypeId"])]
            if kind.category != one["associationCategory"]:
                raise invalid(f"The association type {kind.id} is {kind.category}, not {one['associationCategory']}.")
        return ids

    def target_of(self, from_object: str, given: Types) -> str:
        """Return the object that association types lead to from an object."""
        ids = _ids(given)
        for (source, target), kinds in self._of_pair.items():
            if source == from_object and ids <= set(kinds):
                return target
        raise self._wrong_way(from_object, ids)

    def _wrong_way(self, from_object: str, ids: Iterable[int]) -> Refusal:
        listed = ", ".join(str(one) for one in sorted(ids))
        return invalid(f"invalid from object type {self._catalog.type_id(from_object)} for association type {listed}")

    # -- types of users

    def create(self, from_object: str, to_object: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Create a label and its way back, and return both."""
        label, name = str(given.get("label") or ""), str(given.get("name") or "")
        if not label or not name:
            raise invalid("An association label needs label and name.")
        if any(one.label == label or one.name == name for one in self.known(from_object, to_object).values()):
            raise refusal(409, "CONFLICT", f"The association label {label} already exists.")
        inverse = str(given.get("inverseLabel") or label)
        made = self._new_pair(from_object, to_object, label, inverse, name)
        return [one.show() for one in made]

    def connect(self, from_object: str, to_object: str, name: str) -> tuple[Kind, Kind]:
        """Let two objects be associated (custom objects), and return the unlabeled types of both directions."""
        return self._new_pair(from_object, to_object, None, None, name)

    def _new_pair(
        self, from_object: str, to_object: str, label: str | None, inverse: str | None, name: str
    ) -> tuple[Kind, Kind]:
        id = FIRST_USER_TYPE - 1 + self._state.next_number("hubspot-association-type", 2)
        pair = _both(Kind(id, from_object, to_object, id + 1, USER, label, name), inverse)
        self._keep([*self._own(), *pair])
        return pair

    def rename(self, from_object: str, to_object: str, given: Mapping[str, Any]) -> None:
        """Change the label of a type that a user defined."""
        one = self._user_type(from_object, to_object, given.get("associationTypeId"))
        names = {one.id: given.get("label"), one.back: given.get("inverseLabel")}
        self._keep(Kind(**{**asdict(kind), "label": names.get(kind.id) or kind.label}) for kind in self._own())

    def drop(self, from_object: str, to_object: str, id: Any) -> Kind:
        """Remove a type that a user defined, and return it."""
        one = self._user_type(from_object, to_object, id)
        self._keep(kind for kind in self._own() if kind.id not in (one.id, one.back))
        return one

    def drop_object(self, object: str) -> None:
        """Remove all types of a custom object that is gone."""
        self._keep(kind for kind in self._own() if object not in (kind.from_object, kind.to_object))

    def _user_type(self, from_object: str, to_object: str, id: Any) -> Kind:
        kinds = self.known(from_object, to_object)
        one = kinds.get(int(id)) if str(id).isdigit() else None
        if one is None or one.category != USER:
            raise invalid(f"There is no user-defined association type {id} from {from_object} to {to_object}.")
        return one


def _ids(given: Any) -> set[int]:
    if not isinstance(given, list):
        raise invalid("Association types must be an array.")
    ids: set[int] = set()
    for one in given:
        if not isinstance(one, Mapping) or not str(one.get("associationTypeId", "")).isdigit():
            raise invalid("Each association type needs associationCategory and associationTypeId.")
        if one.get("associationCategory") not in (DEFINED, USER, "INTEGRATOR_DEFINED"):
            raise invalid(f"Invalid association category {one.get('associationCategory')}.")
        ids.add(int(one["associationTypeId"]))
    if not ids:
        raise invalid("At least one association type is required.")
    return ids
