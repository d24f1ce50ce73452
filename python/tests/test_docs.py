"""What the documentation shows is what happens."""

from __future__ import annotations

import doctest
import importlib.metadata
import re
from pathlib import Path
from types import ModuleType

import pytest

import sendfd
import sendfd._inbox
import sendfd._outbox
import sendfd._sendfd
import sendfd.multiprocessing

HERE = Path(__file__).parent
OPTIONS = doctest.ELLIPSIS | doctest.REPORT_ONLY_FIRST_FAILURE


def test_the_readme() -> None:
    readme = str(HERE.parent / "README.md")
    failed, attempted = doctest.testfile(readme, module_relative=False, optionflags=OPTIONS)
    assert attempted > 15
    assert failed == 0


@pytest.mark.parametrize(
    ("module", "least"),
    [
        (sendfd, 2),
        (sendfd._inbox, 2),
        (sendfd._outbox, 2),
        (sendfd._sendfd, 0),
        (sendfd.multiprocessing, 3),
    ],
)
def test_docstrings(module: ModuleType, least: int) -> None:
    failed, attempted = doctest.testmod(module, optionflags=OPTIONS)
    assert attempted >= least
    assert failed == 0


@pytest.mark.parametrize(
    "owner",
    [
        sendfd,
        sendfd._sendfd,
        sendfd.multiprocessing,
        sendfd.Inbox,
        sendfd.Outbox,
        sendfd.Parcel,
        sendfd._sendfd.TakenWatch,
    ],
)
def test_everything_public_is_documented(owner: object) -> None:
    names = [name for name in vars(owner) if not name.startswith("_")]
    bare = [
        name
        for name in names
        if callable(getattr(owner, name)) and not getattr(owner, name).__doc__
    ]
    assert bare == []
    assert owner.__doc__


def test_the_version_stands_in_one_place() -> None:
    assert importlib.metadata.version("sendfd") == sendfd.__version__
    workspace = (HERE.parents[1] / "Cargo.toml").read_text()
    found = re.search(r'^version = "(.*)"', workspace, re.MULTILINE)
    assert found is not None
    assert found[1] == sendfd.__version__


def test_constants() -> None:
    header = (HERE.parents[1] / "include" / "sendfd.h").read_text()
    defined = dict(re.findall(r"#define SENDFD_(\w+) (\d+)$", header, re.MULTILINE))
    for name in ("SIGNO", "MAX_FDS", "MAX_DATA"):
        assert int(defined[name]) == getattr(sendfd, name)
