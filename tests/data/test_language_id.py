"""Language identification: on held-out names, by length, and (slow) on the UDHR in 40 languages."""

import functools
import json
import operator
import os
from pathlib import Path

import numpy as np
import pytest

import minillm
from minillm.data import load_corpus
from minillm.data.classifier import LinearClassifier
from minillm.data.language_id import (
    UNDETERMINED,
    LanguageIdentifier,
    accuracies,
    confused_pairs,
    pieces,
    split_names,
)
from minillm.data.names import from_text

ROOT = Path(minillm.__file__).parents[1]
UDHR = Path(os.environ.get("MINILLM_UDHR", ROOT.parent / "shared" / "data" / "udhr"))
CODES = sorted(
    [
        "ar",
        "bn",
        "cs",
        "de",
        "el",
        "en",
        "es",
        "fa",
        "fi",
        "fr",
        "he",
        "hi",
        "hu",
        "id",
        "it",
        "ja",
        "ko",
        "nl",
        "pl",
        "pt",
        "ru",
        "sv",
        "ta",
        "th",
        "tr",
        "uk",
        "vi",
        "zh",
    ]
)
OWN_SCRIPT = ("bn", "el", "he", "ko", "ta", "th")
UDHR_OF = {  # our code -> file of the UDHR, where both know the language
    "am": "amh", "ar": "arb", "bn": "ben", "cs": "ces", "de": "deu", "el": "ell_monotonic",
    "en": "eng", "eo": "epo", "es": "spa", "fa": "pes_1", "fi": "fin", "fil": "tgl", "fr": "fra",
    "ha": "hau_NG", "he": "heb", "hi": "hin", "hu": "hun", "hy": "hye", "id": "ind", "it": "ita",
    "ja": "jpn", "ka": "kat", "km": "khm", "kn": "kan", "ko": "kor", "lo": "lao", "mr": "mar",
    "my": "mya", "nl": "nld", "pl": "pol", "pt": "por_BR", "ru": "rus", "sv": "swe", "sw": "swh",
    "ta": "tam", "th": "tha", "tr": "tur", "uk": "ukr", "ur": "urd", "vi": "vie", "yo": "yor",
    "zh": "cmn_hans", "zu": "zul",
}  # fmt: skip


@pytest.fixture(scope="module")
def names():
    return dict(from_text(text) for text in load_corpus("names", progress=False).texts)


@pytest.fixture(scope="module")
def halves(names):
    """Names to learn from, and a third of those held out, which is quicker."""
    learn, ask = split_names({code: names[code] for code in CODES})
    return learn, {code: texts[::3] for code, texts in ask.items()}


@pytest.fixture(scope="module")
def identifier(halves):
    return LanguageIdentifier(epochs=4).fit({code: t[::3] for code, t in halves[0].items()})


def test_no_key_is_learnt_in_one_language_and_asked_in_another(names):
    chosen = {code: names[code] for code in ("en", "es", "zh")}
    learn, ask = split_names(chosen)
    for code, by_key in chosen.items():
        assert sorted(learn[code] + ask[code]) == sorted(by_key.values())
        assert 0.15 < len(ask[code]) / len(by_key) < 0.26
    one = {key: key for key in names["en"]}
    learn, ask = split_names({"x": one, "y": dict(list(one.items())[::2])})
    assert not set(ask["x"]) & set(learn["y"])
    assert not set(ask["y"]) & set(learn["x"])
    assert ask["y"]


def test_names_that_were_never_seen(identifier, halves):
    assert identifier.languages == CODES
    found = accuracies(identifier, halves[1])
    print({code: str(share) for code, share in found.items()})
    for code in OWN_SCRIPT:
        assert found[code].value > 0.94, code
    assert all(found[code].value > 0.85 for code in ("zh", "ja", "hi"))
    assert np.mean([share.value for share in found.values()]) > 0.6  # by chance: 1/28
    assert all(share.low <= share.value <= share.high < 1.01 for share in found.values())


def test_neighbours_are_confused_not_strangers(identifier, halves):
    truth = [code for code in CODES for _ in halves[1][code]]
    answers = [
        code
        for code, _ in identifier.predict_many(
            functools.reduce(operator.iadd, halves[1].values(), [])
        )
    ]
    pairs = confused_pairs(truth, answers)
    latin = set(CODES) - {*OWN_SCRIPT, "ar", "fa", "hi", "ja", "ru", "uk", "zh"}
    across = sum(n for (t, f), n in pairs if (t in latin) != (f in latin))
    assert across < 0.03 * sum(n for _, n in pairs)
    assert sum(n for _, n in pairs) == sum(t != f for t, f in zip(truth, answers, strict=True))


def test_more_text_is_surer(identifier, halves):
    share = []
    for n_characters in (6, 20, 80):
        asked = {c: pieces(" ".join(halves[1][c]), n_characters, 30) for c in CODES}
        share.append(np.mean([s.value for s in accuracies(identifier, asked).values()]))
    print(share)
    assert share[0] + 0.05 < share[1] < share[2]
    assert share[2] > 0.9


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("这个女孩在花园里找到了一把红色的钥匙。", "zh"),
        ("Девочка нашла в саду красный ключ.", "ru"),
        ("وجدت الفتاة مفتاحا أحمر في الحديقة", "ar"),
        ("लड़की को बगीचे में लाल चाबी मिली।", "hi"),
        ("女の子は庭で赤いカギを見つけました。", "ja"),
        ("소녀는 정원에서 빨간 열쇠를 찾았다.", "ko"),
        ("Das Mädchen fand im Garten einen roten Schlüssel.", "de"),
        ("Dziewczynka znalazła w ogrodzie czerwony klucz.", "pl"),
        ("Cô bé tìm thấy một chiếc chìa khóa màu đỏ trong vườn.", "vi"),
    ],
)
def test_sentences(identifier, text, code):
    found, p = identifier.predict(text)
    assert found == code
    assert 1 / len(CODES) < p <= 1


def test_only_letters_count(identifier):
    for text in ("", " \n", "12:30, 2024!", "<>&%", "\0"):
        assert identifier.predict(text) == (UNDETERMINED, 0.0)
    assert identifier.predict("*12* КЛЮЧ, 7") == identifier.predict("ключ")
    many = identifier.predict_many(["ключ", "3", "钥匙"])
    assert [code for code, _ in many] == [identifier.predict("ключ")[0], UNDETERMINED, "zh"]
    assert identifier.predict_many([]) == []


def test_only_the_beginning_is_read(halves):
    found = LanguageIdentifier(epochs=1, max_characters=10).fit(
        {code: halves[0][code][:40] for code in ("ko", "th")}
    )
    assert found.predict("ประเทศไทยเ" + "한국어" * 50)[0] == "th"
    assert found.predict("한국어" * 4 + "ประเทศไทย" * 50)[0] == "ko"


def test_saved_and_loaded_it_is_the_same(identifier, tmp_path):
    identifier.save(tmp_path / "languages.safetensors")
    again = LanguageIdentifier.load(tmp_path / "languages.safetensors")
    texts = ["ein Schlüssel", "une clé", "7"]
    assert again.predict_many(texts) == identifier.predict_many(texts)
    LinearClassifier(16).fit(["a", "b"], ["x", "y"]).save(tmp_path / "words")
    with pytest.raises(ValueError, match="classifier of words"):
        LanguageIdentifier.load(tmp_path / "words")


def test_what_cannot_be_learnt_or_asked_is_told(identifier):
    new = LanguageIdentifier()
    for texts, message in (
        ({}, "two languages"),
        ({"de": ["ja"]}, "two languages.*de"),
        ({"de": ["ja"], "xx": ["7", ""]}, "'xx' has no text with a letter"),
        ({"de": "ja", "fr": ["oui"]}, "'de' needs a list"),
    ):
        with pytest.raises(ValueError, match=message):
            new.fit(texts)
    assert new.languages == []
    with pytest.raises(ValueError, match="call fit"):
        new.predict("a")
    with pytest.raises(ValueError, match="use predict"):
        identifier.predict_many("a")
    with pytest.raises(ValueError, match="max_characters must be at least 1, got 0"):
        LanguageIdentifier(max_characters=0)


def test_confused_pairs_by_hand():
    truth, found = list("aabbcc"), list("abacbb")
    assert confused_pairs(truth, found) == [
        (("c", "b"), 2), (("a", "b"), 1), (("b", "a"), 1), (("b", "c"), 1),
    ]  # fmt: skip
    assert confused_pairs([], []) == []
    with pytest.raises(ValueError, match="2 and 1"):
        confused_pairs(["a", "b"], ["a"])


def test_pieces_by_hand():
    assert pieces("ab\n cd  ef", 2, 3) == ["ab", "cd", "ef"]
    assert pieces("abcdef", 2, 99) == ["ab", "cd", "ef"]
    assert pieces("abcdef", 4, 5) == ["abcd"]
    with pytest.raises(ValueError, match="3 characters has no piece of 4"):
        pieces("abc", 4, 1)
    with pytest.raises(ValueError, match="at least 1"):
        pieces("abc", 0, 1)


@pytest.mark.slow
def test_trained_on_names_asked_about_human_rights(names):
    """Prose of 43 languages, none of it learnt from: the record for the lesson."""
    if not UDHR.is_dir():
        pytest.skip("no UDHR: set MINILLM_UDHR to a folder of its texts (shared/data/udhr)")
    texts = {code: (UDHR / f"{file}.txt").read_text("utf-8") for code, file in UDHR_OF.items()}
    settings = {"ngrams": [1, 2, 3], "n_buckets": 1 << 16, "epochs": 5}
    found = LanguageIdentifier(**settings).fit({c: list(names[c].values()) for c in UDHR_OF})
    by_length, by_language, confused = {}, {}, {}
    for n_characters in (10, 20, 50, 100, 200, 400):
        asked = {code: pieces(text, n_characters, 40) for code, text in texts.items()}
        shares = accuracies(found, asked)
        answers = found.predict_many(functools.reduce(operator.iadd, asked.values(), []))
        truth = [code for code, some in asked.items() for _ in some]
        right = sum(t == a for t, (a, _) in zip(truth, answers, strict=True))
        key = str(n_characters)
        by_length[key] = {
            "n": len(truth),
            "share": round(right / len(truth), 4),
            "mean_over_languages": round(float(np.mean([s.value for s in shares.values()])), 4),
        }
        confused[key] = [
            [t, a, n] for (t, a), n in confused_pairs(truth, [a for a, _ in answers])[:8]
        ]
        by_language[key] = {
            code: [s.k, s.n, round(s.low, 4), round(s.high, 4)] for code, s in shares.items()
        }
    print(json.dumps(by_length), confused, sep="\n")
    lengths = [row["share"] for row in by_length.values()]
    assert lengths[0] < lengths[2] < lengths[4]
    assert by_length["200"]["mean_over_languages"] > 0.9
    folder = ROOT / "data" / "results" / "language_id"
    folder.mkdir(parents=True, exist_ok=True)
    job = {
        "config": {
            **settings,
            "learnt": "names of languages and territories (CLDR through babel)",
            "asked": "Universal Declaration of Human Rights, pieces of so many characters",
            "languages": sorted(UDHR_OF),
        },
        "seed": 0,
        "versions": {"numpy": np.__version__},
        "measured": {
            "by_length": by_length,
            "confused": confused,
            "by_language (right, of, interval)": by_language,
        },
    }
    text = json.dumps(job, ensure_ascii=False) + "\n"
    (folder / "udhr.json").write_text(text, encoding="utf-8")
