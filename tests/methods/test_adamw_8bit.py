"""AdamW with its state in 8 bits: how small the state is, and how near its steps are to those of 32 bits."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import of_method
from bench.conformance import toy as toys
from bench.errors import BenchError
from bench.run.compose import compose
from methods.adamw import AdamW
from methods.adamw_8bit import AdamW8bit

LR = 1e-3


def test_its_parameters_are_adamws() -> None:
    """Names, defaults and words, and what the models from scratch are set to, so that the two can be compared."""
    ours, theirs = ([(f.name, f.default, f.metadata) for f in dataclasses.fields(cls)] for cls in (AdamW8bit, AdamW))
    assert ours == theirs
    for model in ("tiny", "small"):
        for benchmark in ("tofu", "lume"):
            small, plain = (compose(f"npo+{name}", model, task=benchmark) for name in ("adamw-8bit", "adamw"))
            assert small.parameters == plain.parameters


def test_without_bitsandbytes_the_message_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    says = r"optimizer 'adamw-8bit' needs bitsandbytes.*pip install 'unlearning-bench\[8bit\]'"
    with pytest.raises(BenchError, match=says):
        AdamW8bit().build([nn.Parameter(torch.zeros(2, 2))])


@pytest.mark.parametrize("kind", [NotImplementedError, RuntimeError, ValueError])
def test_a_device_that_it_does_not_serve_is_named(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    """Before the first step of the run, whatever the library raises."""

    class Refuses:
        def __init__(self, params: list[nn.Parameter]) -> None:
            self.params = params

        def step(self) -> None:
            raise kind("no such kernel\nand a long trace")

    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace(optim=SimpleNamespace(AdamW8bit=Refuses)))
    with pytest.raises(BenchError, match=r"on cpu in torch.float32 \(no such kernel\)\. Take the optimizer 'adamw'"):
        AdamW8bit().build([nn.Parameter(torch.zeros(2, 2))])


def trained(optimizer: AdamW, steps: int, seed: int = 0) -> tuple[list[nn.Parameter], torch.optim.Optimizer, Tensor]:
    """A noisy regression: its parameters after some steps, the optimizer, and how far the matrix went."""
    pytest.importorskip("bitsandbytes")
    random = torch.Generator().manual_seed(seed)
    weight, bias = (nn.Parameter(torch.randn(shape, generator=random)) for shape in ((256, 512), (256,)))
    start, wanted = weight.detach().clone(), torch.randn(256, 512, generator=random)
    made = optimizer.build([weight, bias])
    for _ in range(steps):
        x = torch.randn(512, 64, generator=random)
        made.zero_grad()
        ((weight - wanted) @ x + bias[:, None]).square().mean().backward()
        made.step()
    return [weight, bias], made, weight.detach() - start


def test_state_takes_two_bytes_a_weight_but_in_small_tensors() -> None:
    """Two averages of a byte, and two scales of 4 bytes for each block of 256: 2 + 8 / 256. The bias is too small."""
    (weight, bias), made, _ = trained(AdamW8bit(lr=LR), 1)

    def size(parameter: nn.Parameter) -> float:
        own = {k: v for k, v in made.state[parameter].items() if isinstance(v, Tensor) and not k.startswith("qmap")}
        return sum(v.numel() * v.element_size() for v in own.values()) / parameter.numel()

    assert size(weight) == 2 + 8 / 256
    assert size(bias) == 8
    assert made.state[weight]["state1"].dtype == made.state[weight]["state2"].dtype == torch.uint8


@pytest.mark.parametrize("seed", range(3))
def test_ten_steps_are_near_those_of_32_bits(seed: int) -> None:
    """The first step knows no quantised state, so it is AdamW's own; after ten the way differs by less than 2%."""
    for steps, tolerance in ((1, 1e-5), (10, 0.02)):
        ours, theirs = (trained(cls(lr=LR), steps, seed)[2] for cls in (AdamW8bit, AdamW))
        assert (ours - theirs).norm() < tolerance * theirs.norm()
    assert not torch.equal(ours, theirs)


def test_matrices_decay_and_vectors_do_not() -> None:
    """Where there is no gradient, nothing else moves: a factor of 1 - lr * decay a step."""
    pytest.importorskip("bitsandbytes")
    weight, bias = nn.Parameter(torch.ones(64, 64)), nn.Parameter(torch.ones(64))
    made = AdamW8bit(lr=0.1, weight_decay=0.5).build([weight, bias])
    for parameter in (weight, bias):
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    torch.testing.assert_close(weight.detach(), torch.full((64, 64), 0.95))
    assert torch.equal(bias.detach(), torch.ones(64))


def test_it_unlearns_as_every_optimizer_does(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    name = "graddiff+adamw-8bit"
    toy = toys.run(name, tmp_path)
    of_method.stays_finite(name, toy)
    of_method.can_be_saved(name, toy, tmp_path / "saved")
    of_method.repeats_to_the_bit(name, toy, toys.run(name, tmp_path))
    curves = [
        [line["forget"] for line in lines]
        for lines in (toy.curve.lines, toys.run("graddiff+adamw", tmp_path).curve.lines)
    ]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3) and curves[0] != curves[1]
    assert curves[0][-1] > 1.2 * curves[0][0]
