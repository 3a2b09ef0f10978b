"""TRL's SFTTrainer, packed, in bfloat16: `python sft.py WORK`. Packed rows have the length of the longest, or `packed`."""

import tempfile

import common
from datasets import Dataset
from trainers import Watch, model_of
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

work = common.work()
model, steps, counted = model_of(work), common.Steps(), [0]


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
        callbacks=[Watch(steps)],
    ).train()
steps.tell(counted[0])
