"""The test programs, compiled for the processor of a kernel."""

import concurrent.futures
import os
import pathlib
import re
import subprocess

from machines import PLACE, ROOT

TESTS = ROOT / "tests/c"
FLAGS = ["-std=gnu11", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror",
         "-I", str(TESTS / "harness"), "-I", str(ROOT / "include")]


def names():
    return sorted(path.stem for path in TESTS.glob("*.c"))


class Programs:
    def __init__(self, processor):
        self.cc = processor.cc
        self.out = PLACE / "programs" / processor.triple
        self.out.mkdir(parents=True, exist_ok=True)
        self.library = self.library_for(processor.triple)

    def library_for(self, triple):
        """Where it is, as `make` builds it; a shared one goes into the image."""
        if os.uname().machine == triple.split("-")[0]:
            return ROOT / "build/libsendfd.so.0"
        library = f"build/{triple}/libsendfd.a"
        subprocess.run(["make", "-s", "--no-print-directory", f"TARGET={triple}", library], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        return ROOT / library

    def build(self, wanted):
        """The programs' paths."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            harness = list(pool.map(self.compile, sorted((TESTS / "harness").glob("*.c"))))
            return list(pool.map(lambda name: self.link(name, harness), wanted))

    def compile(self, source):
        target = self.out / (source.stem + ".o")
        headers = [*(TESTS / "harness").glob("*.h"), ROOT / "include/sendfd.h"]
        if is_older(target, [source, *headers]):
            subprocess.run([self.cc, *FLAGS, "-c", "-o", target, source], check=True)
        return target

    def link(self, name, harness):
        target = self.out / name
        objects = [*harness, self.compile(TESTS / f"{name}.c")]
        if is_older(target, [*objects, self.library]):
            subprocess.run([self.cc, "-pthread", "-s", "-o", target, *objects, self.library, "-Wl,-rpath,/lib"],
                           check=True)
        return target

    def libraries(self, programs):
        """All shared ones that they need, with the loader, by their paths on the kernel's machine."""
        # What pthread_exit loads.
        found = {"/lib/libgcc_s.so.1": self.file_of("libgcc_s.so.1")}
        to_look_at = [*programs, *found.values()]
        while to_look_at:
            text = subprocess.run(["readelf", "-ld", to_look_at.pop()], check=True, capture_output=True,
                                  text=True).stdout
            loader = re.findall(r"interpreter: ([^\]]+)\]", text)
            for path in loader + [f"/lib/{name}" for name in re.findall(r"NEEDED.*\[(.*)\]", text)]:
                if path not in found:
                    found[path] = self.file_of(pathlib.Path(path).name)
                    to_look_at.append(found[path])
        return found

    def file_of(self, library):
        if library == self.library.name:
            return self.library
        return pathlib.Path(subprocess.run([self.cc, f"-print-file-name={library}"], check=True, capture_output=True,
                                           text=True).stdout.strip())


def is_older(target, sources):
    made = target.stat().st_mtime if target.exists() else 0
    return any(source.stat().st_mtime >= made for source in sources)
