"""What a signal handler that raises, at whatever moment, must not come between.

The interpreter runs handlers in the main thread, between two of its instructions: also after a
function has received a descriptor and before the result is stored. Of what is done within one
function written in C, either nothing has happened then, or all of it.
"""

from __future__ import annotations

from itertools import starmap
from typing import Any, Callable


def into(box: list[Any], function: Callable[..., Any], *arguments: Any) -> None:
    """Appends the result of `function`, one that is written in C, to `box`.

    Whatever is raised, by the function or by a signal handler: what the function has done is done
    if and only if its result is in `box`.
    """
    box.extend(starmap(function, (arguments,)))
