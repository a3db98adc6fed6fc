"""What templates may do, as transformers lets them, and what no template may do."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from granite_mlx.decoding.chat_template import ChatTemplate
from granite_mlx.errors import CheckpointError

FOLDER = Path("/models/granite")
MESSAGES = [{"role": "user", "content": "what is said?"}]


def rendered(source: str, **special_tokens: str) -> str:
    return ChatTemplate(source, special_tokens, FOLDER).render(MESSAGES)


def complaint(source: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        rendered(source)
    assert str(caught.value).startswith(f"{FOLDER}: the chat template ")
    return str(caught.value)


def test_messages_and_the_prompt_for_an_answer() -> None:
    template = "{{ messages[0].role }}{% if add_generation_prompt %}, then assistant{% endif %}"
    assert rendered(template) == "user, then assistant"


def test_blocks_leave_no_lines_behind() -> None:
    """As transformers renders templates: a block's line break and indent are not text."""
    template = (
        "{% for m in messages %}\n  {% if true %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}\n"
    )
    assert rendered(template) == "what is said?\n"


def test_special_tokens() -> None:
    assert (
        rendered("{{ bos_token }}x{{ eos_token }}", bos_token="<s>", eos_token="</s>") == "<s>x</s>"
    )
    assert rendered("{{ bos_token }}x") == "x"


def test_json() -> None:
    assert rendered("{{ {'k': 'é<'} | tojson }}") == '{"k": "é<"}'
    assert rendered("{{ {'b': 1, 'a': [2]} | tojson(indent=1, sort_keys=true) }}") == (
        '{\n "a": [\n  2\n ],\n "b": 1\n}'
    )
    assert rendered("{{ [1, 2] | tojson(separators=(',', ':')) }}") == "[1,2]"


def test_the_date() -> None:
    before = datetime.now().date()
    date = datetime.strptime(rendered("{{ strftime_now('%d %B %Y') }}"), "%d %B %Y").date()
    assert before <= date <= datetime.now().date()


def test_loop_controls() -> None:
    template = (
        "{% for n in range(9) %}{% if n == 1 %}{% continue %}{% endif %}"
        "{% if n == 4 %}{% break %}{% endif %}{{ n }}{% endfor %}"
    )
    assert rendered(template) == "023"


def test_generation_is_no_text() -> None:
    """Nor does what is set in it last, as in transformers."""
    template = "a{% generation %}{% set x = 'b' %}{{ x }}{% endgeneration %}c{{ x }}"
    assert rendered(template) == "abc"


def test_what_loops_know_of_themselves() -> None:
    """Counting their turns takes nothing away."""
    template = (
        "{% for c in 'abc' %}{{ loop.index }}/{{ loop.length }}{{ c }}"
        "{{ '.' if loop.last else ' ' }}{% endfor %}"
    )
    assert rendered(template) == "1/3a 2/3b 3/3c."
    assert rendered("{% for x in [] %}{{ x }}{% else %}none{% endfor %}") == "none"
    assert rendered("{% for x in missing %}{{ x }}{% endfor %}") == ""
    assert rendered("{% for x in range(9) if x % 4 == 0 %}{{ x }}{% endfor %}") == "048"


# Templates that cannot be used


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content",
        "{% for %}",
        "{% bogus %}",
        "{% generation %}",
        "{% break %}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{% for x in y %}" * 30 + "{% endfor %}" * 30,
    ],
    ids=lambda source: source[:20],
)
def test_templates_that_cannot_be_parsed(source: str) -> None:
    assert "cannot be parsed (" in complaint(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ missing.attribute }}",
        "{% include 'x' %}",
        "{{ messages[0]['content'] + 1 }}",
        "{{ 1 / 0 }}",
        "{{ messages[7].content }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ range(999999999) | list }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_templates_that_fail(source: str) -> None:
    assert "fails to render a prompt (" in complaint(source)


def test_the_template_s_own_complaint_is_shown() -> None:
    assert "(no audio here)" in complaint("{{ raise_exception('no audio here') }}")


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set s = 'x' * 999 %}"
        "{% for a in s %}{% for b in s %}{% for c in s %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro f() %}{% for b in range(9999) %}{% endfor %}{% endmacro %}"
        "{% for a in range(9999) %}{{ f() }}{% endfor %}",
    ],
    ids=["ranges", "strings", "macro"],
)
def test_loops_come_to_an_end(source: str) -> None:
    assert re.search(r"fails .*loops take more than \d+ turns", complaint(source))


def test_each_prompt_counts_its_turns_anew() -> None:
    template = ChatTemplate("{% for i in range(60000) %}{% endfor %}x", {}, FOLDER)
    assert [template.render(MESSAGES) for _ in range(3)] == ["x"] * 3
