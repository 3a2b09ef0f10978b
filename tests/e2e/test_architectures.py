"""Nothing is hard-wired to GPT-2: directories of other architectures train and sample, full and with LoRA."""

import subprocess
import sys

import pytest
from tiny_models import VOCAB, save_model, save_tokenizer
from transformers import AutoModelForCausalLM

PROJECT = {
    "format": 1,
    "dataset": {
        "use": "inline",
        "texts": [f"The number {i} comes after {i - 1}." for i in range(1, 13)],
        "validation_count": 2,
    },
    "tokenizer": {"use": "pretrained"},
    "generator": {"use": "sample", "prompts": ["The number"], "max_new_tokens": 4},
}
OPENS = (
    "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
    "m = AutoModelForCausalLM.from_pretrained(sys.argv[1]); t = AutoTokenizer.from_pretrained(sys.argv[1])\n"
    "print(m.config.model_type, m(**t('The', return_tensors='pt')).logits.isfinite().all().item())"
)


# each value once: the trainers' own tests take these families through both trainers, with adapters and without
@pytest.mark.parametrize(
    ("family", "lora_rank", "trainer"),
    [("llama", 4, "native"), ("qwen2", 0, "hf")],
)
def test_a_directory_of_another_architecture_trains_and_samples(
    ftstudio, make_project, tmp_path, family, lora_rank, trainer
):
    model = save_model(tmp_path / family, family).path
    save_tokenizer(model)
    with_room = AutoModelForCausalLM.from_pretrained(model)  # Qwen2's tokenizer class adds a token of its own
    with_room.resize_token_embeddings(VOCAB + 7)
    with_room.save_pretrained(model)
    folder = make_project(
        base={**PROJECT, "model": {"use": "hub", "name": str(model)}},
        trainer={
            "use": trainer,
            "max_steps": 6,
            "learning_rate": 1e-2,
            "lora_rank": lora_rank,
            "per_device_train_batch_size": 4,
        },
    )
    done = ftstudio("run", folder, "--json")
    assert done.code == 0, done.err
    losses = done.json["metrics"]
    assert losses["eval_loss"] < 5.4  # ln 264 = 5.58 is chance
    assert [s["model"] for s in done.json["samples"]] == ["base", "final"]
    final = folder / "runs" / "0001" / "final"
    assert not (final / "adapter_config.json").exists()
    opened = subprocess.run([sys.executable, "-c", OPENS, str(final)], capture_output=True, text=True, check=False)
    assert opened.stdout.split() == [family, "True"], opened.stderr
    sampled = ftstudio("sample", folder, "--checkpoint", "6", "--prompt", "The number", "--json")
    assert sampled.code == 0, sampled.err
