#!/usr/bin/env python3
"""Small checkpoints in the formats of other tools, each with what their own libraries make of them.

    pip install torch transformers safetensors blake3 gguf bitsandbytes compressed-tensors
    python make_quantized.py [NAME…]

One random Llama of one layer (hidden 128, two heads on one KV head of 64, MLP 128, vocabulary 64) is quantized by round to
nearest and written by the libraries where they have a writer for one module (bitsandbytes, compressed-tensors), else packed
here after the layout that AutoGPTQ, AutoAWQ, vLLM, fbgemm and ModelOpt give it. `expected.safetensors` of a folder holds
`input_ids`, `logits` of transformers in f32 with the dequantized weights, and in its metadata the BLAKE3 of each weight as
f32, little-endian, row-major: dequantized in f32 by the library itself, or by the layout's formula.
"""
import json, os, pathlib, shutil, sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import blake3, torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
torch.set_num_threads(1)
CONFIG = dict(hidden_size=128, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
              head_dim=64, vocab_size=64, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False,
              bos_token_id=1, eos_token_id=2, architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu",
              rope_theta=10000.0)
IDS = torch.tensor([[1, 17, 40, 5, 63, 8, 22, 31]])


def base(model_type="llama", **keys):
    torch.manual_seed(15)
    config = {k: v for k, v in CONFIG.items() if k not in ("rope_theta", "architectures")}
    config = AutoConfig.for_model(**config | {"model_type": model_type} | keys, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            wide = 1 + torch.arange(p.shape[0]) % 7 / 4  # members and rows of different magnitude
            x = ("norm" in name) + torch.randn(p.shape) / 8 if p.dim() == 1 else torch.randn(p.shape) / 10 * wide[:, None]
            p.copy_(x.bfloat16().float())
    return model.eval()


def linears(model):
    return {n: m.weight.data for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"}


def write(name, tensors, dequantized, quantization, beside=None):
    """The folder: `tensors` in place of the weights of which `dequantized` has the values."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    model = base()
    state = model.state_dict()
    stored = {k: v.bfloat16() for k, v in state.items() if k.removesuffix(".weight") not in dequantized}
    stored.update(tensors)
    save_file({k: v.contiguous() for k, v in stored.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    config = dict(CONFIG, torch_dtype="bfloat16")
    if quantization is not None:
        config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    for file, content in (beside or {}).items():
        (folder / file).write_text(json.dumps(content, indent=1) + "\n")
    expect(folder, model, {k + ".weight": v for k, v in dequantized.items()})


def expect(folder, model, weights):
    hashes = {}
    with torch.no_grad():
        parameters = dict(model.named_parameters())
        for name, values in weights.items():
            values = values.float().contiguous()
            parameters[name].copy_(values)
            hashes[name] = blake3.blake3((values + 0.0).numpy().tobytes()).hexdigest()  # zeros have no sign
        logits = model(IDS, use_cache=False).logits
    save_file({"input_ids": IDS, "logits": logits.contiguous()}, folder / "expected.safetensors", metadata=hashes)
    print(folder.name, sum(f.stat().st_size for f in folder.iterdir()))


# ---- GPTQ, AWQ: words of eight nibbles (or four bytes)

def pack(codes, bits, order=None):
    """[rows, n·32/bits] codes to [rows, n] int32 along the last dimension."""
    per = 32 // bits
    groups = codes.reshape(codes.shape[0], -1, per).to(torch.int64)
    groups = groups[:, :, order] if order else groups
    words = (groups << (bits * torch.arange(per))).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def grid(weight, size, bits, symmetric, groups=None):
    """Codes [out, in], scales and zero points [out, groups] by min and max of each group."""
    out, cols = weight.shape
    groups = torch.arange(cols) // size if groups is None else groups
    count, most = cols // size, 2**bits - 1
    scales, zeros = torch.zeros(out, count), torch.zeros(out, count, dtype=torch.int64)
    for g in range(count):
        part = weight[:, groups == g]
        low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        if symmetric:
            high = torch.maximum(-low, high)
            low = -high
        scales[:, g] = ((high - low) / most).half().float()
        zeros[:, g] = (most + 1) // 2 if symmetric else torch.round(-low / scales[:, g]).long()
    codes = torch.round(weight / scales[:, groups] + zeros[:, groups]).clamp(0, most).long()
    return codes, scales, zeros, groups, scales[:, groups] * (codes - zeros[:, groups]).float()


def gptq(name, bits=4, size=128, symmetric=True, version=1, scattered=False, legacy=False, in_file=False):
    tensors, dequantized = {}, {}
    for number, (n, w) in enumerate(linears(base()).items()):
        groups = None
        if scattered:
            order = torch.randperm(w.shape[1], generator=torch.Generator().manual_seed(number))
            groups = (torch.arange(w.shape[1]) // size)[order]
        codes, scales, zeros, groups, dequantized[n] = grid(w, size if size > 0 else w.shape[1], bits, symmetric, groups)
        if not symmetric:  # a zero point of 0 borrows from its neighbour in version 1
            zeros[3, 0] = 0
            dequantized[n] = scales[:, groups] * (codes - zeros[:, groups]).float()
        stored = pack(zeros.t(), bits).to(torch.int64)
        if version == 1:
            stored = stored - sum(1 << (bits * i) for i in range(32 // bits))
            stored = torch.where(stored < -(2**31), stored + 2**32, stored)
        tensors |= {f"{n}.qweight": pack(codes, bits).t(), f"{n}.qzeros": stored.to(torch.int32),
                    f"{n}.scales": scales.t().half(), f"{n}.g_idx": groups.to(torch.int32)}
    config = dict(quant_method="gptq", bits=bits, group_size=size, sym=symmetric, desc_act=scattered, lm_head=False)
    if not legacy:
        config |= dict(checkpoint_format="gptq_v2" if version == 2 else "gptq", pack_dtype="int32", meta={})
    config |= dict(damp_percent=0.01, true_sequential=True) if legacy else {}
    write(name, tensors, dequantized, None if in_file else config, {"quantize_config.json": config} if in_file else None)


def awq(name, size):
    tensors, dequantized = {}, {}
    for n, w in linears(base()).items():
        codes, scales, zeros, _, dequantized[n] = grid(w, size, 4, False)
        order = [0, 2, 4, 6, 1, 3, 5, 7]
        tensors |= {f"{n}.qweight": pack(codes.t(), 4, order), f"{n}.qzeros": pack(zeros.t(), 4, order),
                    f"{n}.scales": scales.t().half()}
    write(name, tensors, dequantized, dict(quant_method="awq", bits=4, group_size=size, version="gemm", zero_point=True))


# ---- bitsandbytes

def bnb4(name, kind, nested):
    import bitsandbytes.functional as F
    tensors, dequantized = {}, {}
    for n, w in linears(base()).items():
        codes, state = F.quantize_4bit(w.contiguous(), blocksize=64, compress_statistics=nested, quant_type=kind)
        dequantized[n] = F.dequantize_4bit(codes, state)
        state.dtype = torch.bfloat16
        tensors[f"{n}.weight"] = codes
        tensors |= {f"{n}.weight.{k}": v for k, v in state.as_dict(packed=True).items()}
    config = dict(quant_method="bitsandbytes", load_in_4bit=True, _load_in_4bit=True, load_in_8bit=False,
                  bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=nested, bnb_4bit_quant_storage="uint8",
                  llm_int8_threshold=6.0, llm_int8_skip_modules=None)
    write(name, tensors, dequantized, config)


def bnb8(name):
    import bitsandbytes.functional as F
    tensors, dequantized = {}, {}
    for n, w in linears(base()).items():
        codes, scb, _ = F.int8_vectorwise_quant(w.half())
        dequantized[n] = F.int8_vectorwise_dequant(codes, scb)
        tensors |= {f"{n}.weight": codes, f"{n}.SCB": scb, f"{n}.weight_format": torch.tensor(0, dtype=torch.uint8)}
    write(name, tensors, dequantized, dict(quant_method="bitsandbytes", load_in_8bit=True, llm_int8_threshold=6.0))


# ---- compressed-tensors

def ct(name, groups, fmt, kv=None):
    """`groups`: targets, format, arguments of the weights."""
    from compressed_tensors.compressors.base import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
    tensors, dequantized, config_groups = {}, {}, {}
    for number, (targets, form, args, chosen) in enumerate(groups):
        args = QuantizationArgs(**args)
        scheme = QuantizationScheme(targets=targets, weights=args, format=form)
        compressor = BaseCompressor.get_value_from_registry(form)
        config_groups[f"group_{number}"] = dict(targets=targets, format=form, input_activations=None,
                                                output_activations=None, weights=json.loads(args.model_dump_json()))
        for n, w in linears(base()).items():
            if not chosen(n):
                continue
            state = {"weight": w}
            rows, cols = w.shape
            if args.strategy == "block":
                h, b = args.block_structure
                blocks = torch.nn.functional.pad(w, (0, -cols % b, 0, -rows % h))
                blocks = blocks.reshape(-(-rows // h), h, -(-cols // b), b).transpose(1, 2).flatten(2)
                low, high = blocks.amin(-1), blocks.amax(-1)
            else:
                part = w.reshape(rows, -1, args.group_size) if args.group_size else w.reshape(rows, 1, cols)
                part = w.reshape(1, 1, -1) if args.strategy == "tensor" else part
                low, high = part.amin(-1), part.amax(-1)
            if args.strategy == "tensor_group" and form.startswith("nvfp4"):
                state["weight_global_scale"] = generate_gparam(w.min(), w.max()).reshape(1)
            scale, zero = calculate_qparams(low, high, args, global_scale=state.get("weight_global_scale"))
            scale = scale if args.num_bits == 4 and args.type == "float" else scale.bfloat16().float()
            state["weight_scale"] = scale.reshape(1) if args.strategy == "tensor" else scale
            if not args.symmetric:
                state["weight_zero_point"] = zero
            packed = compressor.compress(dict(state), scheme)
            if args.num_bits == 4 and args.type == "float":  # the library itself computes these in bf16
                from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
                codes = unpack_fp4_from_uint8(packed["weight_packed"], rows, cols).float()
                shared = packed["weight_scale"]
                shared = 2.0 ** (shared.float() - 127) if shared.dtype == torch.uint8 else shared.float()
                dequantized[n] = dequantize(codes, shared, args=args, global_scale=state.get("weight_global_scale"),
                                            dtype=torch.float32)
            else:
                dequantized[n] = compressor.decompress(dict(packed), scheme)["weight"].float()
                packed["weight_scale"] = packed["weight_scale"].bfloat16()
            tensors |= {f"{n}.{k}": v for k, v in packed.items()}
    config = dict(quant_method="compressed-tensors", format=fmt, quantization_status="compressed", ignore=["lm_head"],
                  config_groups=config_groups, kv_cache_scheme=kv, sparsity_config={}, transform_config={}, version="0.20.1")
    write(name, tensors, dequantized, config)


def int_args(bits, group=None, symmetric=True):
    return dict(num_bits=bits, type="int", symmetric=symmetric, group_size=group, strategy="group" if group else "channel")


ALL = lambda n: True


# ---- fp8 of vLLM, Hugging Face, fbgemm and ModelOpt; NVFP4 of ModelOpt

def fp8(name, sharing, config, beside=None, inputs=False, block=64):
    tensors, dequantized = {}, {}
    for n, w in linears(base()).items():
        rows, cols = w.shape
        if sharing == "block":
            scales = torch.stack([torch.stack([w[r:r + block, c:c + block].abs().amax() for c in range(0, cols, block)])
                                  for r in range(0, rows, block)]) / 448
            each = scales.repeat_interleave(block, 0)[:rows].repeat_interleave(block, 1)[:, :cols]
        else:
            scales = (w.abs().amax() if sharing == "tensor" else w.abs().amax(1, keepdim=True)) / 448
            each = scales
        codes = (w / each).clamp(-448, 448).to(torch.float8_e4m3fn)
        dequantized[n] = codes.float() * each
        tensors |= {f"{n}.weight": codes, f"{n}.{'weight_scale_inv' if sharing == 'block' else 'weight_scale'}": scales}
        if inputs:
            tensors[f"{n}.input_scale"] = torch.tensor(0.02)
        if inputs and n.endswith(("k_proj", "v_proj")):
            tensors[f"{n}.{n[-6]}_scale"] = torch.tensor(0.03 if n.endswith("k_proj") else 0.0125)
    write(name, tensors, dequantized, config, beside)


def modelopt_nvfp4(name):
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    tensors, dequantized = {}, {}
    for n, w in linears(base()).items():
        rows, cols = w.shape
        whole = w.abs().amax() / (6 * 448)
        groups = w.reshape(rows, -1, 16)
        scales = (groups.abs().amax(-1) / 6 / whole).to(torch.float8_e4m3fn)
        each = scales.float() * whole
        codes = (groups.abs() / each[..., None]).sub(0).unsqueeze(-1).sub(values).abs().argmin(-1)
        codes = (codes + 8 * (groups < 0)).reshape(rows, cols)
        signed = torch.cat([values, -values])
        dequantized[n] = (signed[codes].reshape(rows, -1, 16) * each[..., None]).reshape(rows, cols)
        tensors |= {f"{n}.weight": (codes[:, ::2] + 16 * codes[:, 1::2]).to(torch.uint8), f"{n}.weight_scale": scales,
                    f"{n}.weight_scale_2": whole, f"{n}.input_scale": torch.tensor(0.02)}
    write(name, tensors, dequantized, dict(quant_method="modelopt", quant_algo="NVFP4", ignore=["lm_head"]))


# ---- GGUF

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def bpe():
    """Tokens of a byte-level tokenizer: a few merges over some letters."""
    letters = ["h", "e", "l", "o", "w", "r", "d", "\u0120", "1", "2", "3", "!"]
    merges = ["h e", "l l", "he ll", "hell o", "\u0120 w", "o r"]
    tokens = ["<unk>", "<s>", "</s>"] + letters + [m.replace(" ", "") for m in merges]
    return tokens, [3] * 3 + [1] * (len(tokens) - 3), merges


def spm():
    """Tokens of a sentencepiece tokenizer: bytes, letters and pieces with scores."""
    pieces = ["\u2581", "h", "e", "l", "o", "w", "he", "ll", "hell", "hello", "\u2581hello", "\u2581w", "lo"]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(0x20, 0x50)] + pieces
    scores = [0.0] * (len(tokens) - len(pieces)) + [-float(i) for i in range(len(pieces))]
    return tokens, [2, 3, 3] + [6] * 48 + [1] * len(pieces), scores


def gguf_model(name, kind, sentencepiece=False, llama3=None, arch="llama", **keys):
    import gguf
    from gguf.quants import dequantize, quantize
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    model, theta = base(arch, **keys), 10000.0
    w = gguf.GGUFWriter(folder / "model.gguf", arch)
    w.add_block_count(model.config.num_hidden_layers), w.add_context_length(128), w.add_embedding_length(128), w.add_feed_forward_length(128)
    w.add_head_count(2), w.add_head_count_kv(1), w.add_layer_norm_rms_eps(1e-5), w.add_rope_freq_base(theta)
    w.add_rope_dimension_count(64), w.add_vocab_size(64)
    if arch in ("qwen2", "qwen3"):
        w.add_key_length(64), w.add_value_length(64)
    if arch == "granite":
        w.add_attention_scale(keys["attention_multiplier"]), w.add_embedding_scale(keys["embedding_multiplier"])
        w.add_residual_scale(keys["residual_multiplier"]), w.add_logit_scale(keys["logits_scaling"])
    if sentencepiece:
        tokens, kinds, scores = spm()
        w.add_tokenizer_model("llama"), w.add_token_scores(scores)
    else:
        tokens, kinds, merges = bpe()
        w.add_tokenizer_model("gpt2"), w.add_tokenizer_pre("llama-bpe"), w.add_token_merges(merges)
    w.add_token_list(tokens), w.add_token_types(kinds), w.add_bos_token_id(1), w.add_eos_token_id(2)
    w.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    if llama3:
        i = torch.arange(32, dtype=torch.float64)
        turns = 8192 * theta ** (-2 * i / 64) / (2 * torch.pi)
        kept = ((turns - 1) / 3).clamp(0, 1)
        w.add_tensor("rope_freqs.weight", (1 / ((1 - kept) / llama3 + kept)).float().numpy())
        config = LlamaConfig(**{k: v for k, v in CONFIG.items() if k != "rope_theta"}, rope_parameters=dict(
            rope_type="llama3", rope_theta=theta, factor=llama3, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=8192))
        longer = LlamaForCausalLM(config).eval()
        longer.load_state_dict(model.state_dict())
        model = longer
    weights = {}
    for full, x in model.state_dict().items():
        module, part = full.rsplit(".", 1)
        if module in OUTER:
            stored = OUTER[module]
        else:
            _, _, layer, *rest = module.split(".")
            stored = f"blk.{layer}.{NAMES['.'.join(rest)]}"
        a = x
        turned = not arch.startswith("qwen") and full.endswith(("q_proj.weight", "k_proj.weight"))
        if turned:  # llama.cpp rotates neighbours
            a = x.reshape(x.shape[0] // 64, 2, 32, -1).transpose(1, 2).reshape(x.shape)
        if x.dim() == 1 or module == "lm_head":
            w.add_tensor(f"{stored}.{part}", a.float().numpy())
            continue
        kind = gguf.GGMLQuantizationType(kind)
        blocks = quantize(a.float().numpy(), kind)
        w.add_tensor(stored + ".weight", blocks, raw_dtype=kind)
        values = torch.from_numpy(dequantize(blocks, kind).copy())
        if turned:
            values = values.reshape(x.shape[0] // 64, 32, 2, -1).transpose(1, 2).reshape(x.shape)
        weights[full] = values
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()
    expect(folder, model, weights)


def gguf_blocks(name):
    """Four random blocks of each type, and what gguf-py makes of them: the bytes, then the f32 values."""
    import gguf, numpy as np
    from gguf.quants import dequantize
    random, tensors = np.random.default_rng(15), {}
    for kind, (weights, size) in gguf.GGML_QUANT_SIZES.items():
        blocks = random.integers(0, 256, (4, size), dtype=np.uint8)
        try:
            if size < 2:
                continue
            blocks = with_small_scales(blocks, kind.name)
            values = dequantize(blocks.reshape(1, -1), kind)
        except NotImplementedError:
            continue
        assert np.isfinite(values).all(), kind
        tensors |= {f"{kind.name}.bytes": torch.from_numpy(blocks.reshape(-1)),
                    f"{kind.name}.values": torch.from_numpy(values.reshape(-1).astype(np.float32))}
    save_file(tensors, HERE / name)
    print(name, sorted(k[:-6] for k in tensors if k.endswith("bytes")))


def with_small_scales(blocks, kind):
    """The blocks with f16 scales that are finite numbers."""
    import numpy as np
    at = {"Q2_K": [80, 82], "Q3_K": [108], "Q6_K": [208], "TQ1_0": [52], "TQ2_0": [64], "Q4_1": [0, 2], "Q5_1": [0, 2],
          "Q4_K": [0, 2], "Q5_K": [0, 2]}.get(kind, [0])
    blocks = blocks.copy()
    if kind == "F32":
        blocks[:] = np.array([[0.5], [-3.25], [1e-30], [7.0]], dtype=np.float32).view(np.uint8)
    elif kind == "BF16":
        blocks[:, 1] = [0x3f, 0xbf, 0x40, 0x00]
    elif kind == "MXFP4":
        blocks[:, 0] = [120, 127, 1, 0]
    elif kind == "IQ1_M":
        blocks[:, 55] = blocks[:, 55] & 0x0f | 0x20  # the scale's highest nibble
    elif kind != "NVFP4":
        for place in at:
            blocks[:, place + 1] = blocks[:, place + 1] & 0x80 | 0x21
    return blocks


HF_QUANT = dict(producer=dict(name="modelopt", version="0.47.0"),
                quantization=dict(quant_algo="FP8", kv_cache_quant_algo="FP8", exclude_modules=["lm_head"]))
MAKERS = {
    "gptq-g128": lambda n: gptq(n),
    "gptq-g32-legacy": lambda n: gptq(n, size=32, legacy=True),
    "gptq-g64-asym": lambda n: gptq(n, size=64, symmetric=False, in_file=True),
    "gptq-v2-g64-asym": lambda n: gptq(n, size=64, symmetric=False, version=2),
    "gptq-g64-act-order": lambda n: gptq(n, size=64, scattered=True),
    "gptq-8bit-channel": lambda n: gptq(n, bits=8, size=-1),
    "awq-g64": lambda n: awq(n, 64),
    "bnb-nf4": lambda n: bnb4(n, "nf4", False),
    "bnb-nf4-dq": lambda n: bnb4(n, "nf4", True),
    "bnb-fp4-dq": lambda n: bnb4(n, "fp4", True),
    "bnb-int8": bnb8,
    "ct-int4-g128": lambda n: ct(n, [(["Linear"], "pack-quantized", int_args(4, 128), ALL)], "pack-quantized"),
    "ct-int4-g32-asym": lambda n: ct(n, [(["Linear"], "pack-quantized", int_args(4, 32, False), ALL)], "pack-quantized"),
    "ct-int5-g32": lambda n: ct(n, [(["Linear"], "pack-quantized", int_args(5, 32), ALL)], "pack-quantized"),
    "ct-int8-g128": lambda n: ct(n, [(["Linear"], "pack-quantized", int_args(8, 128), ALL)], "pack-quantized"),
    "ct-int8-channel": lambda n: ct(n, [(["Linear"], "int-quantized", int_args(8), ALL)], "int-quantized"),
    "ct-fp8-block": lambda n: ct(n, [(["Linear"], "float-quantized", dict(
        num_bits=8, type="float", symmetric=True, strategy="block", block_structure=[64, 64]), ALL)], "float-quantized"),
    "ct-mixed": lambda n: ct(n, [
        (["re:.*self_attn.(q|k|v|o)_proj$"], "float-quantized", dict(num_bits=8, type="float", symmetric=True,
         strategy="channel"), lambda n: "self_attn" in n),
        (["model.layers.0.mlp.down_proj"], "float-quantized", dict(num_bits=8, type="float", symmetric=True,
         strategy="tensor"), lambda n: "down" in n),
        (["Linear"], "pack-quantized", int_args(4, 64), lambda n: "mlp" in n and "down" not in n)], "mixed-precision"),
    "ct-nvfp4": lambda n: ct(n, [(["Linear"], "nvfp4-pack-quantized", dict(
        num_bits=4, type="float", symmetric=True, strategy="tensor_group", group_size=16,
        scale_dtype="torch.float8_e4m3fn"), ALL)], "nvfp4-pack-quantized"),
    "ct-mxfp4": lambda n: ct(n, [(["Linear"], "mxfp4-pack-quantized", dict(
        num_bits=4, type="float", symmetric=True, strategy="group", group_size=32, scale_dtype="torch.uint8",
        ), ALL)], "mxfp4-pack-quantized"),
    "vllm-fp8": lambda n: fp8(n, "tensor", dict(quant_method="fp8", activation_scheme="static", ignored_layers=["lm_head"]),
                              inputs=True),
    "hf-fp8-block": lambda n: fp8(n, "block", dict(quant_method="fp8", activation_scheme="dynamic", fmt="e4m3",
                                                   weight_block_size=[96, 96], modules_to_not_convert=None), block=96),
    "fbgemm-fp8": lambda n: fp8(n, "row", dict(quant_method="fbgemm_fp8", activation_scale_ub=1200.0,
                                               modules_to_not_convert=["lm_head"])),
    "modelopt-fp8": lambda n: fp8(n, "tensor", None, {"hf_quant_config.json": HF_QUANT}, inputs=True),
    "modelopt-nvfp4": modelopt_nvfp4,
    "gguf-q4_0": lambda n: gguf_model(n, 2),
    "gguf-q8_0-spm": lambda n: gguf_model(n, 8, sentencepiece=True),
    "gguf-q5_1-llama3": lambda n: gguf_model(n, 7, llama3=8.0),
    "gguf-qwen2": lambda n: gguf_model(n, 8, arch="qwen2"),
    "gguf-qwen3": lambda n: gguf_model(n, 2, arch="qwen3"),
    "gguf-granite": lambda n: gguf_model(n, 8, arch="granite", embedding_multiplier=1.5, attention_multiplier=0.25,
                                         residual_multiplier=0.5, logits_scaling=2.0),
    "gguf-smollm3": lambda n: gguf_model(n, 2, arch="smollm3", num_hidden_layers=4, pad_token_id=0),
    "gguf-blocks.safetensors": gguf_blocks,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name](name)
