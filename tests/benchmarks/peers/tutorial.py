"""The well-known tutorial's own steps, made to run: `python tutorial.py WORK`, from its imports to the sampled text.

Ten sentences padded to 128 tokens, three epochs, batches of two, Trainer's defaults, generate(). What of it stopped
running is written as it has to be today; what it does is as it was.
"""

import tempfile
import time

began = time.perf_counter()

import common  # noqa: E402 - the clock runs before what is imported
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from trainers import Watch, model_of  # noqa: E402
from transformers import (  # noqa: E402
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

work = common.json.loads(common.Path(common.sys.argv[1]).read_text())
tokenizer = AutoTokenizer.from_pretrained(work["model"])
tokenizer.pad_token = tokenizer.eos_token
model = model_of(work)
texts = Dataset.from_dict({"text": work["texts"]})
rows = texts.map(
    lambda some: tokenizer(some["text"], truncation=True, padding="max_length", max_length=128), batched=True
)
steps = common.Steps()


with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, num_train_epochs=3, per_device_train_batch_size=2, weight_decay=0.01, logging_steps=10, save_steps=100,
        report_to=[], disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    trainer = Trainer(
        model=model, args=arguments, train_dataset=rows.remove_columns("text"), data_collator=collator,
        callbacks=[Watch(steps)],
    )  # fmt: skip
    loss = trainer.train().training_loss
    trainer.save_model(folder)
    ids = tokenizer.encode(work["prompt"], return_tensors="pt")
    with torch.no_grad():
        output = model.generate(
            ids, max_length=50, do_sample=True, temperature=0.7, pad_token_id=tokenizer.eos_token_id
        )
    text = tokenizer.decode(output[0], skip_special_tokens=True)
common.sys.stdout.write(
    "\n"
    + common.json.dumps({
        "whole": time.perf_counter() - began, "training": steps.ends[-1] - steps.began, "steps": len(steps.ends),
        "text": text, "tokens": 3 * sum(map(sum, rows["attention_mask"])), "loss": loss,
        "peak_bytes": common.resource.getrusage(common.resource.RUSAGE_SELF).ru_maxrss * 1024,
    })
    + "\n"
)  # fmt: skip
