"""Writes added.json: token ids by transformers for tokenizers whose added tokens stand in several files.

Run:  pip install transformers==5.24.0
      python3 testdata/tokenizers/make_added.py
"""

import json
import pathlib
import tempfile

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer


def token(content, **flags):
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {"content": content, **plain, **flags}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
NAMED = ["<unk>", "<s>", "</s>"]
VOCABULARY = [*NAMED, *sorted(pre_tokenizers.ByteLevel.alphabet())]
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [{"id": id, **token(content)} for id, content in enumerate(NAMED)],
    "normalizer": None,
    "pre_tokenizer": BYTES,
    "post_processor": None,
    "decoder": BYTES,
    "model": {"type": "BPE", "vocab": {text: id for id, text in enumerate(VOCABULARY)}, "merges": []},
}
DECODER = {str(id): token(content) for id, content in enumerate(NAMED)}
SETTINGS, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
CASES = {
    "two in the decoder": {
        SETTINGS: {"added_tokens_decoder": {**DECODER, "259": token("<|a|>"), "260": token("<|b|>", special=False, lstrip=True)}}
    },
    "other flags in the decoder": {SETTINGS: {"added_tokens_decoder": {**DECODER, "2": token("</s>", lstrip=True, rstrip=True)}}},
    "ids with gaps, out of order": {SETTINGS: {"added_tokens_decoder": {**DECODER, "300": token("<|z|>"), "270": token("<|y|>")}}},
    "added_tokens.json": {SETTINGS: {}, ADDED: {"<|a|>": 259, "<|b|>": 260}},
    "added_tokens.json, one named": {SETTINGS: {"eos_token": "<|b|>"}, ADDED: {"<|b|>": 260, "<|a|>": 259}},
    "the map": {
        SETTINGS: {},
        MAP: {"bos_token": "<s>", "eos_token": {"content": "<|b|>", "lstrip": True}, "additional_special_tokens": ["<|a|>"]},
    },
    "the map beside a decoder": {
        SETTINGS: {"added_tokens_decoder": DECODER},
        MAP: {"eos_token": "<|b|>", "additional_special_tokens": ["<|a|>"]},
    },
    "a list of extra tokens": {SETTINGS: {"added_tokens_decoder": DECODER, "extra_special_tokens": ["<|a|>", "<|b|>"]}},
    "extra tokens by name": {SETTINGS: {"added_tokens_decoder": DECODER, "extra_special_tokens": {"image_token": "<|a|>"}}},
    "additional tokens": {SETTINGS: {"additional_special_tokens": ["<|b|>", "<|a|>"]}},
    "a token for padding": {SETTINGS: {"pad_token": "<|b|>", "unk_token": "<unk>"}},
    "a name of its own": {SETTINGS: {"image_token": "<|a|>", "pad_token": "<|b|>"}},
    "named and in the decoder": {
        SETTINGS: {
            "added_tokens_decoder": {**DECODER, "259": token("<|a|>", special=False)},
            "eos_token": "<|a|>",
            "pad_token": "<|b|>",
        }
    },
    "all in tokenizer.json": {SETTINGS: {"added_tokens_decoder": DECODER, "eos_token": "</s>"}, MAP: {"eos_token": "</s>"}},
}
TEXTS = ["<|a|>hi<|b|> <|a|>", "x </s> y", "<|b|>  <|y|><|z|>", " <|b|> </s>"]


def main():
    cases = []
    for name, files in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "config.json").write_text('{"model_type": "llama"}')
            (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
            for file, content in files.items():
                # The class that follows tokenizer.json; others put parts of their own in place of it.
                own = {"tokenizer_class": "PreTrainedTokenizerFast"} if file == SETTINGS else {}
                (folder / file).write_text(json.dumps({**own, **content}))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            ids = {text: tokenizer.encode(text) for text in TEXTS}
            cases.append({"name": name, "files": files, "ids": ids})
    path = pathlib.Path(__file__).with_name("added.json")
    path.write_text(json.dumps({"tokenizer": TOKENIZER, "cases": cases}, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
