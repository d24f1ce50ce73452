"""PyTorch's DataLoader and SimpleQueue, by the standard way and by sendfd.multiprocessing.

Each case runs in a process of its own, once each way, under a small limit of descriptors. By
sendfd everything must arrive, in time. What the standard way does stands beside it: how long it
takes, or how it fails.
"""

import resource
import subprocess
import sys
import time
import warnings

BATCHES = 12
LIMIT_S = 120
LEAD = 50

# What, start method, descriptors, tensors in a batch, batches that a worker may be ahead.
LOADERS = [
    ("loader", method, limit, tensors, ahead)
    for method in ("fork", "spawn")
    for limit, tensors, ahead in ((1024, 100, 2), (1024, 400, 1), (256, 100, 1))
]
QUEUES = [("queue", method, 256, 1000, LEAD) for method in ("fork", "spawn")]
# Here a worker has no room for two batches, so that PyTorch's own calls fail in it, and one is
# dropped where it is pickled. What was sent arrives; and who waits for the other one is told.
TOO_MANY = [("too many", method, 1024, 400, 2) for method in ("fork", "spawn")]


class Tensors:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        import torch

        return [torch.full((4,), float(index * self.count + i)) for i in range(self.count)]


def first(batch):
    return batch[0]


def load(method, tensors, ahead, result):
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Tensors(tensors),
        collate_fn=first,
        num_workers=1,
        prefetch_factor=ahead,
        multiprocessing_context=method,
        timeout=15,
    )
    for index, batch in enumerate(loader):
        assert [int(tensor[0]) for tensor in batch] == [index * tensors + i for i in range(tensors)]
        result["arrived"] += tensors


def produce(queue, count, ahead):
    import torch

    for i in range(count):
        ahead.acquire()
        queue.put(torch.full((4,), float(i)))
    for _ in range(LEAD):  # What it keeps goes with it: it must stay until all is taken.
        ahead.acquire()


def consume(method, count, ahead, result):
    import torch.multiprocessing as mp

    context = mp.get_context(method)
    queue, room = context.SimpleQueue(), context.Semaphore(ahead)
    process = context.Process(target=produce, args=(queue, count, room))
    process.start()
    for i in range(count):
        assert int(queue.get()[0]) == i
        result["arrived"] += 1
        room.release()
    process.join()
    assert process.exitcode == 0


def run(way, what, method, limit, tensors, ahead):
    """In a process of its own: prints how many arrived, the seconds, and what was raised."""
    warnings.simplefilter("ignore")
    import torch.multiprocessing as mp

    if way == "sendfd":
        import sendfd.multiprocessing

        sendfd.multiprocessing.install()
    mp.set_sharing_strategy("file_descriptor")
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), int(limit)))
    result, error = {"arrived": 0}, None
    begin = time.monotonic()
    try:
        work = consume if what == "queue" else load
        work(method, int(tensors), int(ahead), result)
    except Exception as raised:
        error = type(raised).__name__
    print(result["arrived"], time.monotonic() - begin, error, flush=True)


def measure(way, case):
    """How many arrived, the seconds, and what was raised."""
    command = [sys.executable, __file__, way, *map(str, case)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return 0, LIMIT_S, "no end"
    said = done.stdout.splitlines()[-1].split() if done.stdout else []
    if len(said) != 3:
        return 0, 0.0, f"died with {done.returncode}: {done.stderr[-300:]}"
    return int(said[0]), float(said[1]), None if said[2] == "None" else said[2]


def main():
    failed = 0
    cases = [*LOADERS, *QUEUES, *TOO_MANY]
    for case in cases:
        what, method, limit, tensors, ahead = case
        every = tensors if what == "queue" else BATCHES * tensors
        arrived, seconds, error = measure("sendfd", case)
        standard = measure("standard", case)
        if what == "too many":
            well = arrived >= tensors and error in (None, "RuntimeError")
        else:
            well = arrived == every and error is None
        failed += not well
        ours = f"{arrived} of {every}" + (f", {error}" if error else "")
        beside = f"{standard[0]} of {every}" + (f", {standard[2]}" if standard[2] else "")
        if arrived == standard[0] == every:
            beside = f"takes {seconds / standard[1]:.2f} times as long as the standard way"
        else:
            beside = f"the standard way {beside}"
        print(
            f"{'ok    ' if well else 'FAILED'} {what}, {method}, ulimit -n {limit}, {tensors} "
            f"tensors, {ahead} ahead: {ours}; {beside}",
            flush=True,
        )
    print(f"{len(cases) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(*sys.argv[1:])
    else:
        main()
