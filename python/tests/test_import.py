"""What `import sendfd` costs a program that has use for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import pytest

if TYPE_CHECKING:
    from conftest import Child

# Each takes longer to import than all of the package.
LARGE = ["asyncio", "typing", "inspect", "ssl", "trio", "gevent", "eventlet"]

IMPORTED = """
import sys
before = set(sys.modules)
import sendfd
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("large", LARGE)
def test_it_imports_nothing_large(child: Callable[..., Child], large: str) -> None:
    assert large not in child(IMPORTED).said().split()
