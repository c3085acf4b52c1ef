"""Meshes of a robot's model with fewer triangles, made once and kept in a cache folder.

A manufacturer's meshes have hundreds of thousands of triangles, most of them smaller than a pixel
of a head camera; without a graphics card each of them takes its time in every image.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import CACHE_VARIABLE, cache_dir

if TYPE_CHECKING:
    import mujoco

_FEWEST = 200  # triangles that a mesh keeps: a small part would lose its form
_SAME_M = 1e-4  # corners nearer to each other than this are one
_HEADER = 80  # bytes of a binary STL before its count of triangles
_TRIANGLE = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('attribute', '<u2')])


def lighten(spec: mujoco.MjSpec, folder: Path, share: float) -> None:
    """Give a model lighter meshes in the place of its own.

    Args:
        spec: The model, not compiled yet.
        folder: Where its mesh files are.
        share: Of the triangles that remain.

    Raises:
        UserError: A file is no binary STL, the cache cannot be written, or fast-simplification is
            not installed.
    """
    for mesh in spec.meshes:
        if mesh.file:
            mesh.name = mesh.name or Path(mesh.file).stem
            mesh.file = str(light_mesh(folder / mesh.file, share).resolve())
    spec.meshdir = ''


def light_mesh(path: Path, share: float) -> Path:
    """The file of a mesh with a share of its triangles; made where the cache lacks it."""
    content = path.read_bytes()
    key = hashlib.sha256(content + f'{share:.6f} {_FEWEST} {_SAME_M}'.encode()).hexdigest()[:16]
    kept = cache_dir() / 'meshes' / f'{path.stem}_{key}.stl'
    if not kept.is_file():
        triangles = _simplified(_triangles(content, path), share)
        try:
            _write(kept, triangles)
        except OSError as error:
            raise UserError(f'Meshes cannot be kept in {kept.parent}: {error.strerror}. '
                            f'{CACHE_VARIABLE} names another folder.') from error
    return kept


def _triangles(content: bytes, path: Path) -> NDArray[np.float32]:
    """Corners of each triangle of a binary STL, float32 [T, 3, 3] [m]."""
    count = int.from_bytes(content[_HEADER:_HEADER + 4], 'little')
    if len(content) != _HEADER + 4 + count * _TRIANGLE.itemsize:
        raise UserError(f'{path} is no binary STL: it cannot be drawn with fewer triangles.')
    corners: NDArray[np.float32] = np.frombuffer(content, _TRIANGLE, count, _HEADER + 4)['corners']
    return corners


def _simplified(triangles: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    keep = max(_FEWEST, round(share * len(triangles)))
    if keep >= len(triangles):
        return triangles
    try:
        import fast_simplification
    except ModuleNotFoundError as error:
        raise UserError('Drawing this robot needs fast-simplification, which is not installed: '
                        'make g1 installs what the robots with legs need.') from error
    # Corners that are as good as one would keep their edges apart, and those would all remain.
    snapped = np.round(triangles.reshape(-1, 3) / _SAME_M) * np.float32(_SAME_M)
    points, places = np.unique(snapped, axis=0, return_inverse=True)
    faces = places.reshape(-1, 3).astype(np.int32)
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    points, faces = fast_simplification.simplify(points, faces, target_count=keep)
    light: NDArray[np.float32] = np.asarray(points, np.float32)[faces]
    return light


def _write(path: Path, triangles: NDArray[np.float32]) -> None:
    """Write a binary STL. Several processes may do so at once: each puts a whole file there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.zeros(len(triangles), _TRIANGLE)
    rows['corners'] = triangles
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(bytes(_HEADER) + len(rows).to_bytes(4, 'little') + rows.tobytes())
    os.replace(file.name, path)
