"""A key-value cache of fixed size whose rows leave, join and take back what was fed in vain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 64  # slots a row has beyond its tokens, and unused ones that are put up with


@dataclass
class _Place:
    """Where a pass writes: rows `first` to `last`, from slot `stop` on; it sees what they hold from slot `start` on."""

    shape: tuple[int, int]  # rows and slots that there are
    first: int = 0
    last: int = 0
    start: int = 0
    stop: int = 0


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values [R, H, S, D] of one layer, made once; untouched memory is none."""

    is_sliding = False

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self._place = place

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, slots = self._place.shape
        self.keys, self.values = (x.new_empty(rows, x.shape[1], slots, x.shape[-1]) for x in (key_states, value_states))
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place, stop = self._place, self._place.stop + key_states.shape[-2]
        rows = slice(place.first, place.last)
        self.keys[rows, :, place.stop : stop] = key_states
        self.values[rows, :, place.stop : stop] = value_states
        return self.keys[rows, :, place.start : stop], self.values[rows, :, place.start : stop]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self._place.stop - self._place.start

    def get_max_length(self) -> int:
        return -1


class Slots(Cache):  # type: ignore[misc]
    """Rows of slots that are filled from the left for all rows at once.

    Attributes:
        shape: how many rows there may be, and how many slots each of them has.
        real: bool [R, S], on the CPU: the slots that hold a token of their row, in order; the others are never seen.
    """

    def __init__(self, rows: int, slots: int) -> None:
        self.shape = rows, slots
        self._place = _Place(self.shape)
        super().__init__(layer_class_to_replicate=partial(_Layer, self._place))
        self.real = torch.zeros(rows, slots, dtype=torch.bool)

    @property
    def rows(self) -> int:
        """Rows that are in use."""
        return self._place.last

    @contextmanager
    def feeding(self, real: Tensor) -> Iterator[Tensor]:
        """Within it a pass over tokens [B, T] is made, of which `real` says which are no filler.

        Yields which slots it sees, bool [B, used], its own at the end.
        """
        place, count = self._place, real.shape[1]
        if place.stop + count > self.shape[1]:
            self._gather(self._width())
        rows, stop = slice(place.first, place.last), place.stop + count
        self.real[rows, place.stop : stop] = real
        yield self.real[rows, place.start : stop]
        place.stop = stop

    def keep(self, kept: Tensor) -> None:
        """Of the tokens [B, T] fed last, hold only those that `kept` says.

        Rows that are short stay at the beginning of their slots: memory that is never touched is none.
        """
        place = self._place
        self.real[: place.last, place.stop - kept.shape[1] : place.stop] &= kept
        if place.stop > (width := self._width()) + 2 * GROWTH:
            self._gather(width)

    @contextmanager
    def joining(self, rows: int, count: int) -> Iterator[None]:
        """Within it what is fed is `count` tokens of so many new rows, which come last from then on.

        Slots that come into sight without a token are cleared: a weight of 0 times what is no number is none either.
        """
        place = self._place
        if place.stop < count:
            self._gather(count)
        first, start, stop = place.last, place.start, place.stop
        place.first, place.last, place.start = first, first + rows, stop - count
        for layer in self.layers:
            for states in (layer.keys, layer.values):
                states[:first, :, place.start : start] = 0
                states[first : place.last, :, start : place.start] = 0
        place.stop = place.start
        yield
        place.first, place.start = 0, min(start, place.start) if first else place.start

    def move(self, gaps: Sequence[int], movers: Sequence[int], rows: int) -> None:
        """Put rows `movers` in the place of rows `gaps`, keep the first `rows` rows, and drop slots that none uses."""
        place = self._place
        self.real[list(gaps)] = self.real[list(movers)]
        self.real[rows:] = False
        for layer in self.layers:
            for gap, mover in zip(gaps, movers, strict=True):
                used = slice(place.start, place.stop)
                layer.keys[gap, :, used] = layer.keys[mover, :, used]
                layer.values[gap, :, used] = layer.values[mover, :, used]
        place.last = rows
        place.start += int((self.real[:rows, place.start : place.stop].any(0).cumsum(0) == 0).sum())
        width = self._width()
        if place.stop - place.start > width + GROWTH or not rows:
            self._gather(width)

    def _width(self) -> int:
        """Tokens of the longest row."""
        return int(self.real[: self.rows].sum(1).max()) if self.rows else 0

    def _gather(self, stop: int) -> None:
        """Bring each row's tokens together, the last of them before slot `stop`."""
        place, rows, width = self._place, self.rows, self._width()
        real = self.real[:rows, place.start : place.stop]
        order = real.int().argsort(dim=1, stable=True)[:, real.shape[1] - width :]
        flush = real.gather(1, order)
        self.real[:rows] = False
        self.real[:rows, stop - width : stop] = flush
        for layer in self.layers if rows else ():
            row, slot = torch.arange(rows)[:, None].to(layer.keys.device), order.to(layer.keys.device)
            for states in (layer.keys, layer.values):
                held = states[:rows, :, place.start : place.stop].transpose(1, 2)[row, slot]
                states[:rows, :, stop - width : stop] = held.transpose(1, 2)
        place.start, place.stop = stop - width, stop
