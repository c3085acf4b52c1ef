"""Pictures with objects: what is written is read, over several files."""

import numpy as np
import pytest

from vla_humanoid_control.data.object_views import COLUMNS, ObjectViews, read_object_views
from vla_humanoid_control.support.errors import UserError


def views(seed, count, robot='humanoid'):
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 256, (24, 32, 3)).astype(np.uint8) for _ in range(count)]
    rows = [[frame, *rng.random(len(COLUMNS) - 1)] for frame in range(count) for _ in range(2)]
    joints = [{'yaw': 0.1, 'pitch': 0.2, 'waist': frame} for frame in range(count)]
    return pictures, ObjectViews.of(robot, pictures, joints, rows)


def test_files_are_read_as_one(tmp_path):
    first, one = views(0, 3)
    second, two = views(1, 2)
    one.write(tmp_path / '000.npz')
    two.write(tmp_path / '001.npz')
    both = read_object_views(tmp_path)
    assert len(both) == 5
    for index, picture in enumerate([*first, *second]):
        assert (both.image(index) == picture).all()
    assert both.objects[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert (both.objects[6:, 1:] == two.objects[:, 1:]).all()
    assert both.joints[3:].tolist() == two.joints.tolist()
    assert both.robot == 'humanoid' and both.names == ('yaw', 'pitch', 'waist')
    views(2, 1, 'another')[1].write(tmp_path / '002.npz')
    with pytest.raises(UserError, match='several robots'):
        read_object_views(tmp_path)


def test_empty_pictures_have_no_rows(tmp_path):
    ObjectViews.of('humanoid', [np.zeros((4, 4, 3), np.uint8)], [{'yaw': 0}], []).write(
        tmp_path / 'a.npz')
    assert read_object_views(tmp_path).objects.shape == (0, len(COLUMNS))


def test_what_is_not_there_or_broken_is_said(tmp_path):
    with pytest.raises(UserError, match='no pictures'):
        read_object_views(tmp_path)
    np.savez(tmp_path / 'other.npz', a=np.zeros(3))
    with pytest.raises(UserError, match='other'):
        read_object_views(tmp_path)
