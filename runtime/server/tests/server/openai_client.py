"""What OpenAI's client for Python makes of the server: answers, streams, errors, retries, and going away."""

import json
import re
import sys
import threading
import time
import urllib.request

import openai

URL, NARROW, TOOLS = sys.argv[1:]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="sesame", max_retries=0)
hello = [{"role": "user", "content": "Hello there"}]


def metric(url, name):
    page = urllib.request.urlopen(f"{url}/metrics").read().decode()
    lines = [line for line in page.splitlines() if line.startswith((name + " ", name + "{"))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def refused(kind, **more):
    try:
        client.chat.completions.create(**{"model": "tiny", "messages": hello, **more})
    except kind as error:
        return error
    raise AssertionError(f"{more} was answered")


def answers():
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").object == "model"
    whole = client.chat.completions.create(
        model="tiny", messages=hello, seed=7, max_completion_tokens=12, n=2, logprobs=True, top_logprobs=2, user="me"
    )
    assert whole.system_fingerprint.startswith("blake3:") and len(whole.choices) == 2
    for choice in whole.choices:
        assert choice.message.role == "assistant" and choice.finish_reason in ("stop", "length")
        for token in choice.logprobs.content:
            assert token.logprob <= 0 and len(token.top_logprobs) == 2 and token.bytes is not None
            assert bytes(token.bytes).decode(errors="replace") == token.token
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.usage.prompt_tokens_details.cached_tokens is not None
    text = client.completions.create(model="tiny", prompt="The parser reads", max_tokens=5, echo=True, logprobs=1)
    assert text.choices[0].text.startswith("The parser reads")
    assert len(text.choices[0].logprobs.tokens) == len(text.choices[0].logprobs.text_offset)


def streams():
    asked = dict(model="tiny", messages=hello, seed=7, max_tokens=20)
    whole = client.chat.completions.create(**asked)
    events = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    pieces = [c.delta.content for event in events for c in event.choices if c.delta.content]
    assert "".join(pieces) == whole.choices[0].message.content
    assert events[0].choices[0].delta.role == "assistant"
    assert events[-1].choices == [] and events[-1].usage.completion_tokens == whole.usage.completion_tokens
    with client.chat.completions.stream(**asked) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
    assert "".join(pieces) == whole.choices[0].message.content


def forms():
    schema = {
        "type": "object",
        "required": ["name", "age"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    }
    asked = dict(model="tiny", messages=hello, max_tokens=150)
    for seed in range(5):
        form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": schema}}
        answer = client.chat.completions.create(**asked, seed=seed, response_format=form).choices[0]
        assert answer.finish_reason == "stop", answer
        person = json.loads(answer.message.content)
        assert list(person) == ["name", "age"] and isinstance(person["age"], int), person
        events = client.chat.completions.create(**asked, seed=seed, response_format=form, stream=True)
        assert "".join(e.choices[0].delta.content or "" for e in events) == answer.message.content
    outputs = {"structured_outputs": {"choice": ["yes", "no"]}}
    said = client.chat.completions.create(**asked, extra_body=outputs).choices[0].message.content
    assert said in ("yes", "no"), said
    outputs = {"structured_outputs": {"regex": "[0-9]{3}-[0-9]{4}"}}
    said = client.chat.completions.create(**asked, extra_body=outputs).choices[0].message.content
    assert re.fullmatch("[0-9]{3}-[0-9]{4}", said), said
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "integer", "minimum": 3}}}
    assert "minimum" in refused(openai.BadRequestError, response_format=wrong).message


def tools():
    """Calls that must come, streamed and whole, and what is made of their results."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 8}},
        "required": ["city"],
        "additionalProperties": False,
    }
    weather = {"type": "function", "function": {"name": "weather", "strict": True, "parameters": schema}}
    caller = openai.OpenAI(base_url=f"{TOOLS}/v1", api_key="-", max_retries=0)
    asked = dict(model=None, messages=hello, tools=[weather], tool_choice="required", max_tokens=200, seed=5)
    answer = caller.chat.completions.create(**asked, parallel_tool_calls=False).choices[0]
    (call,) = answer.message.tool_calls
    assert answer.finish_reason == "tool_calls" and answer.message.content is None
    assert call.function.name == "weather" and list(json.loads(call.function.arguments)) == ["city"], call
    with caller.chat.completions.stream(**asked, parallel_tool_calls=False) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        (streamed,) = stream.get_final_completion().choices[0].message.tool_calls
    assert streamed.function.arguments == call.function.arguments == done[0].arguments
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    later = hello + [answer.message.model_dump(), result]
    said = caller.chat.completions.create(**{**asked, "messages": later, "tool_choice": "auto", "max_tokens": 8})
    assert said.usage.prompt_tokens > 40, said


def errors():
    assert refused(openai.BadRequestError, temperature=9).param == "temperature"
    assert refused(openai.BadRequestError, extra_body={"nonsense": 1}).param == "nonsense"
    assert refused(openai.BadRequestError, max_tokens=10**6).code == "context_length_exceeded"
    assert refused(openai.NotFoundError, model="gpt-9").code == "model_not_found"
    stranger = openai.OpenAI(base_url=f"{URL}/v1", api_key="wrong", max_retries=0)
    try:
        stranger.models.list()
        raise AssertionError("a stranger was let in")
    except openai.AuthenticationError:
        pass


def going_away():
    stream = client.completions.create(
        model="tiny", prompt="a", max_tokens=1900, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    assert metric(URL, "samp_requests_running") == 1
    stream.close()
    deadline = time.monotonic() + 5
    while metric(URL, "samp_requests_running") > 0:
        assert time.monotonic() < deadline, "it goes on for nobody"


def retries():
    """A full queue says when to come again, and the client does."""
    asked = dict(model=None, prompt="a", max_tokens=400, extra_body={"ignore_eos": True})
    patient = openai.OpenAI(base_url=f"{NARROW}/v1", api_key="-", max_retries=8)
    busy = [threading.Thread(target=lambda: patient.completions.create(**asked)) for _ in range(2)]
    for thread in busy:
        thread.start()
    while metric(NARROW, "samp_requests_running") + metric(NARROW, "samp_requests_waiting") < 2:
        time.sleep(0.002)
    impatient = openai.OpenAI(base_url=f"{NARROW}/v1", api_key="-", max_retries=0)
    began = time.monotonic()
    try:
        impatient.completions.create(**asked)
        raise AssertionError("the queue was not full")
    except openai.RateLimitError as error:
        assert error.code == "queue_full" and int(error.response.headers["retry-after"]) >= 1
    assert time.monotonic() - began < 0.5
    began = time.monotonic()
    assert patient.completions.create(**asked).usage.completion_tokens == 400
    assert time.monotonic() - began >= 1, "the client waits as long as it is told"
    for thread in busy:
        thread.join()


for check in (answers, streams, forms, tools, errors, going_away, retries):
    check()
    print(check.__name__)
print("all passed")
