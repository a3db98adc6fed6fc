"""Shows one attention head of the decoder where a name stands in the keyword list.

The loss over answers alone finds the look-up slowly: the head has to know which name is said, that
it stands in the list, and where, before any of the three pays. So the attention of one head, from
the place that writes a listed term to that term in the prompt, is a loss of its own:
the mean of -log(attention), in nats. Only training does this; the model is the same.
"""

import torch
from torch import Tensor, nn
from transformers.models.granite.modeling_granite import apply_rotary_pos_emb

LAYER, HEAD = 3, 0
"""The head that had most of its attention there after training without a guide; any head could learn it."""

Pair = tuple[int, int]


def listed(prompt: list[int], answer: list[int], terms: list[list[int]]) -> list[Pair]:
    """Where the answer has a token of a listed term: (index in the answer, index in the prompt)."""
    pairs = []
    for term in terms:
        in_prompt, in_answer = _starts(prompt, term), _starts(answer, term)
        if in_prompt:  # the list is the prompt's last sentence
            pairs += [(a + i, in_prompt[-1] + i) for a in in_answer for i in range(len(term))]
    return pairs


def _starts(ids: list[int], term: list[int]) -> list[int]:
    return [i for i in range(len(ids) - len(term) + 1) if ids[i : i + len(term)] == term]


class ListGuide:
    """Watches one layer's queries and keys, and gives the loss of the head over them."""

    def __init__(self, decoder: nn.Module, layer: int = LAYER, head: int = HEAD) -> None:
        attention = decoder.layers[layer].self_attn
        self.size, self.head, self.scale = attention.head_dim, head, attention.scaling
        self.key_head = head // attention.num_key_value_groups
        self.rotary = decoder.rotary_emb
        self.seen: dict[str, Tensor] = {}
        attention.q_proj.register_forward_hook(lambda *call: self.seen.update(q=call[-1]))
        attention.k_proj.register_forward_hook(lambda *call: self.seen.update(k=call[-1]))

    def loss(self, rows: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        """Of the last forward pass; N places each: batch row, position that writes, position to read."""
        if not len(rows):
            return torch.zeros(())
        q, k = self._part("q", self.head), self._part("k", self.key_head)  # (B, 1, T, head size)
        position = torch.arange(q.shape[2])[None]
        q, k = (x[:, 0] for x in apply_rotary_pos_emb(q, k, *self.rotary(q, position)))
        scores = (k[rows] @ q[rows, queries, :, None])[..., 0] * self.scale  # (N, T)
        scores = scores.masked_fill(position > queries[:, None], float("-inf"))
        return -scores.log_softmax(-1).gather(1, keys[:, None]).mean()

    def _part(self, which: str, head: int) -> Tensor:
        return self.seen[which][..., head * self.size : (head + 1) * self.size][:, None].float()
