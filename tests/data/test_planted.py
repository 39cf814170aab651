"""The truth of the planted corpus, checked against its texts by code of its own."""

import itertools
import random
import re
from collections import Counter, defaultdict

import pytest

from minillm.data import planted_edits as edits
from minillm.data.corpora import load_corpus
from minillm.data.identity import luhn_ok
from minillm.data.planted import KINDS, PERSONAL, SHARES, SIMILARITIES, make_planted
from minillm.data.planted_base import unrelated

N = 300


def words_of_numbers(n_texts, *, n_words=150, seed=0):
    """Texts of lines of eight words drawn from a large vocabulary: nothing in common."""
    rng = random.Random(seed)
    texts = []
    for _ in range(n_texts):
        words = [
            "".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(n_words)
        ]
        texts.append("\n".join(" ".join(words[i : i + 8]) for i in range(0, n_words, 8)))
    return texts


@pytest.fixture(scope="module")
def harvested():
    return make_planted(N, source=load_corpus("prose", progress=False).texts[:9_000])


@pytest.fixture(scope="module")
def pairs(harvested):
    """{(i, j): number of word 5-grams in common}, and the number of each text, by counting."""
    sets = []
    for text in harvested.texts:
        words = re.findall(r"\S+", text)
        sets.append({" ".join(words[i : i + 5]) for i in range(len(words) - 4)})
    holders = defaultdict(list)
    for i, grams in enumerate(sets):
        for gram in grams:
            holders[gram].append(i)
    shared = Counter(p for held in holders.values() for p in itertools.combinations(held, 2))
    return {p: n / (len(sets[p[0]]) + len(sets[p[1]]) - n) for p, n in shared.items()}


def pair(plant):
    return tuple(sorted((plant.document, plant.partner)))


def test_every_plant_stands_where_it_is_said_to(harvested):
    assert len(harvested.texts) == len(harvested.origins) == N
    assert {plant.kind for plant in harvested.plants} == set(KINDS)
    for plant in harvested.plants:
        assert harvested.texts[plant.document][plant.start : plant.end] == plant.value != ""


def test_no_document_has_two_sorts_of_fault_and_no_original_has_one(harvested):
    kinds = defaultdict(set)
    for plant in harvested.plants:
        kinds[plant.document].add(plant.kind)
    assert all(len(found) == 1 for found in kinds.values())
    originals = {plant.partner for kind in ("exact", "near") for plant in harvested.of(kind)}
    assert not originals & set(kinds)
    for kind, share in SHARES.items():
        assert sum(kinds[i] == {kind} for i in range(N)) == pytest.approx(share * N, abs=1)


def test_spans_of_a_document_do_not_overlap(harvested):
    for _, plants in itertools.groupby(harvested.plants, lambda plant: plant.document):
        for a, b in itertools.pairwise(plants):
            assert a.end <= b.start


def test_exact_copies_are_equal_and_no_other_texts_are(harvested):
    groups = defaultdict(set)
    for i, text in enumerate(harvested.texts):
        groups[text].add(i)
    planned = defaultdict(set)
    for plant in harvested.of("exact"):
        planned[plant.partner] |= {plant.partner, plant.document}
        assert plant.similarity == 1.0
    found = [group for group in groups.values() if len(group) > 1]
    assert sorted(map(sorted, found)) == sorted(map(sorted, planned.values()))
    assert {len(group) for group in found} >= {2, 3}  # some have more than one copy


def test_similarity_of_near_copies_is_recomputed(harvested, pairs):
    near = harvested.of("near")
    for plant in near:
        assert plant.similarity == pytest.approx(pairs[pair(plant)], abs=1e-12)
    low, high = SIMILARITIES
    found = sorted(plant.similarity for plant in near)
    assert low - 0.05 < found[0] < low + 0.05
    assert high - 0.05 < found[-1] < high + 0.03
    for i in range(6):  # spread evenly: a sixth of them in each sixth of the range
        step = (high - low) / 6
        inside = sum(low + i * step <= s < low + (i + 1) * step for s in found)
        assert inside / len(found) == pytest.approx(1 / 6, abs=0.07)


def test_passages_are_shared_by_their_two_documents(harvested, pairs):
    plants = {plant.document: plant for plant in harvested.of("substring")}
    for plant in plants.values():
        other = plants[plant.partner]
        assert other.partner == plant.document
        assert other.value == plant.value
        assert 50 <= len(plant.value.split()) <= 90
        assert plant.detail == f"{len(plant.value.split())} words"
        assert plant.similarity == pytest.approx(pairs[pair(plant)])
        assert plant.similarity < 0.3


def test_nothing_is_alike_that_was_not_planned(harvested, pairs):
    planned = {pair(p) for kind in ("exact", "near", "substring") for p in harvested.of(kind)}
    groups = defaultdict(set)
    for plant in harvested.of("exact"):
        groups[plant.partner] |= {plant.document}
    for group in groups.values():
        planned |= set(itertools.combinations(sorted(group), 2))
    assert max(value for p, value in pairs.items() if p not in planned) < 0.1


def test_no_run_of_thirteen_words_is_shared_that_was_not_planned(harvested):
    planned = {pair(p) for kind in ("exact", "near", "substring") for p in harvested.of(kind)}
    leaks = defaultdict(list)
    for plant in harvested.of("leak"):
        leaks[plant.partner].append(plant.document)
    planned |= {p for held in leaks.values() for p in itertools.combinations(sorted(held), 2)}
    holders = defaultdict(set)
    for i, text in enumerate(harvested.texts):
        words = text.split()
        for j in range(len(words) - 12):
            holders[tuple(words[j : j + 13])].add(i)
    shared = {p for held in holders.values() for p in itertools.combinations(sorted(held), 2)}
    copies = {p.document for p in harvested.of("exact")} | {
        p.partner for p in harvested.of("exact")
    }
    framed = {p.document for p in harvested.of("boilerplate")}  # two lines may follow each other
    assert all(p in planned or set(p) <= copies or set(p) <= framed for p in shared)
    assert len(shared & planned) > 0.8 * len(harvested.of("near"))  # and it can see the planned


def test_base_documents_share_no_line(harvested):
    dirty = {plant.document for plant in harvested.plants}
    clean = [text for i, text in enumerate(harvested.texts) if i not in dirty]
    lines = Counter(line.strip() for text in clean for line in text.split("\n") if line.strip())
    assert len(clean) > N / 3
    assert max(lines.values()) == 1
    boilerplate = Counter(plant.value for plant in harvested.of("boilerplate"))
    assert set(boilerplate) == set(edits.BOILERPLATE)
    assert min(boilerplate.values()) > 1


def test_boilerplate_frames_the_document(harvested):
    for plant in harvested.of("boilerplate"):
        text = harvested.texts[plant.document]
        before = [line for line in text[: plant.start].split("\n") if line]
        after = [line for line in text[plant.end :].split("\n") if line]
        assert any(all(x in edits.BOILERPLATE for x in side) for side in (before, after))


def test_leaks_name_the_item_and_how_it_was_changed(harvested):
    leaks = harvested.of("leak")
    verbatim = [plant for plant in leaks if plant.detail == "verbatim"]
    edited = [plant for plant in leaks if plant.detail == "edited"]
    assert len(verbatim) + len(edited) == len(leaks)
    assert abs(len(verbatim) - len(edited)) <= 1
    assert all(p.value == harvested.test_items[p.partner] and p.similarity == 1 for p in verbatim)
    for plant in edited:
        item = harvested.test_items[plant.partner]
        assert plant.value != item
        assert plant.value not in item
        assert len(item.split()) - len(plant.value.split()) == 1
        common = Counter(item.lower().split()) & Counter(plant.value.lower().split())
        assert common.total() == len(plant.value.split())
        assert 0.2 < plant.similarity < 0.95
    leaked = Counter(plant.partner for plant in leaks)
    assert max(leaked.values()) == 2
    for i, item in enumerate(harvested.test_items):
        if i not in leaked:
            assert not any(item in text for text in harvested.texts)
    assert 0.3 < len(leaked) / len(harvested.test_items) < 0.5


def test_two_test_items_share_no_run_of_thirteen_words():
    items = edits.invent_items(300, random.Random(1))
    seen = Counter()
    for item in items:
        words = item.split()
        assert len(words) >= 20
        seen.update({tuple(words[i : i + 13]) for i in range(len(words) - 12)})
    assert len(set(items)) == 300
    assert max(seen.values()) == 1


def test_personal_data_are_of_every_sort_and_valid(harvested):
    personal = harvested.of("personal")
    assert {plant.detail for plant in personal} == set(PERSONAL)
    for plant in personal:
        assert plant.detail != "email" or re.fullmatch(r"\S+@\S+", plant.value)
        assert plant.detail != "card" or luhn_ok(plant.value)
        assert plant.detail != "cn_id" or re.fullmatch(r"\d{17}[\dX]", plant.value)
    dirty = {plant.document for plant in personal}
    for i, text in enumerate(harvested.texts):
        assert i in dirty or not re.search(r"\w@\w+\.|\d{7}", text)


def test_remains_of_markup_stand_only_where_planted(harvested):
    dirty = {plant.document for plant in harvested.of("markup")}
    assert all(2 <= sum(p.document == i for p in harvested.of("markup")) <= 5 for i in dirty)
    for i, text in enumerate(harvested.texts):
        assert i in dirty or not re.search(r"</\w|<\w+[ >/]|\{\{", text)


def test_the_seed_decides_everything():
    texts = words_of_numbers(80)
    first, again = (make_planted(60, seed=3, source=texts) for _ in range(2))
    assert first == again
    other = make_planted(60, seed=4, source=texts)
    assert other.texts != first.texts
    assert other.test_items != first.test_items


def test_kinds_and_shares_can_be_chosen():
    texts = words_of_numbers(100)
    made = make_planted(50, kinds=["near", "leak"], shares={"near": 0.4}, source=texts)
    assert {plant.kind for plant in made.plants} == {"near", "leak"}
    assert len(made.of("near")) == 20
    assert len(made.of("leak")) == 3
    assert len(made.texts) == 50
    assert made.of("markup") == []
    plain = make_planted(50, kinds=[], source=texts)
    assert plain.plants == []
    assert plain.test_items == []
    assert set(plain.texts) <= set(texts)


def test_origins_say_where_a_text_came_from():
    texts = words_of_numbers(80)
    made = make_planted(60, kinds=["exact", "near"], source=texts)
    copies = {plant.document: plant for plant in made.plants}
    for i, origin in enumerate(made.origins):
        if i in copies:
            assert origin == f"copy of {made.origins[copies[i].partner]}"
        else:
            assert made.texts[i] == texts[int(origin.removeprefix("text "))]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"n_documents": 19}, "at least 20, got 19"),
        ({"kinds": ["near", "far"]}, "unknown kind 'far', choose from exact"),
        ({"shares": {"far": 0.1}}, "unknown kind 'far'"),
        ({"shares": {"near": 1.5}}, "between 0 and 1, got near 1.5"),
        ({"shares": {"near": 0.3, "exact": 0.3}}, "more than the 60 documents"),
        ({"source": ["a b c"] * 100}, "the source holds 0"),
        ({"source": words_of_numbers(30)}, "the source holds 30"),
        ({"source": words_of_numbers(1) * 100}, "the source holds 1:"),
        ({"source": "no-such-corpus"}, "no corpus"),
    ],
)
def test_what_cannot_be_made_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        make_planted(**({"n_documents": 60, "source": words_of_numbers(10)} | how))


def test_an_unknown_kind_is_refused(harvested):
    with pytest.raises(ValueError, match="unknown kind 'twin'"):
        harvested.of("twin")


def test_related_texts_are_passed_over():
    base = words_of_numbers(6, seed=5)
    words = base[0].split()
    wrapped = "\n".join(" ".join(words[i : i + 7]) for i in range(0, 150, 7))  # no line in common
    fresh = base[1].split()
    one_line = "\n".join([" ".join(fresh[:9]), base[2].split("\n")[3], " ".join(fresh[9:])])
    alike = [w if i % 8 else "x" + w for i, w in enumerate(words)]  # runs of seven words
    alike = "\n".join(" ".join(alike[i : i + 7]) for i in range(0, 150, 7))
    secret = base[3] + "\nwrite to someone@example.org"
    tagged = base[4] + "\n<b>bold</b>"
    twice = base[5] + "\n" + base[5].split("\n")[0]
    rng = random.Random(0)
    for texts in ([base[0], wrapped], [base[2], one_line], [base[0], alike]):
        assert len(unrelated(texts, 1, rng)) == 1
        with pytest.raises(ValueError, match="holds 1:"):
            unrelated(texts, 2, rng)
    assert sorted(unrelated([base[3], secret, tagged, twice, base[0]], 2, rng)) == [0, 4]


def test_jaccard_by_hand():
    a, b = "a b c d e f", "a b c d e g"  # 5-grams: abcde bcdef, abcde bcdeg
    assert edits.jaccard(a, b) == 1 / 3
    assert edits.jaccard(a, a) == 1
    assert edits.jaccard(a, "") == 0
    assert edits.jaccard("", " ") == 1
    assert edits.word_ngrams("a b") == {("a", "b")}
    assert edits.jaccard("a b c", "b c d", n=2) == 1 / 3


def test_lines_are_inserted_and_found():
    for seed in range(50):
        text, new = "one\n\ntwo\nthree", ["ALPHA", "BETA\nGAMMA", "DELTA"]
        out, starts = edits.insert_lines(text, new, random.Random(seed))
        for line, start in zip(new, starts, strict=True):
            assert out[start : start + len(line)] == line
            assert start == 0 or out[start - 1] == "\n"
        kept = [x for x in out.split("\n") if x not in ("ALPHA", "BETA", "GAMMA", "DELTA")]
        assert "\n".join(kept) == text
        framed, starts = edits.insert_lines(text, new, random.Random(seed), edges=True)
        assert text in framed
