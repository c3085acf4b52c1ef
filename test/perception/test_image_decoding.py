"""Decoding of camera messages: the right pixels for every encoding, and a hard border."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_humanoid_control.perception.image_decoding import (
    COLOURS,
    ImageError,
    RawImage,
    decode,
    decode_compressed_rgb,
    decode_rgb,
)

HEIGHT, WIDTH = 6, 8
RGB = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def raw(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> RawImage:
    """A message that holds these pixels, in the byte order of their own dtype."""
    rows = pixels.reshape(pixels.shape[0], -1)
    rows = rows.astype(rows.dtype.newbyteorder('>' if big else '<'))
    data = b''.join(row.tobytes() + b'\xaa' * padding for row in rows)
    return RawImage(pixels.shape[0], pixels.shape[1], encoding, big,
                    rows.shape[1] * rows.dtype.itemsize + padding, data)


ALPHA = np.full((HEIGHT, WIDTH, 1), 77, np.uint8)
COLOUR = {
    'rgb8': RGB,
    'bgr8': RGB[..., ::-1],
    'rgba8': np.concatenate([RGB, ALPHA], axis=2),
    'bgra8': np.concatenate([RGB[..., ::-1], ALPHA], axis=2),
    'rgb16': RGB.astype(np.uint16) * 257,
    'bgr16': RGB[..., ::-1].astype(np.uint16) * 257,
}


@pytest.mark.parametrize('padding', [0, 4])
@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('encoding', COLOUR)
def test_colour(encoding: str, padding: int, big: bool) -> None:
    image = decode_rgb(raw(COLOUR[encoding], encoding, padding, big))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.array_equal(image, RGB)


def test_mono8_is_copied_to_all_channels() -> None:
    grey = RGB[..., 0]
    assert np.array_equal(decode_rgb(raw(grey, 'mono8')), np.stack([grey] * 3, axis=2))
    assert np.array_equal(decode(raw(grey, 'mono8')), grey)


@pytest.mark.parametrize('big', [False, True])
def test_mono16_is_scaled_to_the_nearest(big: bool) -> None:
    """cv_bridge scales by 255/65535 and rounds; it does not drop the low byte."""
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = decode_rgb(raw(every, 'mono16', big=big))
    expected = np.rint(every * (255.0 / 65535.0)).astype(np.uint8)
    assert np.array_equal(image, np.stack([expected] * 3, axis=2))
    assert np.array_equal(decode(raw(every, 'mono16', big=big)), every)


@pytest.mark.parametrize('big', [False, True])
def test_depth_keeps_its_values_and_has_no_colour(big: bool) -> None:
    millimetres = np.array([[0, 1500], [65535, 258]], np.uint16)
    metres = np.array([[np.nan, 1.5], [np.inf, 0.25]], np.float32)
    for pixels, encoding in ((millimetres, '16UC1'), (metres, '32FC1')):
        image = raw(pixels, encoding, big=big)
        decoded = decode(image)
        assert decoded.dtype == pixels.dtype
        assert np.array_equal(decoded, pixels, equal_nan=encoding == '32FC1')
        with pytest.raises(ImageError, match='not a picture'):
            decode_rgb(image)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_gives_back_a_uniform_colour(pattern: str, bits: int) -> None:
    """Inside a uniform patch every interpolation is exact, so a swapped pattern shows at once."""
    colour = {'r': 200, 'g': 120, 'b': 30}
    tile = np.array([colour[c] for c in pattern], np.uint16).reshape(2, 2)
    mosaic = np.tile(tile, (8, 8))
    mosaic = (mosaic * 257).astype(np.uint16) if bits == 16 else mosaic.astype(np.uint8)
    image = decode_rgb(raw(mosaic, f'bayer_{pattern}{bits}'))
    assert np.array_equal(image[4:-4, 4:-4], np.full((8, 8, 3), (200, 120, 30)))


@pytest.mark.parametrize(('encoding', 'order'), [
    ('yuv422', 'uyvy'), ('yuv422_yuy2', 'yuyv'), ('uyvy', 'uyvy'), ('yuyv', 'yuyv')])
def test_yuv_grey_is_grey(encoding: str, order: str) -> None:
    """Limited range: luma 16 is black and 235 is white; chroma 128 has no colour."""
    values = {'u': 128, 'v': 128}
    luma = iter([16, 235] * 8)
    pixels = np.array([values.get(c) or next(luma) for c in order * 8], np.uint8)
    image = decode_rgb(raw(pixels.reshape(2, 8, 2), encoding))
    assert np.array_equal(image[0, :2], [[0, 0, 0], [255, 255, 255]])


# Every name in sensor_msgs/image_encodings.hpp: bytes a pixel, and whether it is a picture.
HEADER = {
    **{f'{order}{bits}': (channels * bits // 8, True) for bits in (8, 16)
       for order, channels in (('rgb', 3), ('rgba', 4), ('bgr', 3), ('bgra', 4), ('mono', 1))},
    **{f'bayer_{pattern}{bits}': (bits // 8, True) for bits in (8, 16)
       for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **dict.fromkeys(('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'), (2, True)),
    **dict.fromkeys(('nv21', 'nv24'), (2, False)),
    **{f'{bits}{kind}C{channels}': (bits // 8 * channels, False) for channels in (1, 2, 3, 4)
       for bits, kind in ((8, 'U'), (8, 'S'), (16, 'U'), (16, 'S'), (32, 'S'), (32, 'F'),
                          (64, 'F'))},
}


@pytest.mark.parametrize('encoding', HEADER)
def test_every_encoding_of_ros_is_read_or_refused_with_what_to_set(encoding: str) -> None:
    """Regression: present names were unknown, and a refusal did not say what to do."""
    pixel_bytes, is_read = HEADER[encoding]
    image = RawImage(4, 8, encoding, False, 8 * pixel_bytes + pixel_bytes,
                     bytes(9 * pixel_bytes * 4))
    if is_read:
        assert decode_rgb(image).shape == (4, 8, 3)
        for nonsense in (replace(image, step=8 * pixel_bytes - 1), replace(image, data=b''),
                         replace(image, width=2**31)):
            with pytest.raises(ImageError):
                decode_rgb(nonsense)
    else:
        with pytest.raises(ImageError, match=f'{encoding!r}.*Set the camera driver to rgb8'):
            decode_rgb(image)


def test_the_table_of_encodings_is_that_of_the_installed_ros() -> None:
    header = next(Path(sys.prefix, 'include').rglob('image_encodings.hpp'), None)
    if header is None:
        pytest.skip('no header of sensor_msgs here')
    names = re.findall(r'const char \w+\[\] = "(\w+)"', header.read_text(encoding='utf-8'))
    assert set(names) == set(HEADER)
    assert set(COLOURS) <= set(names)


def test_both_names_of_an_encoding_give_the_same_pixels() -> None:
    for old, new in (('yuv422', 'uyvy'), ('yuv422_yuy2', 'yuyv')):
        image = raw(RGB[..., :2], old)
        assert np.array_equal(decode_rgb(image), decode_rgb(replace(image, encoding=new)))


GOOD = raw(RGB, 'rgb8')


@pytest.mark.parametrize(('image', 'reason'), [
    (replace(GOOD, encoding='rgb9'), "unknown encoding 'rgb9'"),
    (replace(GOOD, encoding=''), 'unknown encoding'),
    (replace(GOOD, encoding='x' * 100_000), 'unknown encoding'),
    (replace(GOOD, encoding='8UC' + '3' * 100_000), 'says nothing of colours'),
    (replace(GOOD, encoding='nv12'), 'plane of its own'),
    (replace(GOOD, encoding='YUYV'), 'Set the camera driver'),
    (replace(GOOD, data=GOOD.data[:-1]), 'bytes of data'),
    (replace(GOOD, data=b''), 'bytes of data'),
    (replace(GOOD, data=GOOD.data + b'\0'), 'bytes of data'),
    (replace(GOOD, width=0), 'size 0x6'),
    (replace(GOOD, height=0), 'size 8x0'),
    (replace(GOOD, step=WIDTH * 3 - 1), 'step is 23'),
    (replace(GOOD, step=0), 'step is 0'),
    (replace(GOOD, encoding='mono16', step=17, data=bytes(17 * HEIGHT)), 'step is 17'),
    (replace(GOOD, width=2**31), 'size 2147483648x6'),
    (replace(GOOD, width=2**31, height=2**31, step=2**32 - 1), 'size'),
    (replace(GOOD, step=2**32 - 1), 'bytes of data'),
    (raw(RGB[:, :7, :2], 'yuv422'), 'cannot be converted'),
])
def test_nonsense_is_refused_with_a_reason(image: RawImage, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode_rgb(image)


def test_png_is_exact_in_8_and_16_bits_with_and_without_alpha() -> None:
    for pixels in (RGB[..., ::-1], np.dstack([RGB[..., ::-1], ALPHA]),
                   RGB[..., ::-1].astype(np.uint16) * 257):
        ok, data = cv2.imencode('.png', pixels)
        assert ok
        assert np.array_equal(decode_compressed_rgb(data.tobytes()), RGB)
    ok, data = cv2.imencode('.png', RGB[..., 0])
    assert np.array_equal(decode_compressed_rgb(data), np.stack([RGB[..., 0]] * 3, axis=2))


def test_jpeg_is_close() -> None:
    smooth = np.zeros((64, 64, 3), np.uint8)
    smooth[:32], smooth[32:] = (200, 40, 30), (20, 60, 220)
    ok, data = cv2.imencode('.jpg', smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert ok
    image = decode_compressed_rgb(data)
    assert np.abs(image.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_compressed_image_truncated_anywhere_is_refused(suffix: str) -> None:
    _, data = cv2.imencode(suffix, RGB)
    content = data.tobytes()
    for end in range(len(content) - 1):
        with pytest.raises(ImageError):
            decode_compressed_rgb(content[:end])


def test_compressed_bomb_is_refused_by_its_header() -> None:
    _, data = cv2.imencode('.png', RGB)
    content = bytearray(data.tobytes())
    content[16:24] = (60_000).to_bytes(4, 'big') * 2
    with pytest.raises(ImageError, match='60000x60000'):
        decode_compressed_rgb(bytes(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b'', b'\xff\xd8', b'\x89PNG\r\n\x1a\n']))
def test_arbitrary_bytes_never_raise_anything_else(content: bytes, prefix: bytes) -> None:
    with pytest.raises(ImageError):
        decode_compressed_rgb(prefix + content)
