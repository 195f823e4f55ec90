"""Chat templates in the idioms that public checkpoints use, and what transformers renders of them.

Writes idioms.json beside this script: templates of this project's own writing, the conversations that they are run on, and
the texts that transformers' apply_chat_template gives, with strftime_now at samp's fixed date. The test reads that file and
needs no Python. Run again after a change: python make_idioms.py (transformers 5, jinja2, tokenizers).
"""
import datetime, json, pathlib, tempfile

import transformers.utils.chat_template_utils as chat_templates
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


chat_templates.datetime = Fixed

HI = [{"role": "user", "content": "hi there"}]
TALK = [
    {"role": "system", "content": "  You are terse.\n"},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "<think>two and two</think>\n\n4"},
    {"role": "user", "content": "Und auf Deutsch — \"vier\"? <b>&amp;</b> 'ja'\tend"},
]
PARTS = [
    {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image"}, {"type": "text", "text": " what?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
]
CALLS = [
    {"role": "user", "content": "Weather in Zürich?"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call00001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2, "metric": True, "at": None, "ratio": 0.5}}}]},
    {"role": "tool", "tool_call_id": "call00001", "name": "weather", "content": "{\"t\": 21}"},
    {"role": "assistant", "content": "21 degrees.", "reasoning_content": "The tool says 21."},
]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather of a city", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "Name of the city"}, "days": {"type": "integer", "default": 1},
        "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time \u2014 now", "parameters": {"type": "object", "properties": {}}}},
]
ALL = [HI, TALK, PARTS, CALLS]
TEXTS = [HI, TALK]

# name, template, conversations, further arguments
IDIOMS = []


def idiom(name, template, conversations=TEXTS, **variables):
    IDIOMS.append((name, template, conversations, variables))


idiom("roles between markers", "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
idiom("headers and trimmed content", "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}")
idiom("system message taken out", "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
idiom("white-space control", "{%- for m in messages -%}\n    {%- if m.role == 'user' -%}\n  U: {{ m.content -}}\n    {%- else %}\n  X: {{- m.content }}\n    {%- endif %}\n\n{% endfor -%}\nend")
idiom("lstrip and trim of blocks", "  {% for m in messages %}\n    {{ m.role }}:\n    {% if loop.last %}\n  last\n    {% endif %}\n{% endfor %}\n")
idiom("plus keeps white space", "a\n  {%+ if true %}b{% endif +%}\n c {# note #}\nd\n")
idiom("carriage returns", "{{ bos_token }}\r\n{% for m in messages %}\r\n{{ m.content }}\r\n{% endfor %}\r\nend\r\n")
idiom("namespace over a loop", "{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.found = true %}{% set ns.n = ns.n + 1 %}{% endif %}{% endfor %}{{ ns.found }} {{ ns.n }}")
idiom("generation tag", "{% for m in messages %}{%- if m.role == 'assistant' -%}\n{%- generation -%}\n  {{ m.content }}\n{%- endgeneration -%}\n{% else %}{{ m.content }}{% endif %}|{% endfor %}")
idiom("generation tag that sets", "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}")
idiom("strftime_now bare", "{%- set today = strftime_now('%Y-%m-%d') %}{{ today }} {{ strftime_now('%d %b %Y') }} {{ strftime_now(\"%A, %B %-d\") }}")
idiom("strftime_now if defined", "{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now(\"%d %b %Y\") %}{%- else %}{%- set date_string = \"26 Jul 2024\" %}{%- endif %}{%- endif %}Today Date: {{ date_string }}")
idiom("parts or text by string test", "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% elif p['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endif %}\n{% endfor %}", [HI, PARTS])
idiom("parts by sequence test", "{% for m in messages %}{{ m.content is sequence }} {{ m.content is iterable }} {{ m.content is mapping }} {{ m is sequence }} {{ m is mapping }} {{ 1 is sequence }} {{ none is sequence }} {{ nothing is sequence }};{% endfor %}", [HI, PARTS])
idiom("parts by iterable and not string", "{% for m in messages %}{% if m['content'] is iterable and m['content'] is not string %}{{ m['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join('|') }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}", [HI, PARTS])
idiom("content indexed", "{{ messages[0]['content'][0]['text'] }}{{ messages[-1]['role'] }}{{ messages[0].content[0:3] }}", [PARTS])
idiom("macro for content", "{% macro render_content(content) -%}{%- if content is string -%}{{ content }}{%- else -%}{%- for item in content -%}{%- if 'text' in item -%}{{ item.text }}{%- else -%}[{{ item.type }}]{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro %}{% for m in messages %}{{ render_content(m.content) | trim }}/{% endfor %}", [HI, PARTS])
idiom("macro with defaults and a call", "{% macro box(title, width=3) %}[{{ title }}:{{ width }}{{ caller() if caller else '' }}]{% endmacro %}{{ box('a') }}{{ box('b', width=5) }}{% call box('c') %}inner{% endcall %}", [HI])
idiom("recursive macro for schemas", "{%- macro shape(s, d) -%}{%- if s.type == 'object' -%}{ {%- for k, v in s.properties.items() -%}{{ k }}{{ '?' if k not in (s.required or []) else '' }}: {{ shape(v, d + 1) }}{{ ', ' if not loop.last }}{%- endfor -%} }{%- elif s.enum is defined -%}{{ s.enum | join(' | ') }}{%- else -%}{{ s.type }}{%- endif -%}{%- endmacro -%}{%- for t in tools -%}{{ t.function.name }}({{ shape(t.function.parameters, 0) }})\n{% endfor %}", [CALLS], tools=TOOLS)
idiom("tools as JSON", "{% if tools %}{{ tools | tojson }}{% endif %}{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}", [HI], tools=TOOLS)
idiom("tools as indented JSON", "{% for tool in tools %}{{ tool | tojson(indent=4) }}\n\n{% endfor %}{{ tools | tojson(indent=2) | indent(2) }}", [HI], tools=TOOLS)
idiom("tools that are null", "{{ tools is none }} {{ tools is defined }} {{ not tools }} {{ documents is none }} {% if tools is not none %}x{% endif %}", [HI])
idiom("options of tojson", "{{ messages | tojson(ensure_ascii=True) }}\n{{ messages | tojson(ensure_ascii=False, separators=(',', ':')) }}\n{{ {'b': 1, 'a': [1.0, 1e20, 1e-7, true, none, 12345678901234567890], 'ü': {}} | tojson(sort_keys=true) }}\n{{ [] | tojson(indent=1) }}{{ [[], {}] | tojson(indent=1) }}", [TALK])
idiom("JSON of characters", "{{ text | tojson }}{{ text | tojson(ensure_ascii=true) }}", [HI], text="\u0000\u001f\u007f\u0080\u2028😀\\/\"<>&'\b\f\n\r\t")
idiom("tool calls", "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for tc in m.tool_calls %}<tool_call>\n{\"name\": \"{{ tc.function.name }}\", \"arguments\": {{ tc.function.arguments | tojson }}}\n</tool_call>{% endfor %}{% elif m.role == 'tool' %}<tool_response>{{ m.content }}</tool_response>{% else %}{{ m.content }}{% endif %}{% endfor %}", [CALLS])
idiom("tool call taken apart", "{% for m in messages if m.tool_calls %}{% set tool_call = m.tool_calls[0] %}{% if tool_call.function is defined %}{% set tool_call = tool_call.function %}{% endif %}{{ tool_call.name }}({% for k, v in tool_call.arguments.items() %}{{ k }}={{ v if v is string else v | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}) {{ m.tool_calls | length }}{% endfor %}", [CALLS])
idiom("content that is null", "{% for m in messages %}{{ m.content is defined }}:{{ m.content }}:{{ 'content' in m }}:{{ m.get('content') }}:{{ m['tool_call_id'] }}:{{ m.name | default('-') }};{% endfor %}", [CALLS])
idiom("reasoning by its names", "{% for m in messages %}{{ m.reasoning_content }}|{{ m.thinking }}|{{ m.reasoning is defined }};{% endfor %}", [CALLS])
idiom("thinking cut off", "{% for message in messages %}{% set content = message.content %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{ content }};{% endfor %}")
idiom("thinking kept in the last turn", "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == \"user\" and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}{{ ns.last_query_index }}{%- for message in messages %}{%- if message.role == 'assistant' %}{%- set reasoning = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}[{{ reasoning }}]{%- endif %}{%- endfor %}")
idiom("a variable of the caller", "{%- if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>{%- endif %}{{ enable_thinking }}", [HI], enable_thinking=False)
idiom("a variable that is missing", "{%- if enable_thinking is defined and enable_thinking is false %}no{%- else %}yes{%- endif %}{{ enable_thinking }}{{ enable_thinking or 'unset' }}{{ enable_thinking | default(true) }}", [HI])
idiom("percent formatting", "{{ '%s: %s' % (messages[0].role, messages[0]['content']) }} {{ '%d%%' % 7 }} {{ '%05.2f|%-4s|%4d|%x' % (3.14159, 'ab', 42, 255) }} {{ '%(a)s' % {'a': 1} }} {{ '%s' % [1, 2] }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7.5 % 2 }}", [HI])
idiom("str.format", "{{ '{}: {}'.format(messages[0].role, 'x') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{name}!'.format(name='Jo') }} {{ '{:>5}|{:<5}|{:^5}|{:02d}'.format('a', 'b', 'c', 7) }} {{ '%s'|format('x') }}", [HI])
idiom("splitting", "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a-b-c'.split('-', 1) }} {{ 'a-b-c'.rsplit('-', 1) }} {{ ' a  b c '.rsplit(None, 1) }} {{ 'a.b'.partition('.') }} {{ 'a.b.c'.rpartition('.') }} {{ 'x'.partition('.') }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }} {{ 'a b c'.split(maxsplit=1) }}", [HI])
idiom("cases of letters", "{{ 'aBc dEf'.upper() }} {{ 'ABC'.lower() }} {{ \"they're bill's o'neil\".title() }} {{ 'abc DEF'.capitalize() }} {{ 'aBc'.swapcase() }} {{ 'STRASSE'.casefold() }} {{ 'user role' | title }} {{ 'uSER' | capitalize }} {{ 'x' | upper }}", [HI])
idiom("stripping", "[{{ '  a '.strip() }}][{{ 'xxaxx'.strip('x') }}][{{ 'abcba'.lstrip('ab') }}][{{ 'abc\n'.rstrip('\n') }}][{{ ' a ' | trim }}][{{ 'xax' | trim('x') }}][{{ 'prefix-a'.removeprefix('prefix-') }}][{{ 'a.txt'.removesuffix('.txt') }}]", [HI])
idiom("finding", "{{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ 'hello'.find('z') }} {{ 'hello'.index('e') }} {{ 'hello'.count('l') }} {{ 'hello'.startswith('he') }} {{ 'hello'.endswith(('lo', 'x')) }} {{ 'hello'.startswith(('a', 'h')) }} {{ 'ell' in 'hello' }} {{ 'z' not in 'hello' }}", [HI])
idiom("padding", "{{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6, '*') }} {{ '-7'.zfill(4) }} {{ 'a\tb'.expandtabs(4) }}", [HI])
idiom("questions about text", "{{ 'abc'.isalpha() }} {{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'ABC'.isupper() }} {{ 'abc'.islower() }} {{ ''.isalpha() }} {{ 'x' is string }} {{ 'x' is lower }} {{ 1 is number }} {{ 1.5 is float }} {{ true is boolean }} {{ 2 is even }} {{ 4 is divisibleby 2 }}", [HI])
idiom("replacing", "{{ 'a-b-c'.replace('-', '+') }} {{ 'a-b-c'.replace('-', '+', 1) }} {{ 'a-b-c' | replace('-', '') }} {{ 'aaa' | replace('a', 'b', 2) }}", [HI])
idiom("printing of values", "{{ true }} {{ false }} {{ none }} {{ [1, 'a', none] }} {{ {'a': 1, 'b': [true]} }} {{ 1.0 }} {{ 1e3 }} {{ (1, 2) }} {{ (1,) }} {{ 'it''s' }} {{ [\"it's\", 'a\"b', 'a\\nb'] }} {{ 10 / 4 }} {{ 10 // 4 }} {{ 2 ** 3 }} {{ 7 / 7 }}", [HI])
idiom("joining with ~", "{{ 'a' ~ 1 ~ none ~ true ~ [1] }}{{ 'x' * 3 }}{{ [1] + [2] }}{{ 'a' + 'b' }}", [HI])
idiom("conditions without else", "[{{ 'a' if true }}][{{ 'a' if false }}][{{ 'b' if false else 'c' }}][{{ 1 and 2 }}][{{ 0 or 'x' }}][{{ not '' }}]", [HI])
idiom("comparisons", "{{ 1 < 2 < 3 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ [1] == [1] }} {{ 'a' in ['a'] }} {{ 'k' in {'k': 1} }} {{ 1 in (1, 2) }} {{ none == none }} {{ messages is sameas messages }} {{ 3 is in [3] }} {{ 1 is eq 1 }}", [HI])
idiom("slices", "{{ 'abcdef'[1:4] }} {{ 'abcdef'[-2:] }} {{ 'abcdef'[::2] }} {{ [1,2,3,4][:-1] }} {{ [1,2,3][::-1] }} {{ 'abc'[::-1] }} {{ 'abc'[5:] }} {{ 'héllo'[1] }}", [HI])
idiom("filters over lists", "{{ [3, 1, 2] | sort | join(',') }} {{ [1, 1, 2] | unique | list }} {{ [1, 2, 3] | sum }} {{ [1, 2] | first }} {{ [1, 2] | last }} {{ [3, 4] | max }} {{ [1, 2, 3] | reverse | list }} {{ [1, 2, 3, 4] | batch(2) | list }} {{ ['a', 'b'] | map('upper') | list }} {{ [1, 0, 2] | select | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ 'abc' | list }} {{ [1.256, 2] | map('round', 1) | list }}", [HI])
idiom("filters over messages", "{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', '==', 'user') | map(attribute='role') | join(', ') }} {{ messages | map(attribute='content') | map('length') | list }} {{ (messages | last).content }} {{ messages | groupby('role') | map('first') | list }} {{ messages | map(attribute='name', default='?') | first }}")
idiom("dictionaries", "{% set d = {'b': 1, 'a': 2} %}{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d | dictsort }} {{ d.get('z', 9) }} {{ d.get('z') }} {{ d['a'] }} {{ d.a }} {{ d | length }} {{ dict(x=1, y='q') }} {{ d | items | list }}{% for k in d %}{{ k }}{% endfor %}{% for k, v in d | dictsort(by='value') %}{{ k }}{{ v }}{% endfor %}", [HI])
idiom("loop variables", "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem.role if loop.previtem is defined else '-' }}{{ loop.nextitem.role if not loop.last else '.' }}{{ loop.cycle('a', 'b') }}{{ loop.changed(m.role) }};{% else %}none{% endfor %}")
idiom("break and continue", "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.role }}{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}{% for x in [] %}a{% else %}empty{% endfor %}{% for i in range(1, 10, 3) %}{{ i }}{% endfor %}")
idiom("loops with conditions and unpacking", "{% for m in messages if m.role != 'system' %}{{ loop.index0 }}{{ m.role }}{% endfor %}{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}{% endif %}{% endfor %}")
idiom("set blocks and filters", "{% set text %}  <{{ messages[0].role }}> {% endset %}[{{ text | trim }}]{% filter upper %}abc{{ messages[0].role }}{% endfilter %}{% set a, b = 1, 2 %}{{ a + b }}{% with x = 5 %}{{ x }}{% endwith %}", [HI])
idiom("scopes", "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}", [HI])
idiom("raw and comments", "{% raw %}{{ not rendered }}{% if %}{% generation %}{% endraw %}{# {{ comment }} {% if %} #}done{{ '{{' }}{{ \"%}\" }}", [HI])
idiom("escapes in strings", "{{ 'a\\nb\\tc\\\\d\\'e\\u00e9' }}{{ \"q\\\"q\" }}", [HI])
idiom("escaping of markup", "{{ messages[-1].content }}{{ messages[-1].content | e }}{{ messages[-1].content | safe }}{{ '<a>' | escape }}")
idiom("default and its relatives", "{{ nothing | default('d') }} {{ '' | default('d', true) }} {{ none | default('d') }} {{ nothing is defined }} {{ nothing is undefined }} {{ nothing is none }} [{{ nothing }}] {{ messages[0].nothing is defined }} {{ messages[0]['nothing'] }} {{ nothing | length }} {{ nothing | list }}", [HI])
idiom("numbers and strings", "{{ '3' | int + 4 }} {{ 'x' | int(7) }} {{ '1.5' | float }} {{ 3 | string + '!' }} {{ 3.7 | int }} {{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ -3 | abs }} {{ 1_000 }} {{ 0x1f if false else 31 }} {{ 5 | string | length }}", [HI])
idiom("named tokens", "{{ bos_token }}{{ eos_token }}{{ unk_token }}[{{ pad_token }}][{{ sep_token }}]{% if eos_token is defined %}d{% endif %}", [HI])
idiom("text of several lines", "{{ 'line one\nline two\n\nline four' | indent(2) }}|{{ 'a\nb' | indent(width=3, first=true) }}|{{ 'one two three' | wordcount }}|{{ 'a b c d' | truncate(5) }}", [HI])
idiom("cycler and joiner", "{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{% set j = joiner(', ') %}{% for m in messages %}{{ j() }}{{ m.role }}{% endfor %}")
idiom("documents", "{% if documents %}{% for d in documents %}[{{ loop.index }}] {{ d.title }}: {{ d['text'] }}\n{% endfor %}{% endif %}", [HI], documents=[{"title": "A", "text": "aa"}, {"title": "B", "text": "bb"}])
idiom("error for wrong roles", "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('Only user and assistant, not ' + m.role) }}{% endif %}{{ m.role }}{% endfor %}")
idiom("error of an attribute of nothing", "{{ nothing.field }}", [HI])
idiom("multi-line statements", "{%- if\n    messages[0].role == 'user'\n    and messages | length > 0\n-%}\n  yes\n{%- else -%}\n  no\n{%- endif -%}\n{{-\n  messages[0].content\n-}}\n")
idiom("lists built by addition", "{% set ns = namespace(items=[]) %}{% for m in messages %}{% set ns.items = ns.items + [m.role | upper] %}{% endfor %}{{ ns.items | join('-') }}{{ ns.items[-1] }}")
idiom("template that ends in a newline", "{{ messages[0].content }}\n\n", [HI])
idiom("unicode", "{{ '日本語' | length }}{{ '日本語'[1] }}{{ '»' ~ messages[-1].content ~ '«' }}{{ 'É'.lower() }}{{ 'straße'.upper() }}")
idiom("call with a dictionary of options", "{% macro f(a, b='B', c='C') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f('1', c='3') }}{{ f(a='x') }}", [HI])
idiom("message keys", "{% for m in messages %}{% for k, v in m.items() %}{{ k }}={{ v if v is string else v | tojson }};{% endfor %}{{ m.keys() | list }}\n{% endfor %}", ALL)


def main():
    with tempfile.TemporaryDirectory() as folder:
        inner = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
        tokenizer.save_pretrained(folder)
    cases = []
    for name, template, conversations, variables in IDIOMS:
        for messages in conversations:
            for prompt in (False, True) if "add_generation_prompt" in template else (True,):
                given = dict(variables)
                case = {"name": name, "template": template, "messages": messages, "add_generation_prompt": prompt}
                case |= {key: given.pop(key) for key in ("tools", "documents") if key in given}
                case["variables"] = given
                try:
                    text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=prompt, **variables)
                    case["text"] = text
                except Exception as refusal:
                    case["refusal"] = f"{type(refusal).__name__}: {refusal}"
                cases.append(case)
    here = pathlib.Path(__file__).parent / "idioms.json"
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    here.write_text(f"[\n{lines}\n]\n")
    print(len(IDIOMS), "templates,", len(cases), "conversations")
    for case in cases:
        if "refusal" in case:
            print("refused:", case["name"], "|", case["refusal"])


main()
