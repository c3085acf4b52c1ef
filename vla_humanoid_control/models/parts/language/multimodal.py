"""The multimodal prompt of VIMA (Jiang et al., 2022, https://arxiv.org/abs/2210.03094).

    template   '{task} {scene}'
    text       'put the block where'     objects o1 ... oQ
                    │ word embeddings        │ MLP
                    ▼                        ▼
    prompt     put the block where </s>  o1 ... oQ  </s>  ─► T5 encoder ─► [B, L, D]

Words and objects stand in the order of the prompt: all objects of the image in the place of every
`{scene}`, as many as there are, in the template or in the text itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.language.text import T5
from vla_humanoid_control.models.parts.language.tokenizers import WORDPIECES
from vla_humanoid_control.models.parts.part import Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens

TASK, SCENE = '{task}', '{scene}'


class MultimodalPrompt(T5):
    """A text and the objects of the newest frame, in the order of the prompt, through T5."""

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, heads: int,
                 feed: int, vocabulary: int, output_dim: int, template: str = f'{TASK} {SCENE}',
                 object_hidden: int = 768, tokenizer: str = WORDPIECES, length: int = 64,
                 dropout: float = 0.1, pretrained: str | None = None, freeze: bool = False,
                 thaw: int = 0) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: The text, and tokens of objects.
            width: Of a token inside.
            layers: How many.
            heads: Of attention.
            feed: Width of the feed-forward layers.
            vocabulary: How many pieces of words there are weights for.
            output_dim: Width of a token that it gives, D.
            template: The prompt, with `{task}` for the text and `{scene}` for the objects.
            object_hidden: Width of the network that objects go through.
            tokenizer: `wordpiece`, a local folder, or a name on the hub.
            length: The longest text between two scenes; what is longer is cut off.
            dropout: While the weights are trained.
            pretrained: A local folder or a name on the hub, of T5.
            freeze: Whether the weights of T5 stay as they are ...
            thaw: ... but for so many of its last layers.
        """
        if TASK not in template or SCENE not in template:
            raise ValueError(f'template must have {TASK} and {SCENE}, and is {template!r}')
        super().__init__(space, of[:1], width=width, layers=layers, heads=heads, feed=feed,
                         vocabulary=vocabulary, tokenizer=tokenizer, length=length,
                         dropout=dropout, pretrained=pretrained, freeze=freeze)
        if thaw:
            self.network.block[-thaw:].requires_grad_(True)
        self.template, self.frames = template, of[1].frames
        self.objects = nn.Sequential(
            nn.Linear(of[1].width, object_hidden), nn.ReLU(),
            nn.Linear(object_hidden, object_hidden), nn.ReLU(), nn.Linear(object_hidden, width))
        self.output = nn.Identity() if output_dim == width else \
            nn.Linear(width, output_dim, bias=False)
        self.gives = Shape(output_dim, None)

    def forward(self, text: Sequence[str], objects: Tokens) -> Tokens:  # type: ignore[override]
        """Texts and objects [B, T * Q, ...] to the prompt [B, L, D]."""
        assert self._tokenizer is not None
        prompts = [self.template.replace(TASK, t).split(SCENE) for t in text]
        pieces = sorted({piece for prompt in prompts for piece in prompt})
        ids, said = (t.to(objects.values.device) for t in self._tokenizer(pieces))
        words = self.network.embed_tokens(ids)  # [P, W, width]
        newest = objects.values.shape[1] // self.frames
        seen = self.objects(objects.values[:, -newest:])  # [B, Q, width]
        order, mask = prompt_order(
            [[pieces.index(piece) for piece in prompt] for prompt in prompts],
            said.sum(1).tolist(), said.shape[1], newest)
        order, mask = order.to(ids.device), mask.to(ids.device)
        everything = torch.cat([words.flatten(0, 1), seen.flatten(0, 1)])
        exists = torch.cat([said.flatten(), objects.exists[:, -newest:].flatten()])
        mask = mask & exists[order]
        made = self.network(inputs_embeds=everything[order], attention_mask=mask.long())
        return Tokens(self.output(made.last_hidden_state), mask)


def prompt_order(prompts: Sequence[Sequence[int]], lengths: Sequence[int], longest: int,
                 objects: int) -> tuple[Tensor, Tensor]:
    """In which order the words and the objects of a batch make its prompts.

    All words of all pieces stand in a row, `longest` places for each piece, and after them the
    objects of the rows of the batch.

    Args:
        prompts: For each row of the batch its pieces of text; between two of them is a scene.
        lengths: Words of each piece.
        longest: Places of each piece.
        objects: Of each row, Q.

    Returns:
        Places int64 [B, L] and which of them exist, bool [B, L].
    """
    after = len(lengths) * longest
    rows = []
    for row, prompt in enumerate(prompts):
        scene = range(after + row * objects, after + (row + 1) * objects)
        places: list[int] = []
        for number, piece in enumerate(prompt):
            places += [*(scene if number else ()),
                       *range(piece * longest, piece * longest + lengths[piece])]
        rows.append(torch.tensor(places))
    order = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    return order.clamp(min=0), order >= 0
