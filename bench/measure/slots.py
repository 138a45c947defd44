"""A key-value cache whose rows leave, join and take back what was fed in vain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 64  # slots by which the buffers grow, and unused ones that are put up with


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer: [:rows, :, start:stop] of buffers [R, H, S, D] with room to grow."""

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.rows = self.start = self.stop = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.rows = len(key_states)
        self.keys, self.values = _roomy(key_states[:, :, :0], GROWTH), _roomy(value_states[:, :, :0], GROWTH)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        count = key_states.shape[-2]
        if self.stop + count > self.keys.shape[-2]:
            keys, values = self.held()
            self.hold(_roomy(keys, count + GROWTH), _roomy(values, count + GROWTH), self.get_seq_length())
        self.keys[: self.rows, :, self.stop : self.stop + count] = key_states
        self.values[: self.rows, :, self.stop : self.stop + count] = value_states
        self.stop += count
        return self.held()

    def held(self) -> tuple[Tensor, Tensor]:
        """Keys and values [rows, H, stop - start, D]."""
        where = slice(self.rows), slice(None), slice(self.start, self.stop)
        return self.keys[where], self.values[where]

    def hold(self, keys: Tensor, values: Tensor, used: int) -> None:
        """Take these buffers, of which the first `used` slots are filled."""
        self.keys, self.values = keys, values
        self.rows, self.start, self.stop = len(keys), 0, used

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.stop - self.start

    def get_max_length(self) -> int:
        return -1


class Slots(Cache):  # type: ignore[misc]
    """Rows of slots that are filled from the left for all rows at once.

    Attributes:
        real: bool [B, used], on the CPU: the slots that hold a token of their row, in order; the others are never seen.
    """

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_Layer)
        self.real = torch.zeros(0, 0, dtype=torch.bool)

    def move(self, gaps: Sequence[int], movers: Sequence[int], rows: int) -> None:
        """Put rows `movers` in the place of rows `gaps`, keep the first `rows` rows, and drop slots that none uses."""
        self.real[list(gaps)] = self.real[list(movers)]
        self.real = self.real[:rows]
        unused = int((self.real.any(0).cumsum(0) == 0).sum())
        self.real = self.real[:, unused:]
        for layer in self.layers:
            for gap, mover in zip(gaps, movers, strict=True):
                layer.keys[gap], layer.values[gap] = layer.keys[mover], layer.values[mover]
            layer.rows, layer.start = rows, layer.start + unused
        if self.real.shape[1] > self._width() + GROWTH:
            self._compact()

    def join(self, other: Slots) -> Slots:
        """The rows of both, those of `other` last; neither is to be used any more."""
        if not len(self.real):
            return other
        width = max(self.real.shape[1], other.real.shape[1])
        self.real = torch.cat([_pad_left(part.real.T[None, None], width)[0, 0].T for part in (self, other)])
        for a, b in zip(self.layers, other.layers, strict=True):
            keys, values = (
                torch.cat([_pad_left(x, width), _pad_left(y, width)]) for x, y in zip(a.held(), b.held(), strict=True)
            )
            a.hold(keys, values, width)
        return self

    def _width(self) -> int:
        """Tokens of the longest row."""
        return int(self.real.sum(1).max()) if self.real.numel() else 0

    def _compact(self) -> None:
        """Bring each row's tokens together, flush right."""
        width = self._width()
        order = self.real.int().argsort(dim=1, stable=True)[:, self.real.shape[1] - width :]
        self.real = self.real.gather(1, order)
        for layer in self.layers:
            index = order[:, None, :, None].to(layer.keys.device)
            keys, values = (_roomy(held.take_along_dim(index, 2), GROWTH) for held in layer.held())
            layer.hold(keys, values, width)


def _pad_left(states: Tensor, width: int) -> Tensor:
    return F.pad(states, (0, 0, width - states.shape[-2], 0))


def _roomy(states: Tensor, room: int) -> Tensor:
    """A buffer that begins with `states` [B, H, T, D] and has room for more slots."""
    used = states.shape[-2]
    buffer = states.new_empty(*states.shape[:2], used + room, states.shape[-1])
    buffer[:, :, :used] = states
    return buffer
