"""The inspector: what each token is shown as, in text, in colours and in a figure."""

import pytest

from minillm.finetune.chat import tokenize_chat
from minillm.finetune.mask_view import COLOURS, STYLES, view_mask
from minillm.tokenizer import course_tokenizer

TOKENIZER = course_tokenizer()
PAD = TOKENIZER.special_id("<|pad|>")
TALK = [{"role": "user", "content": "a <b> & $x$ 钥匙"}, {"role": "assistant", "content": "Mia."}]


def view(extra=(), **settings):
    ids, mask = tokenize_chat(TALK, TOKENIZER)
    return view_mask([*ids, *extra], [*mask, *[False] * len(extra)], TOKENIZER, **settings)


def test_every_token_has_its_kind():
    ids, mask = tokenize_chat(TALK, TOKENIZER)
    tokens = view([PAD, PAD], pad_id=PAD).tokens
    assert len(tokens) == len(ids) + 2
    special = {TOKENIZER.special_id(name) for name in TOKENIZER.special_tokens}
    for token, i, learned in zip(tokens, ids, mask, strict=False):
        assert (token.kind.startswith("learned")) == learned
        assert (token.kind in ("frame", "learned frame")) == (i in special)
    assert [token.kind for token in tokens[-2:]] == ["padding", "padding"]
    counts = view([PAD, PAD], pad_id=PAD).counts
    assert counts["frame"] == 3
    assert counts["learned frame"] == 1
    assert counts["padding"] == 2
    assert sum(counts.values()) == len(tokens)
    assert list(counts) == [kind for kind in COLOURS if kind in counts]
    assert COLOURS.keys() == STYLES.keys()


def test_a_padding_that_is_learned_is_no_padding():
    """pad = end: the picture must not hide it."""
    ids = [PAD, PAD]
    kinds = [t.kind for t in view_mask(ids, [True, False], TOKENIZER, pad_id=PAD).tokens]
    assert kinds == ["learned frame", "padding"]
    kinds = [t.kind for t in view_mask(ids, [True, False], TOKENIZER).tokens]
    assert kinds == ["learned frame", "frame"]


def test_as_one_line_of_text():
    text = str(view())
    assert text.startswith("<|im_start|> ")
    before, _, rest = text.partition("[[ ")
    learned, _, after = rest.partition(" ]]")
    assert learned.replace(" ", "") == "Mia.<|im_end|>"
    assert after == " ↵"
    assert before.count("↵") == 3
    open_end = view_mask([5, 6], [False, True], TOKENIZER)
    assert str(open_end).endswith("]]")
    assert str(view_mask([], [], TOKENIZER)) == ""


def test_blanks_are_shown():
    shown = [view_mask([i], [False], TOKENIZER).tokens[0].text for i in TOKENIZER.encode(" a")]
    assert shown == ["·a"]
    for text, wanted in (("\n", "↵"), ("\t", "⇥"), (" ", "·"), ("  ", "··")):
        ids = TOKENIZER.encode(text)
        tokens = view_mask(ids, [False] * len(ids), TOKENIZER).tokens
        assert "".join(token.text for token in tokens) == wanted


def test_in_a_notebook_nothing_of_the_text_is_markup():
    page = view()._repr_html_()
    assert "<b>" not in page
    assert "&lt;" in page
    assert "&amp;" in page
    assert page.count("<span ") == page.count("</span>") == len(view().tokens)
    assert COLOURS["learned"] in page
    assert 'title="learned frame"' in page
    assert page.count("<br>") == 4


def test_lines_are_broken_where_they_are_full_and_behind_a_newline():
    shown = view()
    for width in (8, 20, 78):
        lines = shown.lines(width)
        assert [token for line in lines for token in line] == list(shown.tokens)
        for line in lines:
            assert all("↵" not in token.text for token in line[:-1])
            size = sum(len(token.text) + 1 for token in line)
            assert len(line) == 1 or size <= width
    assert len(shown.lines(78)) == 4


def test_the_figure_shows_every_token():
    shown = view([PAD], pad_id=PAD)
    figure = shown.figure(width=60)
    (axes,) = figure.axes
    texts = [text.get_text().replace(r"\$", "$") for text in axes.texts]
    assert texts == [token.text for token in shown.tokens]
    for text, token in zip(axes.texts, shown.tokens, strict=True):
        assert (text.get_weight() == "bold") == token.kind.startswith("learned")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == list(shown.counts)


def test_bad_input():
    with pytest.raises(ValueError, match="2 ids and a loss mask of 1"):
        view_mask([1, 2], [True], TOKENIZER)
    with pytest.raises(ValueError, match="id 9999 is not in this vocabulary"):
        view_mask([9999], [True], TOKENIZER)
    with pytest.raises(ValueError, match="width must be at least 8 letters, got 7"):
        view().lines(7)
