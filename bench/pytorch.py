"""Times PyTorch's DataLoader and queues after sendfd.multiprocessing.install(), beside the standard way, in the
same run. Prints JSON, one line for each row. Needs torch (tests/programs/run installs it).

pytorch.py [--runs N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings

TENSORS = 100
BATCHES = 11
QUEUED = 500
AHEAD = 50


class Tensors:
    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        import torch

        return [torch.full((4,), float(index * TENSORS + i)) for i in range(TENSORS)]


def first(batch):
    return batch[0]


def load():
    """What a DataLoader takes for all batches of its one worker, from the first that has come."""
    from torch.utils.data import DataLoader

    loader = DataLoader(Tensors(), collate_fn=first, num_workers=1, multiprocessing_context="fork")
    batches = iter(loader)
    next(batches)
    begin = time.perf_counter()
    arrived = sum(len(batch) for batch in batches)
    took = time.perf_counter() - begin
    assert arrived == (BATCHES - 1) * TENSORS
    return took / arrived


def produce(queue, room, done):
    import torch

    for i in range(QUEUED):
        room.acquire()
        queue.put(torch.full((4,), float(i)))
    done.wait()


def consume():
    """What one tensor takes through a queue."""
    import torch.multiprocessing as mp

    context = mp.get_context("fork")
    queue, room, done = context.SimpleQueue(), context.Semaphore(AHEAD), context.Event()
    process = context.Process(target=produce, args=(queue, room, done))
    process.start()
    queue.get()
    room.release()
    begin = time.perf_counter()
    for i in range(1, QUEUED):
        assert int(queue.get()[0]) == i
        room.release()
    took = time.perf_counter() - begin
    done.set()
    process.join()
    return took / (QUEUED - 1)


WORK = {"DataLoader": load, "Queue": consume}


def once(what, way):
    """In a process of its own."""
    command = [sys.executable, __file__, "--one", what, way]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def one(what, way):
    warnings.simplefilter("ignore")
    import torch
    import torch.multiprocessing as mp

    torch.set_num_threads(1)
    if way == "sendfd":
        import sendfd.multiprocessing

        sendfd.multiprocessing.install()
    mp.set_sharing_strategy("file_descriptor")
    print(WORK[what]())


def row(name, seconds, ratios, to):
    line = {"group": "pytorch", "parameter": "", "name": name, "ns": round(statistics.median(seconds) * 1e9, 1)}
    print(json.dumps({**line, "to": {to: statistics.quantiles(ratios, n=4)}}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args()
    if options.one:
        return one(*options.one)
    for what in WORK:
        pairs = [(once(what, "sendfd"), once(what, "standard")) for _ in range(options.runs)]
        standard = f"{what}, the standard way"
        row(f"{what}, installed", [ours for ours, _ in pairs], [ours / theirs for ours, theirs in pairs], standard)
        row(standard, [theirs for _, theirs in pairs], [1.0] * len(pairs), standard)


if __name__ == "__main__":
    main()
