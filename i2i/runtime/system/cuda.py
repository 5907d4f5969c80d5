"""Call the driver of the first NVIDIA card: free memory, and page-locked memory.

ONNX Runtime tells of neither, and the libraries that do are hundreds of megabytes. Everything here is in the primary
context of the card, which ONNX Runtime uses too.
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
    """The driver is not there, or refused."""


def free_memory() -> int | None:
    """Bytes of the card that nobody has taken; None where that cannot be known."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        with _current() as driver:
            _check(driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)))
    except CudaError:
        return None
    return free.value


def page_locked(size: int) -> np.ndarray:
    """uint8 [size] that the card copies from and to by itself; ordinary memory where the driver has none to give."""
    address = ctypes.c_void_p()
    try:
        with _current() as driver:
            _check(driver.cuMemHostAlloc(ctypes.byref(address), ctypes.c_size_t(max(1, size)), _PORTABLE))
    except CudaError:
        return np.empty(size, np.uint8)
    memory = (ctypes.c_uint8 * max(1, size)).from_address(address.value or 0)
    # When the last array over it goes; not at exit, when the driver may be gone already and takes it all back anyway.
    weakref.finalize(memory, _free, address).atexit = False
    return np.ctypeslib.as_array(memory)[:size]


def _free(address: ctypes.c_void_p) -> None:
    """Gives page-locked memory back. Any thread may let go of it last; the driver refuses one without a context."""
    with suppress(CudaError), _current() as driver:
        driver.cuMemFreeHost(address)


@contextmanager
def _current() -> Iterator[Any]:
    """The driver, with the card's context current in this thread."""
    driver, context = _context()
    _check(driver.cuCtxPushCurrent_v2(context))
    try:
        yield driver
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


@cache
def _context() -> tuple[Any, ctypes.c_void_p]:
    """The driver and the primary context of the first card, which is kept for as long as the process lives."""
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
        raise CudaError(f"the NVIDIA driver answers with error {status}")
