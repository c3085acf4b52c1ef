"""Which part of the data something belongs to: decided by a hash of its name and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def parts_of(names: Sequence[str], shares: Sequence[float], use: str) -> NDArray[np.int64]:
    """The part of each name, the same at all times and on all machines.

    Args:
        names: What to part, such as episodes; equal names go together.
        shares: How large each part is to be, in proportion.
        use: What the parts are for. Parts for different uses are independent of each other.

    Returns:
        int64 [N], 0 to `len(shares) - 1`.
    """
    edges = np.cumsum(shares) / np.sum(shares)
    places = [_place(f'{use}\n{name}') for name in names]
    return np.searchsorted(edges[:-1], places, side='right').astype(np.int64)


def _place(text: str) -> float:
    """A number in [0, 1), as good as drawn at random, yet the same for the same text."""
    digest = hashlib.blake2b(text.encode(), digest_size=6).digest()  # 48 bits fit into a float
    return int.from_bytes(digest, 'big') / 2**48
