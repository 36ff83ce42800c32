"""One table of endpoints, and the date-versioned paths that answer alike.

v3 and v4 end in 2027; each family has its own new shape: /crm/v3/objects/X is /crm/objects/2026-03/X, /webhooks/v3/APP
is /webhooks/2026-03/APP and /app-webhooks/2026-09/APP. Source: public API specifications of 2026-03 and 2026-09.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.convertors import Convertor, register_url_convertor

from crm_sync.emulators.hubspot.batches import Answer
from crm_sync.emulators.hubspot.calls import Call

Handler = Callable[[Call], Answer]
DATED = "{version:hubspot_version}"
SHAPES = (
    ("/crm/v3/objects", "/crm/objects/{version}"),
    ("/crm/v4/objects", "/crm/objects/{version}"),
    ("/crm/v4/associations", "/crm/associations/{version}"),
    ("/crm/v3/properties", "/crm/properties/{version}"),
    ("/crm/v3/pipelines", "/crm/pipelines/{version}"),
    ("/crm/v3/owners", "/crm/owners/{version}"),
    ("/crm-object-schemas/v3/schemas", "/crm-object-schemas/{version}/schemas"),
    ("/communication-preferences/v4", "/communication-preferences/{version}"),
    ("/oauth/v3", "/oauth/{version}"),
    ("/account-info/v3", "/account-info/{version}"),
    ("/settings/v3/users", "/settings/users/{version}"),
    ("/webhooks/v3", "/webhooks/2026-03"),
    ("/webhooks/v3", "/app-webhooks/2026-09"),
)
"""How a path starts -> how its date-versioned twin does."""


class Version(Convertor[str]):
    """The date versions that are served."""

    regex = "2026-0[39]"

    def convert(self, value: str) -> str:
        """Return the version as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return the version as it is."""
        return value


register_url_convertor("hubspot_version", Version())


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `open`: needs no token; `dated`: has date-versioned twins; `search`: counts as a search."""

    method: str
    path: str
    handler: Handler
    open: bool = False
    dated: bool = True

    @property
    def search(self) -> bool:
        """Tell whether it is a search, which has a limit of its own."""
        return self.path.endswith("/search")

    @property
    def object_scope(self) -> bool:
        """Tell whether it works on records of the object in its path."""
        return "/objects/{object}" in self.path

    @property
    def writes(self) -> bool:
        """Tell whether it changes records."""
        return self.method != "GET" and not self.path.endswith(("/search", "/batch/read"))


def silent(act: Callable[[Call], None]) -> Handler:
    """Return the handler that does something and answers 204."""

    def answer(call: Call) -> Answer:
        act(call)
        return 204, None

    return answer


def paths(one: Endpoint) -> Iterator[tuple[str, str]]:
    """Yield (path for the router, path as documented) of an endpoint and of its date-versioned twins."""
    yield one.path, one.path
    if not one.dated:
        return
    for old, new in SHAPES:
        if one.path == old or one.path.startswith(f"{old}/"):
            shown = new + one.path.removeprefix(old)
            yield shown.replace("{version}", DATED), shown
