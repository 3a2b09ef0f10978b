"""transformers.Trainer on padded rows: `python trainer.py WORK`, with "bf16" true or false in the work."""

import tempfile

import common
import torch
from trainers import Watch, model_of
from transformers import Trainer, TrainingArguments

work = common.work()
model, steps, counted = model_of(work), common.Steps(), [0]


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
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


class Counting(Trainer):
    """Counts what it trains on; what it collates is one batch more."""

    def training_step(self, model, inputs, *more):
        counted[0] += int(inputs["attention_mask"].sum())
        return super().training_step(model, inputs, *more)


with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, max_steps=work["steps"], per_device_train_batch_size=work["batch_size"], bf16=work["bf16"],
        learning_rate=work["learning_rate"], logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=True, train_sampling_strategy="sequential", remove_unused_columns=False,
    )  # fmt: skip
    data = [{"ids": ids, "labels": labels} for ids, labels in work["rows"]]
    Counting(model, arguments, collate, data, callbacks=[Watch(steps)]).train()
steps.tell(counted[0])
