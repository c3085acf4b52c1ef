"""Arrays in msgpack, as openpi's client and server write them. Nothing in them can run code.

    {b'__ndarray__': True, b'data': bytes, b'dtype': '<f4', b'shape': [50, 7]}
    {b'__npgeneric__': True, b'data': 1.5, b'dtype': '<f4'}
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

LARGEST = 64 * 2**20
"""A larger message is refused [bytes]."""
_KINDS = 'biufU'
_NAMES = {'__ndarray__', '__npgeneric__'}


def pack(message: Any) -> bytes:
    """Maps, lists, text, numbers and arrays as msgpack."""
    return bytes(msgpack.packb(message, default=_encode))


def unpack(data: bytes) -> Any:
    """The inverse of `pack`.

    Raises:
        ValueError: It is no such message, is too large, or holds an array of objects.
    """
    if len(data) > LARGEST:
        raise ValueError(f'{len(data)} bytes, at most {LARGEST} are read')
    try:
        return msgpack.unpackb(data, object_hook=_decode, strict_map_key=False)
    except (msgpack.exceptions.UnpackException, msgpack.exceptions.ExtraData, TypeError,
            UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'no msgpack: {type(error).__name__}') from error


def _encode(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in _KINDS:
        raise ValueError(f'arrays of {value.dtype} cannot be sent')
    if isinstance(value, np.ndarray):
        return {b'__ndarray__': True, b'data': value.tobytes(), b'dtype': value.dtype.str,
                b'shape': value.shape}
    if isinstance(value, np.generic):
        return {b'__npgeneric__': True, b'data': value.item(), b'dtype': value.dtype.str}
    raise TypeError(f'{type(value).__name__} cannot be sent')


def _decode(given: dict[Any, Any]) -> Any:
    fields = {key.decode('ascii', 'replace') if isinstance(key, bytes) else key: value
              for key, value in given.items()}
    if not _NAMES & fields.keys():
        return given
    try:
        kind = np.dtype(fields['dtype'])
        if kind.kind not in _KINDS:
            raise ValueError(f'arrays of {kind} are not read')
        if '__npgeneric__' in fields:
            return kind.type(fields['data'])
        shape = tuple(int(side) for side in fields['shape'])
        if min(shape, default=1) < 0 or math.prod(shape) * kind.itemsize != len(fields['data']):
            raise ValueError(f'{len(fields["data"])} bytes are no {kind} {list(shape)}')
        return np.frombuffer(fields['data'], kind).reshape(shape)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f'a damaged array: {error!r}') from error
