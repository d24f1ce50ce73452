"""Runs the interpreter's own tests of descriptor passing: python cpython_fd_tests.py fork -v

Exits with 77 where the interpreter comes without them.
"""

import sys
import unittest

try:
    from test import _test_multiprocessing as theirs  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    print("this interpreter comes without its tests")
    sys.exit(77)

import sendfd.multiprocessing

# Spawned children come by here as well: they get the arguments, and import this file.
START_METHOD = sys.argv[1]
theirs.install_tests_in_module_dict(globals(), START_METHOD)

PATTERNS = ["*fd_transfer*", "*TestPicklingConnections*", "*TestHeap*", "*_TestQueue.test_get*"]


def run() -> None:
    sendfd.multiprocessing.install()
    loader = unittest.TestLoader()
    loader.testNamePatterns = PATTERNS
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], testLoader=loader)


if __name__ == "__main__":
    run()
