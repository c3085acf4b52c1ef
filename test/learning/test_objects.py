"""Learning to find objects: what is right for a picture, and a run that is interrupted."""

import json

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('safetensors')

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vla_humanoid_control.data.object_views import COLUMNS, ObjectViews
from vla_humanoid_control.learning.object_targets import (
    PART,
    Part,
    losses,
    take_part,
    targets_of,
)
from vla_humanoid_control.learning.objects import Options, Trainer
from vla_humanoid_control.perception.object_network import CELL_PX, Answers, peaks
from vla_humanoid_control.support.errors import UserError

GREY = np.full((240, 320, 3), 128, np.uint8)


def row(colour, shape, box, *, share=1.0, table=0, frame=0):
    """An object in a picture of 320 x 240, its box in pixels."""
    left, top, right, bottom = box
    values = {'frame': frame, 'colour': colour, 'shape': shape, 'on_table': table, 'share': share,
              'pixels': (right - left) * (bottom - top), 'left': left / 320, 'top': top / 240,
              'right': right / 320, 'bottom': bottom / 240, 'u': (left + right) / 640,
              'v': (top + bottom) / 480, 'bearing_rad': 0.0, 'distance_m': 1.0}
    return [values[name] for name in COLUMNS]


def picture(rows):
    image = GREY.copy()
    for r in rows:
        left, top, right, bottom = (round(r[i] * side) for i, side in
                                    zip(range(6, 10), (320, 240, 320, 240)))
        image[top:bottom, left:right] = np.eye(3)[int(r[1]) % 3] * 255
    return image


def perfect(targets):
    """Answers that are right everywhere."""
    batch, high, wide = targets.heat.shape
    heat = torch.logit(targets.heat.clamp(1e-4, 1 - 1e-4))[:, None]
    colour, shape = torch.zeros(batch, 4, high, wide), torch.zeros(batch, 4, high, wide)
    table, box = torch.full((batch, 1, high, wide), -9.0), torch.zeros(batch, 4, high, wide)
    centre = torch.zeros(batch, 2, high, wide)
    for (n, r, c), kind, place in zip(targets.cell.tolist(), targets.kind.tolist(), targets.place):
        colour[n, kind[0], r, c] = shape[n, kind[1], r, c] = 12.0
        table[n, 0, r, c] = 9.0 if kind[2] else -9.0
        box[n, :, r, c], centre[n, :, r, c] = place[:4], place[4:]
    return Answers(heat, colour, shape, table, box, centre)


def part_of(rows):
    objects = np.array(rows, np.float32)
    objects[:, 6:10] *= (320, 240, 320, 240)
    objects[:, 10:12] *= (320, 240)
    return Part(np.zeros((PART[1], PART[0], 3), np.uint8), objects, np.ones(len(rows), bool))


def test_what_is_right_is_read_as_what_it_was():
    rows = [row(0, 1, (10, 20, 40, 60)), row(2, 3, (100, 30, 110, 42), table=1),
            row(2, 3, (60, 70, 71, 80), table=1), row(1, 0, (120, 80, 160, 128))]
    found = peaks(perfect(targets_of([part_of(rows)])), 0.5)
    assert len(found) == len(rows)
    for cell in found[found[:, 4].argsort()].numpy():
        left = cell[4] * PART[0]
        (true,) = [r for r in rows if abs(r[6] * 320 - left) < 0.5]
        assert cell[1:3].tolist() == true[1:3] and (cell[3] > 0.5) == true[3]
        assert cell[4:8] * np.tile(PART, 2) == pytest.approx(
            np.array(true[6:10]) * np.tile((320, 240), 2), abs=0.1)
        assert cell[8:10] * PART == pytest.approx(np.array(true[10:12]) * (320, 240), abs=0.1)


def test_right_answers_cost_less_than_others():
    targets = targets_of([part_of([row(0, 1, (10, 20, 40, 60)), row(1, 2, (90, 60, 120, 90))])])
    right = perfect(targets)
    for wrong in (right._replace(heat=right.heat.flip(3)), right._replace(colour=-right.colour),
                  right._replace(shape=-right.shape), right._replace(table=-right.table),
                  right._replace(box=right.box + 1), right._replace(centre=right.centre - 1)):
        assert sum(losses(wrong, targets).values()) > sum(losses(right, targets).values()) + 0.3


def test_what_can_hardly_be_seen_is_neither_asked_for_nor_denied():
    one = part_of([row(0, 1, (40, 40, 80, 80))])
    hidden = targets_of([Part(one.image, one.objects, np.zeros(1, bool))])
    assert not len(hidden.cell) and not hidden.heat.any()
    assert not hidden.counts[0, 40 // CELL_PX:80 // CELL_PX, 40 // CELL_PX:80 // CELL_PX].any()
    assert hidden.counts.mean() > 0.5


def test_boxes_stay_on_their_objects_in_any_part():
    """Wherever a part is cut, and mirrored, boxes enclose the coloured rectangles."""
    rows = [row(0, 0, (60, 50, 100, 90)), row(1, 1, (200, 120, 240, 180)),
            row(2, 2, (150, 30, 170, 60))]
    image, objects = picture(rows), np.array(rows, np.float32)
    rng, checked = np.random.default_rng(0), 0
    for _ in range(200):
        part = take_part(image, objects, rng)
        for r, asked in zip(part.objects, part.asked):
            left, top, right, bottom = r[6:10].round().astype(int)
            if not asked or min(right - left, bottom - top) < 12:
                continue
            inside = part.image[top + 4:bottom - 4, left + 4:right - 4].reshape(-1, 3).mean(0)
            assert inside.argmax() == int(r[1])
            checked += 1
    assert checked > 100


def data(folder, count=6, robot='humanoid'):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    rows, pictures = [], []
    for frame in range(count):
        left, top = int(rng.integers(20, 260)), int(rng.integers(20, 180))
        own = [row(frame % 3, frame % 4, (left, top, left + 30, top + 40), frame=frame)]
        rows += own
        pictures.append(picture(own))
    ObjectViews.of(robot, pictures, [{'neck_yaw': 0.0}] * count, rows).write(folder / '000.npz')
    return folder


def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, monkeypatch):
    folder = data(tmp_path)
    options = Options((folder,), tmp_path / 'whole', steps=4, batch_size=2)
    whole = Trainer(options).run().read_bytes()
    halted = Options((folder,), tmp_path / 'halted', steps=4, batch_size=2)
    trainer = Trainer(halted)
    trainer._learn()
    trainer._learn()
    trainer._save()
    assert Trainer(halted).step == 2
    assert Trainer(halted).run().read_bytes() == whole
    with pytest.raises(UserError, match='another run'):
        Trainer(Options((folder,), tmp_path / 'halted', steps=5, batch_size=2))


def test_a_run_goes_on_from_the_weights_of_another(tmp_path):
    folder = data(tmp_path)
    first = Trainer(Options((folder,), tmp_path / 'first', steps=3, batch_size=2)).run()
    second = Trainer(Options((folder,), tmp_path / 'second', steps=3, batch_size=2,
                             init_from=first))
    assert all(torch.equal(value, load_file(first)[name])
               for name, value in second.network.state_dict().items())
    with pytest.raises(UserError, match='init-from'):
        Trainer(Options((folder,), tmp_path / 'third', init_from=tmp_path / 'missing'))


def test_several_robots_are_learnt_from_and_named(tmp_path):
    folders = data(tmp_path / 'one', 3), data(tmp_path / 'two', 4, 'unitree_g1')
    trainer = Trainer(Options(folders, tmp_path / 'run', steps=1, batch_size=2))
    taken = {trainer._part(i, np.random.default_rng(0)).image.tobytes() for i in range(7)}
    assert len(taken) == 7 - 3  # the first three pictures of both are the same ones
    with safe_open(trainer.run(), 'pt') as file:
        about = json.loads(file.metadata()['about'])
    assert about['robots'] == ['humanoid', 'unitree_g1'] and about['run']['pictures'] == 7


def test_it_learns(tmp_path):
    """A few steps on six pictures lower the loss."""
    trainer = Trainer(Options((data(tmp_path),), tmp_path / 'run', steps=25, batch_size=8))
    values = [sum(trainer._learn().values()) for _ in range(25)]
    assert np.mean(values[-5:]) < 0.6 * np.mean(values[:3])
