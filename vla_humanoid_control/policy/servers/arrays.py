"""Arrays in msgpack, as openpi and GR00T write them. Nothing in them can run code.

    {b'__ndarray__': True, b'data': bytes, b'dtype': '<f4', b'shape': [50, 7]}      openpi
    {b'__npgeneric__': True, b'data': 1.5, b'dtype': '<f4'}
    {'__ndarray_class__': True, 'as_npy': bytes}                                    GR00T
"""

from __future__ import annotations

import io
import math
from typing import Any

import msgpack
import numpy as np
from numpy.lib import format as npy

LARGEST = 64 * 2**20
"""A larger message is refused [bytes]."""
_KINDS = 'biufU'
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NAMES = {'__ndarray__', '__npgeneric__', '__ndarray_class__'}


def pack(message: Any) -> bytes:
    """Maps, lists, text, numbers and arrays as msgpack, as openpi reads it."""
    return bytes(msgpack.packb(message, default=_encode))


def pack_npy(message: Any) -> bytes:
    """The same as GR00T reads it."""
    return bytes(msgpack.packb(message, default=_encode_npy))


def unpack(data: bytes) -> Any:
    """The inverse of both.

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
    _check_kind(value)
    if isinstance(value, np.ndarray):
        return {b'__ndarray__': True, b'data': value.tobytes(), b'dtype': value.dtype.str,
                b'shape': value.shape}
    if isinstance(value, np.generic):
        return {b'__npgeneric__': True, b'data': value.item(), b'dtype': value.dtype.str}
    raise TypeError(f'{type(value).__name__} cannot be sent')


def _encode_npy(value: Any) -> Any:
    _check_kind(value)
    if isinstance(value, np.ndarray):
        file = io.BytesIO()
        np.save(file, value, allow_pickle=False)
        return {'__ndarray_class__': True, 'as_npy': file.getvalue()}
    raise TypeError(f'{type(value).__name__} cannot be sent')


def _check_kind(value: Any) -> None:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in _KINDS:
        raise ValueError(f'arrays of {value.dtype} cannot be sent')


def _decode(given: dict[Any, Any]) -> Any:
    fields = {key.decode('ascii', 'replace') if isinstance(key, bytes) else key: value
              for key, value in given.items()}
    if not _NAMES & fields.keys():
        return given
    try:
        if '__ndarray_class__' in fields:
            return _read_npy(fields['as_npy'])
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


def _read_npy(data: bytes) -> Any:
    """What `np.load` reads, but nothing is allocated that is not there."""
    file = io.BytesIO(data)
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f'npy of version {version}')
    shape, is_fortran, kind = _HEADERS[version](file)
    first = file.tell()
    if kind.kind not in _KINDS or math.prod(shape) * kind.itemsize != len(data) - first:
        raise ValueError(f'{len(data) - first} bytes are no {kind} {list(shape)}')
    return np.frombuffer(data, kind, offset=first).reshape(shape, order='F' if is_fortran else 'C')
