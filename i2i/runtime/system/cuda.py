"""Direct calls of the NVIDIA driver for the first card: free memory and page-locked memory.

ONNX Runtime offers neither, and the libraries that do take hundreds of megabytes. All calls use the primary context of
the card, as ONNX Runtime does.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np

_PORTABLE = 1  # CU_MEMHOSTALLOC_PORTABLE: page-locked for every context


class CudaError(OSError):
    """Raised if the driver is missing or a call of it fails."""


def free_memory() -> int | None:
    """Return the free memory of the card in bytes, or None if it is unknown."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        with _current() as driver:
            _check(driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)))
    except CudaError:
        return None
    return free.value


def page_locked(size: int) -> np.ndarray:
    """Return page-locked memory, uint8 [size], for direct copies by the card; else ordinary memory."""
    address = ctypes.c_void_p()
    try:
        with _current() as driver:
            _check(driver.cuMemHostAlloc(ctypes.byref(address), ctypes.c_size_t(max(1, size)), _PORTABLE))
    except CudaError:
        return np.empty(size, np.uint8)
    memory = (ctypes.c_uint8 * max(1, size)).from_address(address.value or 0)
    # Freed with the last array on it; not at exit, when the driver may be unloaded and frees everything anyway.
    weakref.finalize(memory, _free, address).atexit = False
    return np.ctypeslib.as_array(memory)[:size]


def _free(address: ctypes.c_void_p) -> None:
    """Free page-locked memory. Any thread may do this, so it makes the context current, which the driver requires."""
    with suppress(CudaError), _current() as driver:
        driver.cuMemFreeHost(address)


@contextmanager
def _current() -> Iterator[Any]:
    """Yield the driver, with the card's context current in this thread. Raises CudaError."""
    driver, context = _context()
    _check(driver.cuCtxPushCurrent_v2(context))
    try:
        yield driver
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


@cache
def _context() -> tuple[Any, ctypes.c_void_p]:
    """Return the driver and the primary context of the first card, which is retained until the process ends."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        raise CudaError(str(error)) from error
    device, context = ctypes.c_int(), ctypes.c_void_p()
    _check(driver.cuInit(0))
    _check(driver.cuDeviceGet(ctypes.byref(device), 0))
    _check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
    return driver, context


def _check(status: int) -> None:
    if status != 0:
        raise CudaError(f"the NVIDIA driver returned error {status}")
