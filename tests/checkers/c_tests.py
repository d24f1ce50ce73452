#!/usr/bin/env python3
"""Runs the C tests under a checker: each test in a process of its own, and a report by the checker,
in whatever child, is a failure.

A file of exceptions has lines `program[::test] skip REASON` for what cannot run under the checker, and
`program[::test] leaks REASON` for what ends a process without giving its memory back, on purpose: there
everything but leaks is reported. A name in it that is no test is a failure, too.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests/c"
SKIPPED = 77


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--cflags", default="")
    parser.add_argument("--link", required=True, help="the library and what belongs to it")
    parser.add_argument("--launcher", default="", help="@LOG@: where reports go, with the pid behind it; "
                        "@LEAKS@: what --leaks or --no-leaks says")
    parser.add_argument("--leaks", default="", help="to look for leaks")
    parser.add_argument("--no-leaks", default="", help="not to")
    parser.add_argument("--report", default=".", help="what a line of a report looks like")
    parser.add_argument("--times", action="store_true", help="tell how long each test took")
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE, filled likewise")
    parser.add_argument("--slower", type=int, default=1, help="time limits of the tests times this")
    parser.add_argument("--limit", type=int, default=120, help="seconds for one test")
    parser.add_argument("--except", dest="exceptions", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("only", nargs="*", help="program or program::test")
    return parser.parse_args()


def read_exceptions(path):
    found = {}
    for line in path.read_text().splitlines() if path else []:
        if line.strip() and not line.startswith("#"):
            name, kind, reason = line.split(None, 2)
            if kind not in ("skip", "leaks"):
                sys.exit(f"{path}: {kind}?")
            found[name] = kind, reason.strip()
    return found


class Build:
    """The programs, made with the checker's flags."""

    def __init__(self, options):
        self.options = options
        self.cc = [*shlex.split(options.cc), "-std=gnu11", "-O1", "-g", "-pthread"]
        self.cc += shlex.split(options.cflags)
        self.cc += ["-I", str(TESTS / "harness"), "-I", str(ROOT / "include")]
        self.harness = []

    def compile(self, source):
        target = self.options.out / (source.stem + ".o")
        subprocess.run([*self.cc, "-c", "-o", target, source], check=True)
        return str(target)

    def program(self, source):
        target = self.options.out / source.stem
        objects = [self.compile(source), *self.harness]
        subprocess.run([*self.cc, "-o", target, *objects, *shlex.split(self.options.link)], check=True)
        return target


def run(options, program, test, leaks):
    """Why it failed (None: it did not), and why it was skipped."""
    began = time.monotonic()
    log = options.out / "logs" / f"{program.name}.{test}"
    filled = {"@LOG@": str(log), "@LEAKS@": options.leaks if leaks else options.no_leaks}
    environment = dict(os.environ, SENDFD_TEST_SLOWER=str(options.slower))
    for setting in options.env:
        name, value = fill(setting, filled).split("=", 1)
        environment[name] = value
    command = [*shlex.split(fill(options.launcher, filled)), str(program), test]
    # A file, because a pipe has no end while a forgotten grandchild holds it.
    with open(f"{log}.output", "w+", encoding="utf-8", errors="replace") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
            start_new_session=True,
        )
        try:
            status = child.wait(options.limit)
        except subprocess.TimeoutExpired:
            status = None
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
        if options.times:
            print(f"{time.monotonic() - began:6.1f} s  {program.name}::{test}", flush=True)
        output.seek(0)
        text = output.read()
    reports = [path for path in log.parent.glob(f"{log.name}.*") if path.suffix != ".output"]
    said = [path.read_text(errors="replace") for path in sorted(reports)]
    said = [report for report in said if re.search(options.report, report, re.MULTILINE)]
    if said:
        return f"{len(said)} report(s)\n" + "\n".join(said)[:6000], None
    if status is None:
        return f"still running after {options.limit} s\n{text}", None
    if status == SKIPPED:
        return None, text.strip().splitlines()[-1] if text.strip() else "no reason given"
    return (None if status == 0 else f"status {status}\n{text[-6000:]}"), None


def fill(text, places):
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def main():
    options = arguments()
    began = time.monotonic()
    exceptions = read_exceptions(options.exceptions)
    options.out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(options.out / "logs", ignore_errors=True)
    (options.out / "logs").mkdir()
    # Tests become other users, whose reports shall be seen.
    (options.out / "logs").chmod(0o1777)
    build = Build(options)
    wanted = {name.split("::")[0] for name in options.only}
    sources = [path for path in sorted(TESTS.glob("*.c")) if not wanted or path.stem in wanted]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        build.harness = list(pool.map(build.compile, sorted((TESTS / "harness").glob("*.c"))))
        programs = list(pool.map(build.program, sources))
        tests, skipped, known = [], [], set()
        for program in programs:
            listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
            for line in listed.stdout.splitlines():
                test, _, missing = line.partition("\t")
                name = f"{program.name}::{test}"
                known |= {name, program.name}
                kind, reason = exceptions.get(name) or exceptions.get(program.name) or ("", "")
                if options.only and not {name, program.name} & set(options.only):
                    continue
                if missing or kind == "skip":
                    skipped.append((name, missing or reason))
                else:
                    tests.append((program, test, kind != "leaks"))
        results = list(pool.map(lambda job: run(options, *job), tests))
    failed = 0
    for (program, test, _), (failure, skip) in zip(tests, results):
        name = f"{program.name}::{test}"
        if failure:
            failed += 1
            print(f"FAILED {options.name} {name}: {failure}\n")
        elif skip:
            skipped.append((name, skip))
    for name, reason in skipped:
        print(f"skipped {options.name} {name}: {reason}")
    stale = [] if options.only else sorted(set(exceptions) - known)
    for name in stale:
        print(f"FAILED {options.name}: {options.exceptions.name} names {name}, which is no test")
    passed = len(tests) - failed - sum(1 for _, skip in results if skip)
    seconds = time.monotonic() - began
    print(f"{options.name}: {passed} passed, {failed} failed, {len(skipped)} skipped, {seconds:.0f} s")
    return 1 if failed or stale or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
