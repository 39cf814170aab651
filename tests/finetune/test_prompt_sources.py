"""Templates: against Jinja, whose language PromptSource uses, and what data cannot do to them."""

import re

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.finetune.chat import check_messages
from minillm.finetune.prompt_sources import PromptSource, PromptTemplate, options, prompted

ENTAILS = PromptTemplate(
    "does it follow",
    "{{premise}}\nDoes it follow that {{ hypothesis }}? ||| {{choices[label]}}",
    choices=("Yes.", "Perhaps.", "No."),
)
PLAIN = PromptTemplate("plain", "{{premise}} {{hypothesis}} ||| {{label}}")
CHINESE = PromptTemplate(
    "中文", "{{premise}}所以{{hypothesis}}？ ||| {{choices[label]}}", "zh", ("是", "不")
)
BACK = PromptTemplate("back", "What follows from {{premise}}? ||| {{hypothesis}}", original=False)
SOURCE = PromptSource("nli", (ENTAILS, PLAIN, CHINESE, BACK))
ROW = {"premise": "Mia has a key.", "hypothesis": "Mia has something", "label": 0}


def test_by_hand():
    asked, wanted = ENTAILS.fill(ROW)
    assert asked == "Mia has a key.\nDoes it follow that Mia has something?"
    assert wanted == "Yes."
    assert ENTAILS.ask(ROW) == [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": "Yes."},
    ]
    assert ENTAILS.fields == ("premise", "hypothesis", "label")
    assert PLAIN.fill(ROW)[1] == "0"


values = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tricks = st.sampled_from(["{{label}}", "|||", "{{choices[label]}}", "\\1", "\\g<0>", "{% if %}"])


@given(st.one_of(values, tricks), st.one_of(values, tricks), st.integers(0, 2))
@settings(max_examples=100, deadline=None)
def test_equal_to_jinja_whatever_the_data_hold(premise, hypothesis, label):
    row = {"premise": premise, "hypothesis": hypothesis, "label": label}
    for template in (ENTAILS, PLAIN):
        parts = template.text.split("|||")
        wanted = [
            jinja2.Template(part, newline_sequence="\n", keep_trailing_newline=True)
            .render(**row, choices=template.choices)
            .strip()
            for part in parts
        ]
        assert list(template.fill(row)) == wanted
        assert premise.strip() in template.fill(row)[0]


def test_labels_are_read_back():
    for label, word in enumerate(ENTAILS.choices):
        assert ENTAILS.label_of(ENTAILS.fill(ROW | {"label": label})[1]) == label
        assert ENTAILS.label_of(f" {word.upper().rstrip('.')} ") == label
    assert CHINESE.label_of("不。") == 1
    assert ENTAILS.label_of("Maybe.") is None
    assert PLAIN.label_of("0") is None


def test_every_example_in_every_wording():
    rows = [ROW, ROW | {"premise": "Tom ran.", "label": 1}]
    made = list(prompted(SOURCE, rows))
    assert [m.template for m in made] == 2 * ["does it follow", "plain", "中文", "back"]
    assert [m.language for m in made[:4]] == ["en", "en", "zh", "en"]
    assert {m.task for m in made} == {"nli"}
    for m in made:
        check_messages(m.messages)
    assert made[5].messages[1]["content"] == "1"


def test_some_wordings_for_each():
    rows = [ROW | {"premise": str(n)} for n in range(200)]
    made = list(prompted(SOURCE, rows, per_example=2, seed=1))
    assert len(made) == 400
    pairs = [(a.template, b.template) for a, b in zip(made[::2], made[1::2], strict=True)]
    assert all(a != b for a, b in pairs)
    for name in ("does it follow", "plain", "中文", "back"):
        share = sum(m.template == name for m in made) / len(rows)
        assert abs(share - 0.5) < 0.18  # five standard deviations
    assert made == list(prompted(SOURCE, rows, per_example=2, seed=1))
    assert made != list(prompted(SOURCE, rows, per_example=2, seed=2))
    assert [m.template for m in prompted(SOURCE, [ROW], per_example=4)] == [
        t.name for t in SOURCE.templates
    ]


def test_a_source_is_looked_up_by_name_and_language():
    assert SOURCE["plain"] is PLAIN
    assert [t.name for t in SOURCE.in_language("zh").templates] == ["中文"]
    with pytest.raises(ValueError, match="no template 'other'; there are does it follow"):
        SOURCE["other"]
    with pytest.raises(ValueError, match="needs templates"):
        SOURCE.in_language("fr")


def test_options():
    assert options(["Yes", "No"]) == "OPTIONS:\n- Yes\n- No"
    assert options(["是"], "zh") == "选项：\n- 是"
    with pytest.raises(ValueError, match="at least one choice"):
        options([])
    with pytest.raises(ValueError, match="'en' or 'zh', got 'fr'"):
        options(["Oui"], "fr")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"text": "no answer"}, "must have a question and an answer, parted by one |||"),
        ({"text": "a ||| b ||| c"}, "parted by one |||"),
        ({"text": " ||| b"}, "must have a question and an answer"),
        ({"text": "{{a b}} ||| c"}, "braces that are no place"),
        ({"text": "{{a}} ||| {{choices[0] }"}, "braces that are no place"),
        ({"text": "{{a}} ||| {{choices[b]}}"}, "uses choices and has none"),
        ({"text": "a ||| {{choices[b]}}", "choices": ("Yes", "Yes")}, "one word for two labels"),
    ],
)
def test_bad_templates(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        PromptTemplate("bad", **settings)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"premise": "a", "label": 0}, "needs the field 'hypothesis'"),
        ({"premise": "a", "hypothesis": "b"}, "needs the field 'label'"),
        (ROW | {"label": 3}, "labels 0 to 2, the example has 3"),
        (ROW | {"label": -1}, "the example has -1"),
        (ROW | {"label": "Yes."}, "the example has 'Yes.'"),
    ],
)
def test_examples_that_do_not_fit(row, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ENTAILS.fill(row)


def test_other_bad_input():
    with pytest.raises(ValueError, match="gives a blank answer"):
        BACK.ask(ROW | {"hypothesis": " "})
    for templates in ((), (PLAIN, PLAIN)):
        with pytest.raises(ValueError, match="needs templates with different names"):
            PromptSource("nli", templates)
    for wrong in (0, 5):
        with pytest.raises(ValueError, match=f"per_example must be 1 to 4, got {wrong}"):
            list(prompted(SOURCE, [ROW], per_example=wrong))
