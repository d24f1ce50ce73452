"""GPU memory by label: one process keeps it, any other of the same user maps it, by pid.

    python cuda_share.py keep weights=hello
    python cuda_share.py read PID weights
    python cuda_share.py write PID weights goodbye

Needs cuda-python and a GPU of NVIDIA. The memory travels as a descriptor between processes that
need not be related. It needs no ptrace right over the keeper, as pidfd_getfd() would. The memory
lives as long as anybody has it mapped or holds the descriptor.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cuda.bindings import driver

import sendfd

if TYPE_CHECKING:
    from collections.abc import Iterator

FD = driver.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
GPU = 0


def checked(returned: tuple[Any, ...]) -> Any:
    """What a call of the driver returns beside its result code."""
    result, *values = returned
    if result != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(str(result))
    return values[0] if values else None


def begin() -> None:
    checked(driver.cuInit(0))
    device = checked(driver.cuDeviceGet(GPU))
    checked(driver.cuCtxSetCurrent(checked(driver.cuDevicePrimaryCtxRetain(device))))


def location() -> Any:
    where = driver.CUmemLocation()
    where.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    where.id = GPU
    return where


def create(size: int) -> tuple[Any, int]:
    """Memory for at least so many bytes, and how many they are."""
    wanted = driver.CUmemAllocationProp()
    wanted.type = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    wanted.location = location()
    wanted.requestedHandleTypes = FD
    least = driver.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_MINIMUM
    step = checked(driver.cuMemGetAllocationGranularity(wanted, least))
    size = -(-size // step) * step
    return checked(driver.cuMemCreate(size, wanted, 0)), size


@contextmanager
def mapped(memory: Any, size: int) -> Iterator[Any]:
    """The address at which the GPU has it meanwhile."""
    address = checked(driver.cuMemAddressReserve(size, 0, 0, 0))
    checked(driver.cuMemMap(address, size, 0, memory, 0))
    access = driver.CUmemAccessDesc()
    access.location = location()
    access.flags = driver.CUmemAccess_flags.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
    checked(driver.cuMemSetAccess(address, size, [access], 1))
    try:
        yield address
    finally:
        checked(driver.cuMemUnmap(address, size))
        checked(driver.cuMemAddressFree(address, size))


def write(memory: Any, size: int, text: str) -> None:
    content = text.encode().ljust(size, b"\0")
    with mapped(memory, size) as address:
        checked(driver.cuMemcpyHtoD(address, content, size))


def read(memory: Any, size: int) -> str:
    content = bytearray(size)
    with mapped(memory, size) as address:
        checked(driver.cuMemcpyDtoH(content, address, size))
    return content.rstrip(b"\0").decode()


def keep(texts: list[str]) -> None:
    begin()
    kept: dict[bytes, tuple[int, int]] = {}
    for label, text in (text.split("=", 1) for text in texts):
        memory, size = create(len(text.encode()))
        write(memory, size, text)
        kept[label.encode()] = checked(driver.cuMemExportToShareableHandle(memory, FD, 0)), size
        checked(driver.cuMemRelease(memory))
    with sendfd.Inbox() as inbox:
        print(f"process {os.getpid()} keeps {b', '.join(kept).decode()}", flush=True)
        for parcel in inbox:
            with parcel:
                if parcel.wants_reply and parcel.data in kept:
                    fd, size = kept[parcel.data]
                    parcel.reply(fd, data=b"%d" % size)
                elif parcel.wants_reply:
                    parcel.reply(data=b"no such label")


def fetch(pid: int, label: str) -> tuple[Any, int]:
    begin()
    with sendfd.request(pid, data=label.encode()) as answer:
        if not answer.fds:
            sys.exit(answer.data.decode())
        memory = checked(driver.cuMemImportFromShareableHandle(answer.fds[0], FD))
        return memory, int(answer.data)


if __name__ == "__main__":
    if sys.argv[1] == "keep":
        keep(sys.argv[2:])
    elif sys.argv[1] == "read":
        print(read(*fetch(int(sys.argv[2]), sys.argv[3])))
    else:
        write(*fetch(int(sys.argv[2]), sys.argv[3]), sys.argv[4])
