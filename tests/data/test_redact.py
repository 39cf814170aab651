import random
import re

import pytest

from minillm.data import redact as redaction
from minillm.data.identity import cn_id_ok, luhn_ok
from minillm.data.invented import KINDS, LANGUAGES, invent, sentence_with
from minillm.data.personal import Span, find_personal
from minillm.data.redact import PLACEHOLDERS, Substitutes, plain_form, redact

PIECES = [
    "ada@example.org", "283-555-0142", "(283) 555-0142", "+1 ", "+44 20 7946 0001", "192.0.2.7",
    "2001:db8::7", "4111 1111 1111 1111", "11010519491231002X", "15440752275", "7 Alder Street",
    "柳湖路12号", "Dr Mara Tolvane", "陈安先生", "|||EMAIL_ADDRESS|||", "|||", "a", "Z", "9", "0",
    "-", ".", ":", "@", "+", "(", ")", " ", " ", "\n", "号", "路", "x", "é", "\ud800",
]  # fmt: skip


def wild(seed, n):
    rng = random.Random(seed)
    return ["".join(rng.choices(PIECES, k=rng.randrange(1, 14))) for _ in range(n)]


def test_placeholders_by_hand():
    text = "Write to ada@example.org or call 283-555-0142, then ada@example.org again."
    assert redact(text) == (
        "Write to |||EMAIL_ADDRESS||| or call |||PHONE_NUMBER|||, then |||EMAIL_ADDRESS||| again.",
        {"email": 2, "phone": 1},
    )
    assert set(PLACEHOLDERS) == set(KINDS)


def test_given_spans_are_replaced_and_nothing_else():
    text = "Mara met Petra."
    spans = [Span(0, 4, "name"), Span(9, 14, "name")]
    assert redact(text, spans) == ("|||NAME||| met |||NAME|||.", {"name": 2})
    assert redact(text, []) == (text, {})


@pytest.mark.parametrize(
    "spans",
    [
        [Span(0, 4, "name"), Span(3, 6, "name")],
        [Span(5, 6, "name"), Span(0, 4, "name")],
        [Span(2, 2, "name")],
        [Span(10, 99, "name")],
    ],
)
def test_impossible_spans_are_refused(spans):
    with pytest.raises(ValueError, match="overlaps, is out of order, is empty or leaves the text"):
        redact("Mara met Petra.", spans)


@pytest.mark.parametrize("n", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_wild_texts(n):
    n_changed = 0
    for text in wild(5, n):
        spans = find_personal(text)
        new, counts = redact(text, spans)
        assert sum(counts.values()) == len(spans)
        assert (new == text) == (not spans)  # unchanged if and only if nothing was found
        done = 0
        for start, end, kind in spans:
            assert done <= start < end <= len(text)
            assert kind in PLACEHOLDERS
            done = end
        assert find_personal(new) == [], text  # once is enough
        n_changed += bool(spans)
    assert n_changed > n / 4


def test_what_stands_outside_the_spans_stays():
    for text in wild(6, 500):
        new, _ = redact(text)
        rest, done = "", 0
        for start, end, _ in find_personal(text):
            rest += re.escape(text[done:start]) + r"\|\|\|[A-Z_]+\|\|\|"
            done = end
        assert re.fullmatch(rest + re.escape(text[done:]), new, re.DOTALL)


def test_the_same_datum_gets_the_same_substitute():
    change = Substitutes("document 1")
    text = "Mail ada@example.org; Ada@Example.org wrote, bo@example.org did not."
    new, _ = redact(text, substitute=change)
    a, b, c = re.findall(r"[\w.+]+@[\w.]+\w", new)
    assert a == b != c
    assert a != "ada@example.org"
    again, _ = redact(text, substitute=Substitutes("document 1"))
    other, _ = redact(text, substitute=Substitutes("document 2"))
    assert again == new != other


def test_two_writings_of_a_number_are_one_number_and_keep_their_form():
    change = Substitutes("key")
    spaced = change("card", "4111 1111 1111 1111")
    assert re.fullmatch(r"\d{4} \d{4} \d{4} \d{4}", spaced)
    assert change("card", "4111-1111-1111-1111") == spaced.replace(" ", "-")
    assert change("card", "4111111111111111") == spaced.replace(" ", "")
    assert re.fullmatch(r"\(\d{3}\) \d{3}-\d{4}", change("phone", "(283) 182-3829"))
    assert re.fullmatch(r"1\d{10}", change("cn_mobile", "13912345678"))
    assert plain_form("cn_id", "11010519491231002x") == "11010519491231002X"


def test_no_datum_is_replaced_by_itself_or_by_that_of_another(monkeypatch):
    draws = ["a@example.org", "new@example.org", "new@example.org", "other@example.org"]
    monkeypatch.setattr(redaction, "invent", lambda *_: draws.pop(0))
    change = Substitutes("key")
    assert change("email", "A@example.org") == "new@example.org"
    assert change("email", "b@example.org") == "other@example.org"
    assert draws == []


def test_substitutes_are_valid_and_all_different():
    change = Substitutes("key")
    rng = random.Random(5)
    for kind in KINDS:
        old, new = [], []
        for _ in range(60):
            datum = invent(kind, rng, rng.choice(LANGUAGES))
            old.append(plain_form(kind, datum))
            new.append(plain_form(kind, change(kind, datum)))
            assert old[-1] != new[-1]
        assert len(set(new)) == len(set(old)), kind
        assert kind != "card" or all(map(luhn_ok, new))
        assert kind != "cn_id" or all(map(cn_id_ok, new))


def test_a_substituted_sentence_is_a_sentence_with_a_datum_of_the_kind():
    rng = random.Random(7)
    for kind in sorted(set(KINDS) - {"name"}):
        for language in LANGUAGES:
            text, start, end = sentence_with(kind, rng, language)
            new, counts = redact(text, substitute=Substitutes("key"))
            assert counts == {kind: 1}
            assert new.startswith(text[:start])
            assert new.endswith(text[end:])
            assert [span.kind for span in find_personal(new)] == [kind]


def test_equal_to_datatrove_on_mail_and_addresses():
    pii = pytest.importorskip("datatrove.pipeline.formatters.pii")
    theirs = pii.PIIFormatter(
        only_remove_public_ips=False,
        email_replacement=PLACEHOLDERS["email"],
        ip_replacement=PLACEHOLDERS["ip"],
    )
    rng = random.Random(8)
    for _ in range(300):
        text, _, _ = sentence_with(rng.choice(("email", "ip", "name")), rng, "en")
        if ":" not in text:  # it knows version 4 only
            spans = find_personal(text, ("email", "ip"))
            assert redact(text, spans)[0] == theirs.format(text)
    # where the two differ, and why
    assert theirs.format("version 1.2.3.4") != "version 1.2.3.4"
    assert theirs.format("1.2.3.4.5") != "1.2.3.4.5"
    chinese = "写信到ada@example.org"  # \b sees no border between a Chinese sign and a letter
    assert theirs.format(chinese) == chinese
    assert redact(chinese)[1] == {"email": 1}
