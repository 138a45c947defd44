"""The generation engine: greedy completions of all prompts in one pass.

Three things make it cheap, none of which changes a token. What the scoring pass already knows is not generated again:
where the most probable tokens follow a scored continuation, they are the start of the greedy completion. Rows that end
leave the batch at once and others take their place. And a row that has begun to repeat itself is guessed to go on so to
the end of its budget; one ordinary forward pass over the guess, all positions at once, confirms it or shows the first
token that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from bench.engine_scoring import Advance, batches, chunk_rows
from bench.forward import Forward
from bench.trees import Tree

LONGEST_PERIOD = 16  # tokens of a repetition that is recognised
FIRST_EVIDENCE = 12  # repeated tokens that are taken for a loop; doubled for a row whose guess was wrong
SLOTS_PER_TOKEN = 8  # cache slots for each token of the budget
GROWTH = 32  # slots by which the cache grows


@dataclass
class Row:
    """A prompt under completion.

    Attributes:
        prompt: its token ids, at least one.
        room: most tokens that may be generated.
        new: generated tokens; a stop token is not among them.
        done: it ended with a stop token, or the budget is spent, or its logits were not numbers.
        finished: it ended with a stop token.
        valid: all its logits were numbers.
        evidence: repeated tokens needed before a loop is guessed.
    """

    prompt: list[int]
    room: int
    new: list[int] = field(default_factory=list)
    done: bool = False
    finished: bool = False
    valid: bool = True
    evidence: int = FIRST_EVIDENCE

    def push(self, token: int, stops: frozenset[int]) -> None:
        """Take the next token; negative stands for "no number"."""
        if token < 0:
            self.valid, self.done = False, True
        elif token in stops:
            self.finished = self.done = True
        else:
            self.new.append(token)
            self.done = len(self.new) >= self.room

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.new)


def generate(forward: Forward, rows: Sequence[Row], token_budget: int, advance: Advance) -> None:
    """Complete all rows in place; `advance(n)` is told of every n tokens of budget that are settled."""
    for row in rows:
        row.done = row.done or row.room <= 0
    advance(sum(row.room for row in rows if row.done))
    waiting = sorted((row for row in rows if not row.done), key=lambda row: row.length)
    step = _decode if _takes_cache(forward) else _one_by_one
    while waiting:
        looping = step(forward, waiting, token_budget, advance)
        waiting = _verify(forward, looping, token_budget, advance)


def _decode(forward: Forward, waiting: list[Row], token_budget: int, advance: Advance) -> list[Row]:
    """Token by token until each row is done or loops; those that loop are returned."""
    looping: list[Row] = []
    active: list[Row] = []
    cache = Slots()
    slots = token_budget * SLOTS_PER_TOKEN
    while waiting or active:
        if waiting and len(active) <= _capacity(active + waiting[:1], slots) // 2:
            fresh, waiting = _admit(waiting, active, slots)
            cache = _join(cache, _prefill(forward, fresh, token_budget))
            active += fresh
        else:
            _step(forward, active, cache)
        gone = [i for i, row in enumerate(active) if row.done or _loops(row)]
        if gone:
            looping += [active[i] for i in gone if not active[i].done]
            advance(sum(active[i].room for i in gone if active[i].done))
            active = _drop(active, gone, cache)
    return looping


def _drop(active: list[Row], gone: Sequence[int], cache: Slots) -> list[Row]:
    """Let the rows numbered `gone` leave batch and cache: the last rows take their places, so that little is copied."""
    rows = len(active) - len(gone)
    gaps = [i for i in gone if i < rows]
    movers = sorted(set(range(rows, len(active))) - set(gone))
    for gap, mover in zip(gaps, movers, strict=True):
        active[gap] = active[mover]
    active = active[:rows]
    cache.move(gaps, movers, rows, max((row.length - 1 for row in active), default=0))
    return active


def _capacity(rows: Sequence[Row], slots: int) -> int:
    longest = max(row.length for row in rows) + GROWTH
    return max(1, slots // longest)


def _admit(waiting: list[Row], active: list[Row], slots: int) -> tuple[list[Row], list[Row]]:
    """Split off as many waiting rows as the cache has slots for; the longest of them all sets the price of a row."""
    count = 1
    while count < len(waiting) and len(active) + count < _capacity([*active, waiting[count]], slots):
        count += 1
    return waiting[:count], waiting[count:]


def _prefill(forward: Forward, rows: Sequence[Row], token_budget: int) -> Slots:
    """Run the rows' tokens, push each row's next token, and return what the cache then holds, flush right."""
    whole = Slots()
    start = 0
    while start < len(rows):
        part = rows[start : start + max(1, token_budget // rows[-1].length)]
        size = max(row.length for row in part)
        pads = [size - row.length for row in part]
        ids = [[forward.lm.pad] * pad + row.prompt + row.new for pad, row in zip(pads, part, strict=True)]
        real = torch.arange(size)[None] >= torch.tensor(pads)[:, None]
        cache = Slots()
        _push(forward, part, cache, torch.tensor(ids), real)
        whole = _join(whole, cache)
        start += len(part)
    return whole


def _step(forward: Forward, rows: Sequence[Row], cache: Slots) -> None:
    """One more token for every row. The cache lacks each row's last token, which is fed now."""
    lengths = torch.tensor([row.length for row in rows])
    real = torch.arange(cache.used + 1)[None] >= cache.used + 1 - lengths[:, None]
    _push(forward, rows, cache, torch.tensor([[row.new[-1]] for row in rows]), real)


def _push(forward: Forward, rows: Sequence[Row], cache: Slots, ids: Tensor, real: Tensor) -> None:
    device = forward.device
    positions = (real.cumsum(-1) - 1).clamp_(min=0)[:, -ids.shape[1] :]
    hidden = forward.hidden(ids.to(device), positions.to(device), real.to(device), cache)
    for row, token in zip(rows, _tops(forward, hidden[:, -1]), strict=True):
        row.push(token, forward.stops)


def _tops(forward: Forward, hidden: Tensor) -> list[int]:
    """Most probable token after each hidden state [n, D]; -1 where the logits are not numbers."""
    found = []
    for part in hidden.split(chunk_rows(forward)):
        best, top = forward.logits(part).max(-1)
        found.append(torch.where(best.isnan(), -1, top))
    return torch.cat(found).tolist()


def _loops(row: Row) -> bool:
    return _period(row.new, row.evidence) > 0


def _period(tokens: Sequence[int], evidence: int) -> int:
    """The shortest period p that the last `evidence` tokens repeat what came p before them with; 0 if there is none."""
    last = len(tokens) - 1
    for period in range(1, min(LONGEST_PERIOD, len(tokens) - evidence) + 1):
        if tokens[last] == tokens[last - period] and all(
            tokens[i] == tokens[i - period] for i in range(last - 1, last - evidence, -1)
        ):
            return period
    return 0


def _verify(forward: Forward, rows: Sequence[Row], token_budget: int, advance: Advance) -> list[Row]:
    """Guess that each row goes on repeating itself; keep what the model agrees with. Returns the rows not yet done."""
    guesses: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        period = _period(row.new, row.evidence)
        cycle, missing = row.new[-period:], row.room - len(row.new)
        guesses[i] = (cycle * (missing // period + 1))[:missing]
    order = sorted(guesses, key=lambda i: -(rows[i].length + len(guesses[i])))
    chains = [_chain(rows[i].prompt + rows[i].new + guesses[i][:-1]) for i in order]
    done = 0
    for batch in batches(chains, token_budget):
        hidden = forward.tree_hidden(batch)
        part = order[done : done + len(batch)]
        done += len(batch)
        starts = [rows[i].length - 1 for i in part]
        wanted = torch.cat(
            [hidden[b, s : s + len(guesses[i])] for b, (i, s) in enumerate(zip(part, starts, strict=True))]
        )
        tops = iter(_tops(forward, wanted))
        for i in part:
            _accept(rows[i], guesses[i], [next(tops) for _ in guesses[i]], forward.stops)
            rows[i].evidence *= 2
        advance(sum(rows[i].room for i in part if rows[i].done))
    return sorted((row for row in rows if not row.done), key=lambda row: row.length)


def _accept(row: Row, guess: Sequence[int], tops: Sequence[int], stops: frozenset[int]) -> None:
    """Push what the model says as long as it says what was guessed, and the first token that differs."""
    for expected, top in zip(guess, tops, strict=True):
        row.push(top, stops)
        if top != expected or row.done:
            return


def _chain(ids: list[int]) -> Tree:
    return Tree(ids, list(range(len(ids))), len(ids))


def _one_by_one(forward: Forward, waiting: list[Row], token_budget: int, advance: Advance) -> list[Row]:
    """For models that cannot use our cache: each row from its own start, with no cache at all."""
    looping = []
    for row in waiting:
        while not (row.done or _loops(row)):
            ids = torch.tensor([row.prompt + row.new], device=forward.device)
            hidden = forward.hidden(ids, torch.arange(ids.shape[1], device=forward.device)[None], None)
            row.push(_tops(forward, hidden[:, -1])[0], forward.stops)
        if row.done:
            advance(row.room)
        else:
            looping.append(row)
    return looping


# -- the cache -------------------------------------------------------------------------------------------------------


class _Layer(CacheLayerMixin):
    """Keys and values of one layer, flush right: [:rows, :, start:stop] of buffers [R, H, S, D] with room to grow."""

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
            self.keys, self.values = (_roomy(held, count + GROWTH) for held in self.held())
            self.start, self.stop = 0, self.stop - self.start
        self.keys[: self.rows, :, self.stop : self.stop + count] = key_states
        self.values[: self.rows, :, self.stop : self.stop + count] = value_states
        self.stop += count
        return self.held()

    def held(self) -> tuple[Tensor, Tensor]:
        """Keys and values [rows, H, stop - start, D]."""
        return (
            self.keys[: self.rows, :, self.start : self.stop],
            self.values[: self.rows, :, self.start : self.stop],
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.stop - self.start

    def get_max_length(self) -> int:
        return -1


class Slots(Cache):
    """A key-value cache whose rows can leave and be joined; what a row lacks in length is filler on its left."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_Layer)

    @property
    def used(self) -> int:
        return self.layers[0].get_seq_length() if self.layers else 0

    def move(self, gaps: Sequence[int], movers: Sequence[int], rows: int, width: int) -> None:
        """Put rows `movers` in the place of rows `gaps`; then keep the first `rows` rows and their last `width` slots."""
        for layer in self.layers:
            for buffer in (layer.keys, layer.values):
                for gap, mover in zip(gaps, movers, strict=True):
                    buffer[gap] = buffer[mover]
            layer.rows, layer.start = rows, layer.stop - width


def _join(a: Slots, b: Slots) -> Slots:
    """The rows of `a`, then those of `b`."""
    if not a.layers or not a.layers[0].rows:
        return b
    width = max(a.used, b.used)
    for x, y in zip(a.layers, b.layers, strict=True):
        pairs = zip(x.held(), y.held(), strict=True)
        x.keys, x.values = (
            torch.cat([F.pad(held, (0, 0, width - held.shape[-2], 0)) for held in (first, last)])
            for first, last in pairs
        )
        x.rows, x.start, x.stop = x.rows + y.rows, 0, width
    return a


def _roomy(states: Tensor, room: int) -> Tensor:
    """A buffer that begins with `states` [B, H, T, D] and has room for more slots."""
    used = states.shape[-2]
    buffer = states.new_empty(*states.shape[:2], used + room, states.shape[-1])
    buffer[:, :, :used] = states
    return buffer


def _takes_cache(forward: Forward) -> bool:
    """Whether two rows of different length, run with the cache, go on as each does alone."""
    ids = [int(i) for i in torch.arange(9) * 5 % forward.model.config.get_text_config().vocab_size]
    texts = [ids[:4], ids[4:]]

    def attempt() -> Tensor:
        rows = [Row(text[:-1], room=2) for text in texts]
        cache = _prefill(forward, rows, token_budget=100)
        real = torch.tensor([[False, True, True, True, True], [True] * 5], device=forward.device)
        last = torch.tensor([[text[-1]] for text in texts], device=forward.device)
        positions = torch.tensor([[3], [4]], device=forward.device)
        return forward.logits(forward.hidden(last, positions, real, cache)[:, -1])

    alone = [forward.model(input_ids=torch.tensor([text], device=forward.device), use_cache=False) for text in texts]
    return forward.agrees("our cache", attempt, torch.cat([out.logits[0, -1:].float() for out in alone]))
