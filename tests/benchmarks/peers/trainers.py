"""What the peers that are built on transformers.Trainer share: the model, and when each step ended."""

import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM, TrainerCallback


def model_of(work):
    """The work's model in float32, with its dropout, on its number of threads."""
    torch.set_num_threads(work["threads"])
    config = AutoConfig.from_pretrained(work["model"])
    if "dropout" in work:
        config.attn_pdrop = config.resid_pdrop = config.embd_pdrop = work["dropout"]
    return AutoModelForCausalLM.from_pretrained(work["model"], config=config, dtype=torch.float32)


class Watch(TrainerCallback):
    """Tells `common.Steps` of each step's end and loss."""

    def __init__(self, steps):
        self.steps = steps

    def on_train_begin(self, *_, **__):
        self.steps.began = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.steps.done()

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in (logs or {}):
            self.steps.losses.append(float(logs["loss"]))
