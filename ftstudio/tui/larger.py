"""What a larger value does, for options by the names that everybody uses: the second sentence of a field's help."""

from __future__ import annotations

from collections.abc import Mapping

from ftstudio.options import Field
from ftstudio.tui.typed import float_text, text_of

LARGER: Mapping[str, str] = {
    "num_train_epochs": "More learn the data better and take longer, until the model only repeats it.",
    "max_steps": "More train longer; it takes the place of num_train_epochs.",
    "per_device_train_batch_size": "Larger is steadier and takes more memory, with fewer steps an epoch.",
    "gradient_accumulation_steps": "Larger acts as a larger batch without its memory, with fewer steps an epoch.",
    "learning_rate": "Larger learns faster, until the loss jumps or is nan.",
    "warmup_steps": "More begin more gently; more than the run has never reach the peak.",
    "weight_decay": "Larger keeps weights smaller, against learning by heart.",
    "max_grad_norm": "Larger clips less; single bad batches then move the weights further.",
    "dropout": "Larger forgets more on purpose, against learning by heart; it slows learning.",
    "lora_rank": "Larger adapts more and saves less memory; 0 trains all weights.",
    "lora_alpha": "Larger lets the adapters weigh more.",
    "logging_steps": "Larger draws fewer points.",
    "eval_steps": "Larger evaluates more rarely and costs less time.",
    "save_steps": "Larger saves more rarely: less time and disk, more lost when the run is killed.",
    "save_total_limit": "Larger keeps more checkpoints and takes more disk.",
    "early_stopping_patience": "Larger waits longer for a better eval_loss.",
    "max_length": "Larger keeps more of long texts; memory grows with it.",
    "validation_fraction": "Larger measures eval_loss better and leaves less to train on.",
    "validation_count": "Larger measures eval_loss better and leaves less to train on.",
    "vocab_size": "Larger makes fewer tokens of a text and a larger model.",
    "n_layer": "More make a deeper, slower, larger model.",
    "n_embd": "Larger makes a wider model; its size grows with the square.",
    "n_positions": "Larger sees more at once; memory grows with it.",
    "temperature": "Larger writes more surprisingly, at last nonsense.",
    "top_k": "Larger draws from more tokens: more varied.",
    "top_p": "Larger draws from more tokens: more varied.",
    "max_new_tokens": "Larger writes longer texts and takes longer.",
    "num_beams": "More search wider and take longer.",
    "repetition_penalty": "Larger repeats less, at last unnaturally.",
    "seed": "Another number draws other rows, weights and samples; none is better.",
}


def explained(field: Field) -> str:
    """A field in plain sentences: what it is, what a larger value does, what it takes."""
    parts = [field.help, LARGER.get(field.name, "")]
    takes = field.type_words[:1].upper() + field.type_words[1:]
    bounds = [
        f"{words} {float_text(bound)}"
        for words, bound in (("at least", field.ge), ("above", field.gt), ("at most", field.le), ("below", field.lt))
        if bound is not None
    ]
    takes += f", {' and '.join(bounds)}" if bounds else ""
    takes += f", in {field.unit}" if field.unit else ""
    default = text_of(field.default) if field.default not in (None, (), {}, "") else ""
    parts.append(f"{takes}{'; it must be given' if field.required else f'; default {default}' if default else ''}.")
    return " ".join(filter(None, parts))
