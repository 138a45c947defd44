"""What can be put on a model and taken off again: hooks, adapters and gates of methods that act at inference.

The model itself stays as it is: `lm.model` is the bare model, `lm.attached` what goes with it, and whoever takes it off
has the bare model back bit for bit. Everything that runs an LM (measuring, generation, attacks, exams) asks here what
to do. A gate is worked out once per distinct prompt, by the bare model, on the prompt's tokens alone: it cannot see the
answer, so scoring and generation agree. A plain `lm.model(...)` is the bare model: it names no prompt.

Shapes: B rows of a batch, T their tokens, N tokens picked of them, V vocabulary, G whatever shape a gate has.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bench import registry
from bench.errors import BenchError
from bench.model.weights import ATTACHED
from bench.reading import json_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bench.contracts import LM

SCHEMA = 1
ABOUT, TENSORS = ATTACHED
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Attachment:
    """One thing that is put on a model: a frozen dataclass, declared with `bench.api.attachment("NAME")`.

    Its fields are all that it is: tensors, mappings from names to tensors, and plain values (numbers, texts, tuples of
    them). They are written beside the weights. What it does is in three methods, each of which may be left as it is.

    Attributes:
        name: what it is declared as.
        version: raise it where saved fields come to mean something else.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def gate(self, model: PreTrainedModel, prompt: Tensor) -> Tensor:
        """How strongly it acts on answers to this prompt, float [G] within 0 (not at all) and 1; here always 1.

        Args:
            model: the bare model, in evaluation mode and without gradients.
            prompt: int64 [P], the prompt's tokens, unpadded; nothing that comes after them is known here.
        """
        return torch.ones((), device=prompt.device)

    def hooks(self, model: PreTrainedModel, gate: Tensor, place: Tensor) -> Iterable[RemovableHandle]:
        """Register hooks on modules of the decoder's layers for one pass; they are removed when it ends.

        A hook works token by token: rows may be prefix trees, whose neighbours are not each other's past, and with a
        cache only new tokens come by.

        Args:
            gate: [B, *G], that of each row's prompt.
            place: int64 [B, T], which token of the answer comes next: 0 at the last token of the prompt, 1 after the
                first token of the answer, negative within the prompt. Meaningless for filler.
        """
        return ()

    def logits(self, logits: Tensor, gate: Tensor, place: Tensor) -> Tensor:
        """What becomes of logits [N, V], float32; `gate` is [N, *G], `place` [N]."""
        return logits


class Told(NamedTuple):
    """What attachments are told of the rows of one pass.

    Attributes:
        gates: [B, *G], one for each attachment.
        prompts: int64 [B], how many tokens each row's prompt has.
    """

    gates: tuple[Tensor, ...]
    prompts: Tensor

    def row(self, index: int) -> Told:
        """Of one row alone."""
        return Told(tuple(gate[index : index + 1] for gate in self.gates), self.prompts[index : index + 1])

    def place(self, positions: Tensor) -> Tensor:
        """Which token of its answer comes after each of the tokens at `positions` [B, T], from 0."""
        return positions - (self.prompts - 1)[:, None]

    def spots(self, rows: Tensor, positions: Tensor) -> Spots:
        """The same of tokens [N] at `positions` of `rows`."""
        return Spots(tuple(gate[rows] for gate in self.gates), positions - (self.prompts[rows] - 1))


class Spots(NamedTuple):
    """What attachments are told of tokens whose logits are made: gates [N, *G] and places [N]."""

    gates: tuple[Tensor, ...]
    place: Tensor

    def part(self, start: int, stop: int) -> Spots:
        return Spots(tuple(gate[start:stop] for gate in self.gates), self.place[start:stop])


class Attached:
    """What is attached to `lm`, for one who runs it; gates are kept, so that each prompt is asked once."""

    def __init__(self, lm: LM) -> None:
        self._lm = lm
        self._gates: dict[tuple[int, ...], tuple[Tensor, ...]] = {}

    def told(self, prompts: Sequence[Sequence[int]]) -> Told | None:
        """What is told of rows with these prompts; None where nothing is attached.

        A prompt is run by itself, so that its gate does not depend on its company, not even in the last digits.
        """
        if not self._lm.attached:
            return None
        found = [self.gates(prompt) for prompt in prompts]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._lm.device)
        return Told(tuple(map(torch.stack, zip(*found, strict=True))), lengths)

    def gates(self, prompt: Sequence[int]) -> tuple[Tensor, ...]:
        """The gate of each attachment for a prompt."""
        key = tuple(prompt)
        if key not in self._gates:
            model = self._lm.model
            ids = torch.tensor(key, device=self._lm.device)
            training = model.training
            model.eval()
            try:
                with torch.no_grad():
                    self._gates[key] = tuple(each.gate(model, ids) for each in self._lm.attached)
            finally:
                model.train(training)
        return self._gates[key]

    @contextmanager
    def on(self, told: Told | None, positions: Tensor) -> Iterator[None]:
        """Within it the model has the hooks, for rows of which that is told and tokens at `positions` [B, T]."""
        with ExitStack() as stack:
            if told is not None:
                place = told.place(positions)
                for each, gate in zip(self._lm.attached, told.gates, strict=True):
                    for handle in each.hooks(self._lm.model, gate, place):
                        stack.callback(handle.remove)
            yield

    def logits(self, logits: Tensor, spots: Spots | None) -> Tensor:
        """Logits [N, V] as the attachments leave them, one after the other."""
        if spots is not None:
            for each, gate in zip(self._lm.attached, spots.gates, strict=True):
                logits = each.logits(logits, gate, spots.place)
        return logits


AnyLM = TypeVar("AnyLM", bound="LM")


def attach(lm: AnyLM, *new: Attachment) -> AnyLM:
    """The model with these put on it, on top of what it has; its weights are shared, not copied.

    Raises:
        BenchError: one that could not be written to a file and read again.
    """
    for each in new:
        _parts(each)
    changed: AnyLM = dataclasses.replace(lm, attached=(*lm.attached, *new))  # type: ignore[type-var]
    return changed


def bare(lm: AnyLM) -> AnyLM:
    """The model with everything taken off."""
    changed: AnyLM = dataclasses.replace(lm, attached=())  # type: ignore[type-var]
    return changed


@contextmanager
def inputs(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Within it, what the modules last read, by the same names: what a gate looks at."""
    seen: dict[str, Tensor] = {}

    def reader(name: str) -> Callable[..., None]:
        def read(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen[name] = given[0].detach()

        return read

    handles = [module.register_forward_pre_hook(reader(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


# -- files -----------------------------------------------------------------------------------------------------------


def save(attached: Sequence[Attachment], folder: Path) -> None:
    """Write what is attached into `folder` as JSON and safetensors; nothing where there is nothing."""
    if not attached:
        return
    told, tensors = [], dict[str, Tensor]()
    for index, each in enumerate(attached):
        plain, arrays = _parts(each)
        told.append({"name": each.name, "version": each.version, "values": plain, "tensors": sorted(arrays)})
        tensors |= {f"{index}.{name}": tensor.detach().cpu().clone().contiguous() for name, tensor in arrays.items()}
    save_file(tensors, folder / TENSORS)
    (folder / ABOUT).write_text(json.dumps({"schema": SCHEMA, "attached": told}, indent=1) + "\n", encoding="utf-8")


def load(folder: Path, device: str | torch.device = "cpu") -> tuple[Attachment, ...]:
    """What is attached to the model in `folder`; none where nothing is written there.

    Raises:
        BenchError: not readable, of a newer program, or of a kind that is not declared here.
    """
    about = folder / ABOUT
    if not about.is_file():
        return ()
    try:
        told = json_of(about.read_bytes())
        if told["schema"] > SCHEMA:
            raise BenchError(f"{about} has schema {told['schema']}, this program reads {SCHEMA}. Update the program.")
        tensors = load_file(folder / TENSORS, device=str(device))
        return tuple(_made(about, index, each, tensors) for index, each in enumerate(told["attached"]))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(
            f"{about} cannot be read ({type(error).__name__}: {error}), and without it the model is another. Write it "
            "again: export its cell once more, or clear the cache and run the cell."
        ) from error


def size(attached: Sequence[Attachment]) -> int:
    """Bytes of the tensors of what is attached."""
    return sum(tensor.nbytes for each in attached for tensor in _parts(each)[1].values())


def _made(about: Path, index: int, told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Attachment:
    name = told["name"]
    if name not in registry.names("attachment"):
        near = registry.near([name], registry.names("attachment"))
        raise BenchError(
            f"{about} needs the attachment '{name}', which nobody declares here, and without it the model is another. "
            f"{near or 'Put the file that declares it under methods/.'}"
        )
    cls = registry.load("attachment", name)
    if told["version"] != cls.version:
        raise BenchError(
            f"{about} has '{name}' of version {told['version']}, this program version {cls.version}. "
            f"{'Update the program' if told['version'] > cls.version else 'Write it again: run its cell anew'}."
        )
    values: dict[str, Any] = {key: _tupled(value) for key, value in told["values"].items()}
    for key in told["tensors"]:
        field, dot, inner = key.partition(".")
        tensor = tensors[f"{index}.{key}"]
        if dot:
            values.setdefault(field, {})[inner] = tensor
        else:
            values[field] = tensor
    made: Attachment = cls(**values)
    return made


def _parts(each: Attachment) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields of an attachment: plain values, and tensors by "field" or "field.name"."""
    if not (isinstance(each, Attachment) and each.name):
        raise BenchError(
            f"{type(each).__name__} is no declared attachment. Derive it from bench.model.attachments.Attachment and "
            'write @attachment("NAME") above its class.'
        )
    plain: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for field in dataclasses.fields(each):
        value = getattr(each, field.name)
        if isinstance(value, Tensor):
            tensors[field.name] = value
        elif isinstance(value, Mapping) and value and all(isinstance(v, Tensor) for v in value.values()):
            tensors |= {f"{field.name}.{key}": tensor for key, tensor in value.items()}
        elif _is_plain(value):
            plain[field.name] = value
        else:
            raise BenchError(
                f"{each.name}.{field.name} is {type(value).__name__}, which no file holds. Take a tensor, a mapping "
                "from names to tensors, a number, a text, or a tuple of these."
            )
    return plain, tensors


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else isinstance(value, _PLAIN)


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
