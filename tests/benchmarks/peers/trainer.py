"""transformers.Trainer on padded rows: `python trainer.py WORK`, with "bf16" true or false in the work."""

import tempfile

import common
import torch
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

work = common.work()
torch.set_num_threads(work["threads"])
config = AutoConfig.from_pretrained(work["model"])
config.attn_pdrop = config.resid_pdrop = config.embd_pdrop = work["dropout"]
model = AutoModelForCausalLM.from_pretrained(work["model"], config=config, dtype=torch.float32)
steps, counted = common.Steps(), [0]


def collate(rows):
    longest = max(len(row["ids"]) for row in rows)
    ids, labels = torch.zeros(len(rows), longest, dtype=torch.long), torch.full((len(rows), longest), -100)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row["ids"])], labels[at, : len(row["ids"])] = (
            torch.tensor(row["ids"]),
            torch.tensor(row["labels"]),
        )
        mask[at, : len(row["ids"])] = 1
    labels[:, 0] = -100  # Trainer divides by the labels that it is given, the first of which it cannot use
    counted[0] += int(mask.sum())
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


class Watch(TrainerCallback):
    def on_train_begin(self, *_, **__):
        steps.began = common.time.perf_counter()

    def on_step_end(self, *_, **__):
        steps.done()

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in (logs or {}):
            steps.losses.append(float(logs["loss"]))


with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, max_steps=work["steps"], per_device_train_batch_size=work["batch_size"], bf16=work["bf16"],
        learning_rate=work["learning_rate"], logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=True, train_sampling_strategy="sequential", remove_unused_columns=False,
    )  # fmt: skip
    data = [{"ids": ids, "labels": labels} for ids, labels in work["rows"]]
    Trainer(model, arguments, collate, data, callbacks=[Watch()]).train()
steps.tell(counted[0])
