"""A tiny random Llama as a model and as the GGUF file that llama.cpp's converter would write of it."""

import gguf
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
WIDTH, HEADS, CONTEXT = 32, 2, 48
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())


def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=1, num_attention_heads=HEADS,
        num_key_value_heads=HEADS, max_position_embeddings=CONTEXT, eos_token_id=257, bos_token_id=257,
        tie_word_embeddings=False, rms_norm_eps=1e-5,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def write(path, net, *, architecture="llama", leave_out="", quantised=False, end="<|endoftext|>"):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(258)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*LETTERS, "re", end])
    writer.add_token_types([1] * 257 + [3])
    writer.add_token_merges(["r e"])
    writer.add_eos_token_id(257)
    writer.add_bos_token_id(257)
    for name, tensor in tensors(net.state_dict()):
        if name == leave_out:
            continue
        if quantised and tensor.dim() == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(tensor.numpy(), kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(weights):
    yield "token_embd.weight", weights["model.embed_tokens.weight"]
    yield "output.weight", weights["lm_head.weight"]
    yield "output_norm.weight", weights["model.norm.weight"]
    layer = "model.layers.0."
    for ours, theirs in {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }.items():  # fmt: skip
        yield f"blk.0.{ours}.weight", weights[f"{layer}{theirs}.weight"]
    for letter in "qk":  # llama.cpp rotates neighbours, transformers halves: its converter reorders the rows
        rows = weights[f"{layer}self_attn.{letter}_proj.weight"]
        reordered = rows.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH).swapaxes(1, 2).reshape(rows.shape)
        yield f"blk.0.attn_{letter}.weight", reordered.contiguous()
