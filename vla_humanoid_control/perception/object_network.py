"""The network that finds objects: what it is made of, and what its answers mean.

    picture   float32 [B, 3, 240, 320], in [-1, 1]
    folded    [B, 12, 120, 160]     each 2 x 2 pixels into one
    fine      [B, 48, 60, 80]       a cell is 4 x 4 pixels
    middle    [B, 96, 30, 40]
    coarse    [B, 128, 15, 20]      sees large objects whole; back up, added to middle and to fine
    answers   [B, 16, 60, 80]       `Answers`, for an object whose box has its middle in the cell

A heat map of objects with what each one is, after CenterNet (Zhou et al., Objects as Points,
2019), with depthwise separable convolutions (Howard et al., MobileNets, 2017).
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

CELL_PX = 4
"""A cell of the answers is so many pixels wide and high."""
UNIT_PX = 16.0
"""Boxes and centres are in units of so many pixels, from the middle of the cell."""
_FINE, _MIDDLE, _COARSE = 48, 96, 128


class Answers(NamedTuple):
    """What the network says of each cell.

    Attributes:
        heat: [B, 1, h, w], logit of an object with the middle of its box here.
        colour: [B, 4, h, w], logits in the order of `COLOURS`.
        shape: [B, 4, h, w], logits in the order of `SHAPES`.
        table: [B, 1, h, w], logit of standing on a table.
        box: [B, 4, h, w], how far left, top, right and bottom of its box are from here.
        centre: [B, 2, h, w], how far right and down its centre is from here.
    """

    heat: Tensor
    colour: Tensor
    shape: Tensor
    table: Tensor
    box: Tensor
    centre: Tensor


_SIZES = (1, len(COLOURS), len(SHAPES), 1, 4, 2)


class ObjectNetwork(nn.Module):
    """Finds objects by colour and shape; 0.12 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(2)
        self.stem = nn.Sequential(_normed(nn.Conv2d(12, _FINE, 3, 2, 1, bias=False)),
                                  _Separable(_FINE, _FINE))
        self.middle = nn.Sequential(_Separable(_FINE, _MIDDLE, 2), _Separable(_MIDDLE, _MIDDLE))
        self.coarse = nn.Sequential(_Separable(_MIDDLE, _COARSE, 2),
                                    *(_Separable(_COARSE, _COARSE) for _ in range(3)))
        self.to_middle = _normed(nn.Conv2d(_COARSE, _MIDDLE, 1, bias=False))
        self.at_middle = _Separable(_MIDDLE, _MIDDLE)
        self.to_fine = _normed(nn.Conv2d(_MIDDLE, _FINE, 1, bias=False))
        self.at_fine = nn.Sequential(_Separable(_FINE, _FINE), _Separable(_FINE, _FINE))
        self.answers = nn.Conv2d(_FINE, sum(_SIZES), 1)
        with torch.no_grad():
            self.answers.bias.zero_()  # type: ignore[union-attr]
            self.answers.bias[0] = -4.0  # type: ignore[index]  # hardly any cell has an object

    def forward(self, pictures: Tensor) -> Answers:
        """Pictures float32 [B, 3, H, W] in [-1, 1], sides multiples of 16, to answers."""
        fine = self.stem(self.fold(pictures))  # [B, 48, H / 4, W / 4]
        middle = self.middle(fine)  # [B, 96, H / 8, W / 8]
        coarse = self.coarse(middle)  # [B, 128, H / 16, W / 16]
        middle = self.at_middle(middle + _doubled(self.to_middle(coarse)))
        fine = self.at_fine(fine + _doubled(self.to_fine(middle)))
        return Answers(*self.answers(fine).split(_SIZES, dim=1))


class _Separable(nn.Module):
    """Each channel by itself, 3 x 3, then all channels of a place; added to what came in."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.each = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs))
        self.mix = _normed(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mix(self.each(x))
        return x + y if self.adds else y


def without_norms(network: ObjectNetwork) -> ObjectNetwork:
    """A copy that answers the same, with its normalisation inside of its convolutions."""
    result = copy.deepcopy(network).eval()
    for module in list(result.modules()):
        if isinstance(module, nn.Sequential) and len(module) > 1 \
                and isinstance(module[0], nn.Conv2d) and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(module[0], module[1])
            del module[1]
    return result


def peaks(answers: Answers, found: float) -> Tensor:
    """Cells of one picture that are more certain than those around them.

    Args:
        answers: For a batch of one.
        found: The least score.

    Returns:
        [N, 10]: score (heat by the probabilities of colour and shape), index of the colour and of
        the shape, probability of a table, box (left, top, right, bottom) and centre (u, v), as
        shares of width and height.
    """
    heat = torch.sigmoid(answers.heat)
    top = (heat == functional.max_pool2d(heat, 3, 1, 1)) & (heat >= found)
    rows, columns = torch.nonzero(top[0, 0], as_tuple=True)
    colour, shape, table, box, centre = (part[0, :, rows, columns].T for part in answers[1:])
    colour_share, colour_index = torch.softmax(colour, 1).max(1)
    shape_share, shape_index = torch.softmax(shape, 1).max(1)
    score = heat[0, 0, rows, columns] * colour_share * shape_share
    height, width = heat.shape[2:]
    middle = (torch.stack([columns, rows], 1) + 0.5) * CELL_PX  # [N, 2]
    size = torch.tensor([width, height]) * CELL_PX
    box, centre = box * UNIT_PX, centre * UNIT_PX
    cells = torch.cat([torch.stack([score, colour_index, shape_index], 1), torch.sigmoid(table),
                       (middle - box[:, :2]) / size, (middle + box[:, 2:]) / size,
                       (middle + centre) / size], 1)
    return cells[score >= found]


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode='nearest')
