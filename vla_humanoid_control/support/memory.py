"""Memory of this process."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> None:
    """Let glibc keep what large tensors free; else a quarter of the time goes to page faults."""
    library = ctypes.CDLL(None)
    if hasattr(library, 'mallopt'):
        library.mallopt(-4, 0)  # M_MMAP_MAX: no separate mapping for large blocks
        library.mallopt(-1, 2 ** 31 - 1)  # M_TRIM_THRESHOLD
