"""TRL's SFTTrainer, packed, in bfloat16: `python sft.py WORK`. Packed rows have the length of the longest, or `packed`."""

import tempfile

import common
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

work = common.work()
torch.set_num_threads(work["threads"])
config = AutoConfig.from_pretrained(work["model"])
config.attn_pdrop = config.resid_pdrop = config.embd_pdrop = work["dropout"]
model = AutoModelForCausalLM.from_pretrained(work["model"], config=config, dtype=torch.float32)
steps, counted = common.Steps(), [0]


class Watch(TrainerCallback):
    def on_train_begin(self, *_, **__):
        steps.began = common.time.perf_counter()

    def on_step_end(self, *_, **__):
        steps.done()

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in (logs or {}):
            steps.losses.append(float(logs["loss"]))


class Counting(SFTTrainer):
    def training_step(self, model, inputs, *more):
        counted[0] += inputs["input_ids"].numel()  # packed and flattened: all of them are real, but for what is masked
        if "attention_mask" in inputs:
            counted[0] -= int((inputs["attention_mask"] == 0).sum())
        return super().training_step(model, inputs, *more)


with tempfile.TemporaryDirectory() as folder:
    arguments = SFTConfig(
        folder, max_steps=work["steps"], per_device_train_batch_size=work["batch_size"], bf16=True, packing=True,
        max_length=work["packed"], learning_rate=work["learning_rate"], logging_steps=1, save_strategy="no",
        report_to=[], disable_tqdm=True, use_cpu=True, gradient_checkpointing=False,
    )  # fmt: skip
    data = Dataset.from_list([{"input_ids": ids.tolist()} for ids, _ in work["rows"]])
    Counting(
        model,
        args=arguments,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(work["model"]),
        callbacks=[Watch()],
    ).train()
steps.tell(counted[0])
