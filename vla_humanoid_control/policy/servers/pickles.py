"""Pickles as data: written and read without importing, making or calling anything.

LeRobot's servers speak in pickles, which can run any code where they are loaded. Here one is read
for what it says: what it would call or make is a `Made`, with its name, and stays one.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARK = object()
_PLAIN = {'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8', 'BINBYTES', 'SHORT_BINBYTES',
          'BINBYTES8', 'BINFLOAT', 'BININT', 'BININT1', 'BININT2', 'LONG1'}
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_TUPLES = {'EMPTY_TUPLE': 0, 'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_STORAGES = {'torch.FloatStorage': '<f4', 'torch.DoubleStorage': '<f8',
             'torch.HalfStorage': '<f2'}


@dataclass
class Made:
    """What a pickle would make or call.

    Attributes:
        name: Of the class or function, with its module.
        arguments: None for the class or function itself.
        state: What is set on it afterwards.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None


def dumps(value: Any) -> bytes:
    """A pickle of plain data and of what `Made` says, for a server that loads it.

    Raises:
        TypeError: It holds something else.
    """
    return b'\x80\x04' + _written(value) + b'.'


def loads(data: bytes) -> Any:
    """What a pickle says: plain data, and `Made`.

    Raises:
        ValueError: It is none, or of a kind that is not known.
    """
    return _read(io.BytesIO(data))


def tensor(made: Any) -> NDArray[Any]:
    """A pickled tensor of torch as an array.

    Raises:
        ValueError: It is none, or is larger than what it is a part of.
    """
    try:
        storage, offset, shape, strides = made.arguments[:4]
        if (made.name, storage.name) != ('torch._utils._rebuild_tensor_v2',
                                         'torch.storage._load_from_bytes'):
            raise ValueError(made.name)
        values = _storage(storage.arguments[0])
        reach = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if min(offset, *strides, *(n - 1 for n in shape)) < 0 or offset + reach >= len(values) \
                or math.prod(shape) > len(values):
            raise ValueError('it reaches beyond its storage')
        view = np.lib.stride_tricks.as_strided(
            values[offset:], shape, [n * values.itemsize for n in strides])
        return np.array(view)
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        raise ValueError('a tensor that is none') from error


def _storage(data: bytes) -> NDArray[Any]:
    """What torch.save wrote of one storage, in its older format."""
    file = io.BytesIO(data)
    _, _, machine, told, (key,) = [_read(file) for _ in range(5)]
    kind, storage, own, _, size, _ = told.arguments[0]
    count, = struct.unpack('<q', file.read(8))
    if machine['little_endian'] is not True or (kind, own, size) != ('storage', key, count):
        raise ValueError('a storage of another format')
    return np.frombuffer(file.read(), _STORAGES[storage.name], count)


def _read(file: io.BytesIO) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.code == '.':  # its end
                value, = stack
                return value
            _follow(opcode.name, argument, stack, memo)
    except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f'no pickle of actions ({type(error).__name__})') from error
    raise ValueError('half a pickle')


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One step of the reading machine."""
    if name in ('PROTO', 'FRAME'):
        return
    if name in _PLAIN:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _TUPLES:
        _fold(stack, len(stack) - _TUPLES[name])
    elif name == 'MARK':
        stack.append(_MARK)
    elif name == 'TUPLE':
        start = _marked(stack)
        _fold(stack, start + 1)
        del stack[start]
    elif name in ('EMPTY_LIST', 'EMPTY_DICT'):
        stack.append([] if name == 'EMPTY_LIST' else {})
    elif name == 'APPEND':
        value = stack.pop()
        stack[-1].append(value)
    elif name == 'APPENDS':
        start = _marked(stack)
        stack[start - 1].extend(stack[start + 1:])
        del stack[start:]
    elif name == 'SETITEMS':
        start = _marked(stack)
        stack[start - 1].update(zip(stack[start + 1::2], stack[start + 2::2], strict=True))
        del stack[start:]
    elif name in ('MEMOIZE', 'BINPUT', 'LONG_BINPUT'):
        memo[len(memo) if name == 'MEMOIZE' else argument] = stack[-1]
    elif name in ('BINGET', 'LONG_BINGET'):
        stack.append(memo[argument])
    elif name == 'GLOBAL':
        stack.append(Made(argument.replace(' ', '.')))
    elif name == 'STACK_GLOBAL':
        attribute, module = stack.pop(), stack.pop()
        stack.append(Made(f'{module}.{attribute}'))
    elif name in ('REDUCE', 'NEWOBJ'):
        arguments, made = stack.pop(), stack.pop()
        stack.append(Made(made.name, tuple(arguments)))
    elif name == 'BUILD':
        state = stack.pop()
        stack[-1].state = state
    elif name == 'BINPERSID':
        stack.append(Made('persistent', (stack.pop(),)))
    else:
        raise ValueError(f'a pickle with {name}')


def _marked(stack: list[Any]) -> int:
    return len(stack) - 1 - next(i for i, v in enumerate(reversed(stack)) if v is _MARK)


def _fold(stack: list[Any], start: int) -> None:
    if start < 0:
        raise IndexError('nothing is left')
    stack[start:] = [tuple(stack[start:])]


def _written(value: Any) -> bytes:
    """A value as it stands in a pickle of protocol 4, without its frame."""
    if value is None or isinstance(value, bool):
        return {None: b'N', True: b'\x88', False: b'\x89'}[value]
    if isinstance(value, int):
        return b'J' + struct.pack('<i', value)
    if isinstance(value, float):
        return b'G' + struct.pack('>d', value)
    if isinstance(value, str):
        text = value.encode()
        return b'X' + struct.pack('<I', len(text)) + text
    if isinstance(value, bytes):
        return b'B' + struct.pack('<I', len(value)) + value
    if isinstance(value, tuple):
        return b'(' + b''.join(map(_written, value)) + b't'
    if isinstance(value, list):
        return b'](' + b''.join(map(_written, value)) + b'e'
    if isinstance(value, dict):
        pairs = (_written(k) + _written(v) for k, v in value.items())
        return b'}(' + b''.join(pairs) + b'u'
    if isinstance(value, np.ndarray):
        return _written(Made('numpy.ndarray', (value.shape, value.dtype.str, value.tobytes())))
    if isinstance(value, Made) and value.arguments is not None:
        module, _, name = value.name.rpartition('.')
        state = b'' if value.state is None else _written(value.state) + b'b'
        return f'c{module}\n{name}\n'.encode() + _written(value.arguments) + b'\x81' + state
    raise TypeError(f'{type(value).__name__} has no place in a pickle here')
