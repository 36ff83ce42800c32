"""What a transform is once its options are known: a pair of functions on single values.

Belongs here: the type only. Not here: the transforms (transforms*.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from crm_sync.records import NULL

REFUSED: Final = "!"
"""Tag of what `lift` returns for a value that cannot be lifted: "!<reason code>". Never a canonical text."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One value both ways.

    `lift` takes a JSON scalar other than null and returns canonical text or "!<reason code>". `project` takes canonical
    text other than NULL and ABSENT and returns a JSON scalar, or MISSING where the CRM has no form for it. `null_text`
    is what the CRM's null lifts to, `null_value` what NULL is written as.
    """

    lift: Callable[[Any], str]
    project: Callable[[str], Any]
    null_text: str = NULL
    null_value: Any = None
