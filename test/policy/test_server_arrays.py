"""Arrays in messages of policy servers: as they were, or refused without harm."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip('msgpack')

import msgpack

from vla_humanoid_control.policy.servers.arrays import LARGEST, pack, pack_npy, unpack


def npy(header: str, data: bytes = b'') -> bytes:
    text = header.encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text + data


@pytest.mark.parametrize('write', [pack, pack_npy])
@pytest.mark.parametrize('value', [
    {'a': np.arange(6, dtype='<i8').reshape(2, 3)}, [1, 'x', None, True],
    {'a': np.zeros((0, 3), np.uint8)}, {'a': np.array(['up', 'down'])},
    {'a': np.asfortranarray(np.arange(6.0).reshape(2, 3))}, {'a': np.array(1.5)}])
def test_messages_come_back_as_they_were(value: Any, write: Callable[[Any], bytes]) -> None:
    np.testing.assert_equal(unpack(write(value)), value)


def test_numbers_of_numpy_come_back_as_they_were() -> None:
    number = unpack(pack({'a': np.float32(1.5)}))['a']
    assert number == 1.5 and number.dtype == np.float32


@pytest.mark.parametrize('write', [pack, pack_npy])
@pytest.mark.parametrize('value', [{'a': object()}, {'a': np.array([object()])},
                                   {'a': np.zeros(2, complex)}])
def test_what_cannot_be_sent_is_refused(value: Any, write: Callable[[Any], bytes]) -> None:
    with pytest.raises((TypeError, ValueError), match='cannot be sent'):
        write(value)


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{'a': 1}], object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize('array', [
    {'__ndarray_class__': True, 'as_npy': pickled()},
    {'__ndarray_class__': True, 'as_npy': npy("{'descr': '<f8', 'fortran_order': False, "
                                              "'shape': (1000000000000,)}")},
    {'__ndarray_class__': True, 'as_npy': b''}, {'__ndarray_class__': True, 'as_npy': 'text'},
    {'__ndarray_class__': True},
    {b'__ndarray__': True, b'data': b'1234', b'dtype': '<f4', b'shape': [10**12]},
    {b'__ndarray__': True, b'data': b'1234', b'dtype': '<f4', b'shape': [-1]},
    {b'__ndarray__': True, b'data': b'1234', b'dtype': '|O', b'shape': [1]},
    {b'__ndarray__': True, b'data': b'1234', b'dtype': 'nonsense', b'shape': [1]},
    {b'__ndarray__': True, b'data': 5, b'dtype': '<f4', b'shape': [1]},
    {b'__npgeneric__': True, b'data': 'x', b'dtype': '<f4'}])
def test_damaged_arrays_are_refused_before_anything_is_allocated(array: Any) -> None:
    with pytest.raises(ValueError, match=r'.'):
        unpack(msgpack.packb({'a': array}))


@pytest.mark.parametrize('data', [b'', b'\xc1', b'\x81', b'\x80\x80', b'\x91' * 5000,
                                  b'\xdb\xff\xff\xff\xff'])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r'.'):
        unpack(data)


def test_a_huge_message_is_not_looked_at() -> None:
    with pytest.raises(ValueError, match='at most'):
        unpack(bytes(LARGEST + 1))
