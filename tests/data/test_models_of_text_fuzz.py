"""Bad and strange texts for classifier, n-gram model and language identifier: 10 500 of them.

None may raise anything but a ValueError that says what is wrong; every score must be finite; and
the same text gives the same bits in a process with another hash seed.
"""

import hashlib
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minillm
from minillm.data.classifier import LinearClassifier
from minillm.data.language_id import LanguageIdentifier
from minillm.data.ngram import END, START, NgramModel

N_INPUTS = 3_500  # for each of the three
ALPHABETS = (
    "ab ",
    "key box.\n\t",
    "红色的钥匙，。",
    "\0\x1c\x7f\x85\u2028\ufeff\ufffd",
    "\ud800\udfff\udc80a",
    "\u0301\u200d👩👧🇨🇭e",
    "".join(chr(c) for c in range(0x250)),
    "ﷺ\U0010ffff\u202eİß",
)
TRAIN = ["a red key in a box", "the box is on the table", "红色的钥匙在盒子里。", "ab ba abba"]
LABELS = ["en", "en", "zh", "xx"]
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)  # surrogates among them


def strange_texts(n, seed):
    draw = random.Random(seed)
    for _ in range(n):
        letters = "".join(draw.sample(ALPHABETS, draw.randint(1, 2)))
        yield "".join(draw.choices(letters, k=draw.choice((0, 1, 2, 5, 20, 60))))


@pytest.fixture(scope="module")
def classifier():
    return LinearClassifier(1 << 10, (1, 2)).fit(TRAIN, LABELS)


@pytest.fixture(scope="module")
def languages():
    pairs = zip(LABELS, TRAIN, strict=True)
    by_language = {}
    for code, text in pairs:
        by_language.setdefault(code, []).append(text)
    return LanguageIdentifier(n_buckets=1 << 10).fit(by_language)


@pytest.fixture(scope="module")
def models():
    return [NgramModel(n, unit).fit(TRAIN) for n, unit in ((3, "word"), (4, "char"), (3, "byte"))]


def test_classifier(classifier):
    p = classifier.predict_proba(list(strange_texts(N_INPUTS, seed=1)))
    assert p.shape == (N_INPUTS, 3)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_language_identifier(languages):
    found = languages.predict_many(list(strange_texts(N_INPUTS, seed=2)))
    assert len(found) == N_INPUTS
    assert all(math.isfinite(p) and 0 <= p <= 1 for _, p in found)
    assert {code for code, _ in found} == {"en", "zh", "xx", "und"}


def test_ngram_models(models):
    n_refused = 0
    texts = list(strange_texts(N_INPUTS, seed=3))
    for model in models:
        can = [text for text in texts if len(model.tokens(text))]
        for text, (nats, n_tokens) in zip(can, model.nll_many(can), strict=True):
            assert math.isfinite(nats)
            assert nats > 0
            assert n_tokens == len(model.tokens(text)) + 1
        for text in set(texts) - set(can):
            n_refused += 1
            with pytest.raises(ValueError, match=f"no {model.unit} to score"):
                model.nll_nats(text)
    assert n_refused > 10  # different texts without a token: there are not many


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
def test_learning_from_strange_texts(unit):
    texts = list(strange_texts(300, seed=4))
    model = NgramModel(3, unit).fit(texts)
    for context in ((), (START,), tuple(model.tokens("a\ud800")), tuple(model.tokens("钥 匙"))):
        total = math.fsum(math.exp(model.logprob(w, context)) for w in model.vocabulary)
        assert total == pytest.approx(1)
    if unit != "byte":
        labels = [len(text) % 3 for text in texts]
        found = LinearClassifier(512, (1, 2), unit).fit(texts, labels)
        assert np.isfinite(found.weights_).all()
        assert np.isfinite(found.predict_proba(texts)).all()


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_any_text_at_all(one, two):
    model = NgramModel(2, "char").fit([one + "a", two])
    nats, n_tokens = model.nll_nats(two + "b")
    assert math.isfinite(nats)
    assert n_tokens == len(two) + 2
    p = LinearClassifier(64, (1, 2), "char").fit([one, two], [0, 1]).predict_proba([one, two, ""])
    assert np.isfinite(p).all()


@pytest.mark.parametrize("unit", ["x", "x ", "钥", "\ud800", "\0", "a1,"])
@pytest.mark.parametrize("n", [60_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_one_long_line(unit, n, classifier, languages, models):
    line = unit * (n // len(unit))
    assert np.isfinite(classifier.predict_proba([line])).all()
    assert math.isfinite(languages.predict(line)[1])
    for model in models:
        assert math.isfinite(model.nll_nats(line)[0])


SCRIPT = """
import hashlib
from test_models_of_text_fuzz import bits
print(bits())
"""


def bits():
    """A digest of what the three learn and say."""
    texts = list(strange_texts(40, seed=5))
    labels = ["abc"[i % 3] for i in range(40)]
    found = LinearClassifier(256, (1, 2)).fit(texts, labels)
    digest = hashlib.sha256(found.weights_.tobytes() + found.predict_proba(texts).tobytes())
    model = NgramModel(3).fit(texts)
    digest.update(repr(model.vocabulary).encode("utf-8", "surrogatepass"))
    digest.update(repr(model.nll_many([t + " a" for t in texts])).encode())
    names = {"en": ["Germany", "France"], "de": ["Deutschland", "Frankreich"], "zh": ["德国"]}
    learnt = LanguageIdentifier(n_buckets=512).fit(names)
    digest.update(repr(learnt.predict_many(texts)).encode())
    return digest.hexdigest()


def test_another_process_with_another_hash_seed_finds_the_same_bits():
    here = Path(__file__).parent
    path = os.pathsep.join([str(Path(minillm.__file__).parents[1]), str(here)])
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.split() == [bits()]
    assert math.isfinite(NgramModel(2).fit(TRAIN).logprob(END, ["a"]))
