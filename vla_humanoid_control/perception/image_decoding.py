"""Camera messages to RGB arrays, with the same pixels as cv_bridge and everything checked first.

`decode` gives what `imgmsg_to_cv2(msg)` gives, `decode_rgb` what
`imgmsg_to_cv2(msg, desired_encoding='rgb8')` gives, and `decode_compressed_rgb` the same for a
`CompressedImage`. Nothing is allocated before the header has been found to fit the data.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_SIDE_PX = 8192
"""Larger images are refused: no camera of a robot is, and memory stays bounded."""


class ImageError(ValueError):
    """An image message that cannot be used. `str(error)` is the reason."""


@dataclass(frozen=True)
class RawImage:
    """The fields of a `sensor_msgs/Image`.

    Attributes:
        height, width: Size [px].
        encoding: Name as in `sensor_msgs/image_encodings.hpp`.
        is_bigendian: Byte order of values wider than a byte.
        step: Bytes in a row, padding included.
        data: height * step bytes, or anything with the buffer protocol that holds them.
    """

    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: Any


@dataclass(frozen=True)
class _Encoding:
    """Layout of a pixel, and the OpenCV conversion to RGB: None where it is RGB already.

    Encodings with `is_colour` False are measurements; a conversion to RGB makes no sense.
    """

    dtype: str
    channels: int
    to_rgb: int | None = None
    is_colour: bool = True


# OpenCV names a Bayer pattern by its second row, ROS by its first: RGGB there is BG here.
_ENCODINGS = {
    'rgb8': _Encoding('u1', 3),
    'bgr8': _Encoding('u1', 3, cv2.COLOR_BGR2RGB),
    'rgba8': _Encoding('u1', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Encoding('u1', 4, cv2.COLOR_BGRA2RGB),
    'mono8': _Encoding('u1', 1, cv2.COLOR_GRAY2RGB),
    'rgb16': _Encoding('u2', 3),
    'bgr16': _Encoding('u2', 3, cv2.COLOR_BGR2RGB),
    'rgba16': _Encoding('u2', 4, cv2.COLOR_RGBA2RGB),
    'bgra16': _Encoding('u2', 4, cv2.COLOR_BGRA2RGB),
    'mono16': _Encoding('u2', 1, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': _Encoding('u1', 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _Encoding('u1', 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _Encoding('u1', 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _Encoding('u1', 1, cv2.COLOR_BayerGB2RGB),
    'bayer_rggb16': _Encoding('u2', 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr16': _Encoding('u2', 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg16': _Encoding('u2', 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg16': _Encoding('u2', 1, cv2.COLOR_BayerGB2RGB),
    'uyvy': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuyv': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    # The names of uyvy and yuyv before ROS 2 Iron.
    'yuv422': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': _Encoding('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    '16UC1': _Encoding('u2', 1, is_colour=False),
    '32FC1': _Encoding('f4', 1, is_colour=False),
}

COLOURS = tuple(name for name, encoding in _ENCODINGS.items() if encoding.is_colour)
"""Encodings that `decode_rgb` reads."""

_SET_COLOUR = 'Set the camera driver to rgb8, bgr8, mono8 or yuyv'
# Drivers disagree on height and step of an image whose chroma lies in a plane of its own.
_SEMI_PLANAR = ('nv12', 'nv21', 'nv16', 'nv61', 'nv24', 'nv42')
_MATRIX = re.compile(r'(8|16|32|64)[USF]C\d*')

_DECODED = {(1, 1): 'mono8', (1, 3): 'bgr8', (1, 4): 'bgra8',
            (2, 1): 'mono16', (2, 3): 'bgr16', (2, 4): 'bgra16'}
"""What OpenCV's file reader gives, by bytes a value and channels."""


def decode(image: RawImage) -> NDArray[Any]:
    """The pixels as they are: [H, W] or [H, W, C] in the encoding's own type and channel order.

    Returns:
        A view of `image.data` where that is possible; do not write to it.

    Raises:
        ImageError: The encoding is not read, or size, step and data do not fit together.
    """
    encoding = _encoding(image.encoding)
    item = np.dtype(encoding.dtype).itemsize
    _check_size(image.width, image.height)
    row_bytes = image.width * encoding.channels * item
    if image.step < row_bytes or image.step % item:
        raise ImageError(f'step is {image.step}, but a row of {image.width} px in '
                         f'{image.encoding} takes {row_bytes} bytes')
    size = memoryview(image.data).nbytes
    if size != image.step * image.height:
        raise ImageError(f'{size} bytes of data for {image.height} rows of {image.step} bytes')
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)[:, :row_bytes]
    order = '>' if image.is_bigendian else '<'
    pixels = rows.view(f'{order}{encoding.dtype}')  # [H, W * C]
    pixels = pixels.astype(encoding.dtype, copy=False)  # to the machine's own byte order
    if encoding.channels == 1:
        return pixels
    return pixels.reshape(image.height, image.width, encoding.channels)


def decode_rgb(image: RawImage) -> NDArray[np.uint8]:
    """The image as RGB, uint8 [H, W, 3], contiguous.

    Raises:
        ImageError: As for `decode`; also for depth, which is not a picture.
    """
    return _to_rgb(decode(image), image.encoding)


def decode_compressed_rgb(data: Any) -> NDArray[np.uint8]:
    """A JPEG or PNG file as RGB, uint8 [H, W, 3].

    The kind is read from the file itself, not from the message's `format`, which drivers fill
    differently.

    Raises:
        ImageError: Neither JPEG nor PNG, truncated, too large, or corrupt.
    """
    content = bytes(data)
    if content.startswith(b'\x89PNG\r\n\x1a\n'):
        size, is_whole = _png_size(content), b'IEND' in content[-16:]
    elif content.startswith(b'\xff\xd8'):
        size, is_whole = _jpeg_size(content), content.rstrip(b'\0').endswith(b'\xff\xd9')
    else:
        raise ImageError('compressed image is neither JPEG nor PNG')
    _check_size(*size)
    # OpenCV would fill up the missing part of a truncated file with grey and say nothing.
    if not is_whole:
        raise ImageError('compressed image is truncated')
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError('compressed image is corrupt')
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return _to_rgb(np.asarray(pixels), _DECODED[pixels.dtype.itemsize, channels])


def _to_rgb(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    encoding = _encoding(name)
    if not encoding.is_colour:
        raise ImageError(f'encoding {name!r} is a measurement, not a picture. {_SET_COLOUR}')
    if encoding.to_rgb is not None:
        try:
            pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), encoding.to_rgb))
        except cv2.error as error:  # a Bayer image of one row, a YUV image of odd width
            raise ImageError(f'{name} of {pixels.shape[1]}x{pixels.shape[0]} px cannot be '
                             f'converted: {error.err}') from error
    if pixels.dtype == np.uint16:
        # Nearest of value * 255 / 65535. 65535 = 255 * 257, and no uint16 lies half way.
        pixels = (pixels.astype(np.uint32) + 128) // 257
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _encoding(name: str) -> _Encoding:
    if name in _ENCODINGS:
        return _ENCODINGS[name]
    if name in _SEMI_PLANAR:
        why = f'encoding {name!r} keeps colour in a plane of its own, which is not read'
    elif _MATRIX.fullmatch(name[:40]):
        why = f'encoding {name[:40]!r} says nothing of colours and their order'
    else:
        why = f'unknown encoding {name[:40]!r}'
    raise ImageError(f'{why}. {_SET_COLOUR}')


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise ImageError(f'size {width}x{height} px is not within 1 to {MAX_SIDE_PX}')


def _png_size(content: bytes) -> tuple[int, int]:
    if len(content) < 24:
        raise ImageError('compressed image is truncated')
    width, height = struct.unpack('>II', content[16:24])
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Walk the segments up to the frame header (markers C0 to CF but C4, C8 and CC)."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack('>HH', content[at + 5:at + 9])
            return width, height
        at += 2 + struct.unpack('>H', content[at + 2:at + 4])[0]
    raise ImageError('compressed image has no frame header')
