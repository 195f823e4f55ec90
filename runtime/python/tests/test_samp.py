"""The package on a plan of the shipped checkpoint, whose folder `SAMP_PLAN` names."""

import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest
import samp

PLAN = os.environ["SAMP_PLAN"]
PROMPT = "The parser reads"


@pytest.fixture(scope="module")
def model():
    return samp.load(PLAN, threads=2, kv_tokens=2048)


def test_a_result_has_text_tokens_and_a_reason(model):
    result = model.generate(PROMPT, max_tokens=12)
    assert isinstance(result, samp.Generated)
    assert str(result) == result.text != ""
    assert (len(result.tokens), result.finish) == (12, "length")
    assert result.prompt_tokens == len(model.encode(PROMPT))
    assert model.decode(result.tokens) == result.text
    assert "length" in repr(result)


def test_a_stream_gives_the_same_text_in_pieces(model):
    whole = model.generate(PROMPT, max_tokens=12)
    with model.generate(PROMPT, max_tokens=12, stream=True) as stream:
        pieces = list(stream)
    assert len(pieces) > 1 and all(pieces)
    assert "".join(pieces) == whole.text
    assert (stream.tokens, stream.finish) == (whole.tokens, "length")
    left = model.generate(PROMPT, stream=True)
    next(left)
    left.close()
    assert list(left) == []


def test_a_seed_repeats_and_another_differs(model):
    def text(seed):
        return model.generate(PROMPT, max_tokens=16, temperature=1.0, seed=seed).text

    assert text(3) == text(3) != text(4)


def test_conversations_and_tokens_are_prompts(model):
    messages = [{"role": "user", "content": "Hello"}]
    tokens = model.encode(messages)
    assert model.generate(messages, max_tokens=8).tokens == model.generate(tokens, max_tokens=8).tokens
    with pytest.raises(TypeError, match="role"):
        model.generate([{"role": "user"}])
    with pytest.raises(TypeError, match="a prompt is"):
        model.generate(7)


def test_logits_are_those_that_greedy_tokens_are_chosen_by(model):
    result = model.generate(PROMPT, max_tokens=8, ignore_eos=True)
    tokens = model.encode(PROMPT) + result.tokens
    logits = model.logits(tokens)
    assert (logits.shape, logits.dtype) == ((len(tokens), model.vocab_size), np.float32)
    assert logits.flags.writeable and np.isfinite(logits).all()
    assert logits.argmax(axis=1)[result.prompt_tokens - 1 : -1].tolist() == result.tokens


def test_threads_share_a_model_and_run_while_it_computes(model):
    expected = [model.generate(PROMPT, max_tokens=24, temperature=1.0, seed=n).tokens for n in range(4)]
    found = [None] * 4

    def work(n):
        found[n] = model.generate(PROMPT, max_tokens=24, temperature=1.0, seed=n).tokens

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_what_is_wrong_is_an_exception_that_says_so(model):
    with pytest.raises(samp.SampError, match="/no/such/plan") as missing:
        samp.load("/no/such/plan")
    assert isinstance(missing.value, RuntimeError)
    assert missing.value.code.startswith("E13")
    with pytest.raises(samp.SampError, match="abacus"):
        samp.load(PLAN, device="abacus")
    with pytest.raises(samp.SampError, match=model.digest) as other:
        samp.load(PLAN, digest="0" * 64)
    assert other.value.code == "E1402"
    with pytest.raises(samp.SampError, match="temperature"):
        model.generate(PROMPT, temperature=-1.0)
    with pytest.raises(samp.SampError, match="vocabulary"):
        model.logits([model.vocab_size])
    assert samp.load(pathlib.Path(PLAN), digest=model.digest).max_context == model.max_context


def test_a_forked_child_loads_the_plan_anew():
    child = """
import os, sys, samp
model = samp.load(sys.argv[1], kv_tokens=256)
expected = model.generate("a", max_tokens=2).text
pid = os.fork()
if pid == 0:
    try:
        model.generate("a", max_tokens=2)
        os._exit(1)
    except samp.SampError as error:
        again = samp.load(sys.argv[1], kv_tokens=256).generate("a", max_tokens=2).text
        os._exit(0 if "fork" in str(error) and again == expected else 2)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", child, PLAN], check=True, timeout=120)


def test_ctrl_c_ends_an_answer(model):
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), 2))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            model.generate(PROMPT, max_tokens=200, ignore_eos=True)
    assert model.generate(PROMPT, max_tokens=2).tokens


def test_the_package_is_typed_and_says_its_version():
    folder = pathlib.Path(samp.__file__).parent
    assert (folder / "py.typed").exists() and (folder / "__init__.pyi").exists()
    assert samp.__version__.count(".") == 2
    for name in samp.__all__:
        assert getattr(samp, name).__doc__, name
