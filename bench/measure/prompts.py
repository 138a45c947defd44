"""The generation engine: greedy completions of all prompts in one pass.

Three things make it cheap, and none changes a token. What the scoring pass knows is not generated again: where the most
probable tokens follow a scored continuation, they are the start of the greedy completion. The other rows are decoded
together; one that ends leaves the batch at once and those that wait take its place. And where the model repeats itself,
as a collapsed one does, it is guessed to go on as it did before: the guess is fed along with the last token and kept as
far as the model says the same (speculative decoding, Leviathan et al. 2023, arXiv:2211.17192, with what was generated
so far as the draft; for greedy decoding acceptance is plain comparison).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from bench.measure.forward import Forward
from bench.measure.products import top
from bench.measure.shortage import halved, unless_short
from bench.measure.slots import GROWTH, Slots
from bench.measure.texts import Advance, chunk_rows
from bench.model.attachments import Spots, Told

SLOTS_PER_TOKEN = 8  # cache slots for each token of the budget
LONGEST_GUESS = 24
FULL = 0.75  # share of the rows that have to be in use, or those that are free are filled up again
PASS_COST = 3.0  # what a row's part in a pass costs beside its tokens, in tokens; measured on a CPU, where it is least
MEMORY = 0.8  # weight of the past in the running share of right guesses


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
    """

    prompt: list[int]
    room: int
    new: list[int] = field(default_factory=list)
    done: bool = False
    finished: bool = False
    valid: bool = True

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


class Habits:
    """What the model has mostly said after each pair of tokens, else after one, in any row: its draft of what follows.

    One token is enough for a model that says the same again and again, from the first time on.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, ...]] = Counter()
        self._usual: dict[tuple[int, ...], int] = {}

    def learn(self, new: Sequence[int], first: int) -> None:
        """Take note of the tokens from `first` on of a row's generated tokens."""
        for i in range(max(1, first), len(new)):
            for before in (tuple(new[i - 1 : i]), tuple(new[max(0, i - 2) : i])):
                self._counts[*before, new[i]] += 1
                usual = self._usual.setdefault(before, new[i])
                if self._counts[*before, new[i]] > self._counts[*before, usual]:
                    self._usual[before] = new[i]

    def guess(self, new: Sequence[int], count: int) -> list[int]:
        """Up to `count` tokens to come after these; fewer where the last was never seen before another."""
        last, found = tuple(new[-2:]), list[int]()
        while len(found) < count and (token := self._usual.get(last, self._usual.get(last[-1:]))) is not None:
            found.append(token)
            last = last[-1], token
        return found


def generate(forward: Forward, rows: Sequence[Row], token_budget: int, advance: Advance) -> None:
    """Complete all rows in place; `advance(n)` is told of every n tokens of budget that are settled.

    Where memory runs out the rows go on from where they are, fewer at a time.

    Raises:
        BenchError: one row alone does not fit.
    """
    for row in rows:
        row.done = row.done or row.room <= 0
    advance(sum(row.room for row in rows if row.done))
    waiting = sorted((row for row in rows if not row.done), key=lambda row: row.length)
    if waiting:
        decode = _batched if takes_cache(forward) else _one_by_one
        decode(forward, waiting, token_budget, advance)


def _batched(forward: Forward, waiting: list[Row], token_budget: int, advance: Advance) -> None:
    """Rows of about one size together: each has as many slots of the cache as the longest of them may need."""
    while waiting:
        most = 2 * min(map(_size, waiting))
        _together(forward, [row for row in waiting if _size(row) <= most], token_budget, advance)
        waiting = [row for row in waiting if _size(row) > most]


def _size(row: Row) -> int:
    """Tokens it has in the end, should it spend its budget."""
    return len(row.prompt) + row.room


def _together(forward: Forward, waiting: list[Row], token_budget: int, advance: Advance) -> None:
    """Pass by pass, all rows at once; one that is done leaves, and a batch gone thin is filled up again."""
    active: list[Row] = []
    longest = max(map(_size, waiting))
    cache = _slots(waiting, longest, token_budget)
    guessing = forward.window is None or longest < forward.window  # a window counts slots, used or not
    habits, right = Habits(), 0.0
    while waiting or active:
        if waiting and len(active) <= cache.shape[0] * FULL:
            free = cache.shape[0] - len(active)
            fresh, waiting = waiting[:free], waiting[free:]
            active += fresh
            short = unless_short(partial(_prefill, forward, cache, fresh, token_budget)) is None
        else:
            share = unless_short(partial(_step, forward, active, cache, habits, _guess_length(right) * guessing))
            short, right = share is None, MEMORY * right + (1 - MEMORY) * (share or 0)
        gone = [i for i, row in enumerate(active) if row.done]
        advance(sum(active[i].room for i in gone))
        if short:
            token_budget = halved(token_budget, len(active), max(row.length + row.room for row in active))
            waiting = sorted([*(row for row in active if not row.done), *waiting], key=lambda row: row.length)
            active, cache = [], _slots(waiting, longest, token_budget)
        elif gone:
            active = _drop(active, gone, cache)


def _slots(rows: Sequence[Row], longest: int, token_budget: int) -> Slots:
    """A cache for as many rows of up to `longest` tokens as its slots suffice for; at least one."""
    each = longest + GROWTH
    return Slots(max(1, min(len(rows), token_budget * SLOTS_PER_TOKEN // each)), each)


def _guess_length(right: float) -> int:
    """The length of guess that yields most for its cost, where each of its tokens is right with probability `right`.

    A pass over q guessed tokens yields 1 + r + ... + r^q tokens and costs PASS_COST + 1 + q.
    """
    best, length, expected = 0.0, 0, 0.0
    for q in range(LONGEST_GUESS + 1):
        expected += right**q
        if expected / (PASS_COST + 1 + q) > best:
            best, length = expected / (PASS_COST + 1 + q), q
    return length


def _drop(active: list[Row], gone: Sequence[int], cache: Slots) -> list[Row]:
    """Let the rows numbered `gone` leave batch and cache: the last rows take their places, so that little is copied."""
    rows = len(active) - len(gone)
    gaps = [i for i in gone if i < rows]
    movers = sorted(set(range(rows, len(active))) - set(gone))
    for gap, mover in zip(gaps, movers, strict=True):
        active[gap] = active[mover]
    cache.move(gaps, movers, rows)
    return active[:rows]


def _prefill(forward: Forward, cache: Slots, rows: Sequence[Row], token_budget: int) -> bool:
    """Run the tokens of rows that join the cache, and push each row's next token; returns True."""
    start = 0
    while start < len(rows):
        part = rows[start : start + max(1, token_budget // rows[-1].length)]
        size = max(row.length for row in part)
        pads = [size - row.length for row in part]
        ids = [[forward.lm.pad] * pad + row.prompt + row.new for pad, row in zip(pads, part, strict=True)]
        told = _told(forward, part)
        with cache.joining(len(part), size):
            hidden = _feed(forward, cache, ids, torch.arange(size)[None] >= torch.tensor(pads)[:, None], told)
        for row, token in zip(part, _tops(forward, hidden[:, -1], _spots(told, part, 1)), strict=True):
            row.push(token, forward.stops)
        start += len(part)
    return True


def _step(forward: Forward, rows: Sequence[Row], cache: Slots, habits: Habits, guess_length: int) -> float:
    """Feed each row's last token and a guess of those to come; push what the model says as far as the guess holds.

    Returns the share of rows whose next token was guessed right, whether or not the guess was fed.
    """
    guesses = [habits.guess(row.new, max(1, min(guess_length, row.room - len(row.new) - 1))) for row in rows]
    width = 1 + guess_length
    fed = [[row.new[-1], *guess][:width] for row, guess in zip(rows, guesses, strict=True)]
    real = torch.arange(width)[None] < torch.tensor([len(ids) for ids in fed])[:, None]
    told = _told(forward, rows)
    hidden = _feed(forward, cache, [ids + [forward.lm.pad] * (width - len(ids)) for ids in fed], real, told)
    tops = iter(_tops(forward, hidden.flatten(0, 1), _spots(told, rows, width)))
    right, kept = 0, []
    for row, ids, guess in zip(rows, fed, guesses, strict=True):
        said = list(islice(tops, width))
        right += guess[:1] == said[:1]
        count = next((i for i, token in enumerate(ids[1:]) if token != said[i]), len(ids) - 1)
        before = len(row.new)
        for token in said[: count + 1]:
            if not row.done:
                row.push(token, forward.stops)
        habits.learn(row.new, before)
        kept.append(count + 1)
    cache.keep(torch.arange(width)[None] < torch.tensor(kept)[:, None])
    return right / len(rows)


def _told(forward: Forward, rows: Sequence[Row]) -> Told | None:
    """What is told of the rows' prompts; their gates stay what they were as the rows grow."""
    return forward.attached.told([row.prompt for row in rows])


def _spots(told: Told | None, rows: Sequence[Row], width: int) -> Spots | None:
    """What is told of the last token of each row and those that are fed along, `width` in all, row by row."""
    if told is None:
        return None
    last = torch.tensor([row.length - 1 for row in rows], device=told.prompts.device)
    row = torch.arange(len(rows), device=last.device).repeat_interleave(width)
    return told.spots(row, (last[:, None] + torch.arange(width, device=last.device)).flatten())


def _feed(
    forward: Forward, cache: Slots, ids: Sequence[Sequence[int]], real: Tensor, told: Told | None = None
) -> Tensor:
    """Run tokens [B, T], of which `real` says which are no filler, after what the cache holds; hidden [B, T, D]."""
    device = forward.device
    with cache.feeding(real) as seen:
        positions = (seen.cumsum(1) - 1).clamp_(min=0)[:, -real.shape[1] :]
        return forward.hidden(torch.tensor(ids, device=device), positions.to(device), seen.to(device), cache, told)


def _tops(forward: Forward, hidden: Tensor, spots: Spots | None) -> list[int]:
    """Most probable token after each hidden state [n, D]; -1 where the logits are not numbers."""
    found, rows = [], chunk_rows(forward)
    for number, part in enumerate(hidden.split(rows)):
        logits = forward.logits(part, spots and spots.part(number * rows, number * rows + len(part)))
        best = top(logits)
        found.append(torch.where(logits.gather(-1, best[:, None])[:, 0].isnan(), -1, best))
    return torch.cat(found).tolist()


def _one_by_one(forward: Forward, waiting: list[Row], token_budget: int, advance: Advance) -> None:
    """For models that cannot use our cache: each row by itself, with no cache at all."""
    for row in waiting:
        while not row.done:
            token = unless_short(partial(_next, forward, row))
            if token is None:
                halved(token_budget, 1, row.length)
            else:
                row.push(token, forward.stops)
        advance(row.room)


def _next(forward: Forward, row: Row) -> int:
    """The token after a row, from a pass over all of it."""
    ids = torch.tensor([row.prompt + row.new], device=forward.device)
    told = _told(forward, [row])
    hidden = forward.hidden(ids, torch.arange(ids.shape[1], device=forward.device)[None], None, told=told)
    return _tops(forward, hidden[:, -1], _spots(told, [row], 1))[0]


def takes_cache(forward: Forward) -> bool:
    """Whether rows of different length, fed with a wrong guess in between, go on as each does alone."""
    vocabulary = forward.model.config.get_text_config().vocab_size
    ids = [int(i) for i in torch.arange(11) * 5 % vocabulary]
    texts = [ids[:5], ids[5:]]

    def attempt(told: Told | None) -> Tensor:
        cache = Slots(2, 8)
        size, real = len(texts[1]) - 2, torch.ones(2, 2, dtype=torch.bool)
        shifted = torch.arange(size)[None] >= torch.tensor([[1], [0]])
        with cache.joining(2, size):
            _feed(forward, cache, [[0, *texts[0][:-2]], texts[1][:-2]], shifted, told)
        _feed(forward, cache, [[text[-2], 1] for text in texts], real, told)
        cache.keep(torch.tensor([[True, False]]))
        return forward.logits(_feed(forward, cache, [text[-1:] for text in texts], real[:, :1], told)[:, -1])

    def agrees(told: Told | None) -> bool:
        rows = [torch.tensor([text], device=forward.device) for text in texts]
        alone = [forward.whole(row, told and told.row(index))[0, -1:] for index, row in enumerate(rows)]
        return forward.agrees("our cache", partial(attempt, told), torch.cat(alone).float())

    return all(map(agrees, forward.trials([text[:3] for text in texts])))
