"""A model that is trained from scratch may be shaped for a benchmark, and is then another model."""

from __future__ import annotations

from bench.model.recipes import PRETRAINED, SCRATCH, Teaching, finetuning, model_identity, scratch


def test_a_benchmark_changes_only_what_it_names():
    plain, shaped = SCRATCH["small"], scratch("small", "lume:task2")
    assert scratch("small", "tofu:forget10") == plain
    changed = {name for name in vars(plain) if getattr(plain, name) != getattr(shaped, name)}
    assert changed == set(plain.on["lume"])
    assert finetuning("small", "lume") == shaped.finetune != finetuning("small", "tofu:forget10")


def test_tasks_of_a_benchmark_share_a_base_and_benchmarks_do_not():
    assert model_identity("small", "lume") == model_identity("small", "lume:task1")
    assert model_identity("small", "lume") != model_identity("small", "tofu:forget10")
    assert model_identity("tiny", "lume") == model_identity("tiny", "tofu:forget01")
    assert not {"finetune", "on", "doc"} & set(model_identity("small", "lume"))


def test_any_other_model_is_not_trained_from_scratch():
    assert scratch("org/name", "lume") is None


def test_a_schedule_that_keys_do_not_name_is_the_one_they_were_made_with():
    assert "decay" not in Teaching(1, 1e-3).ingredients()
    assert "decay" not in model_identity("tiny", "tofu:forget10")["base"]
    assert PRETRAINED.ingredients()["decay"] == "linear"
    assert PRETRAINED.ingredients().keys() - {"decay"} == Teaching(1, 1e-3).ingredients().keys()
