"""Near duplicates end to end: recall and precision on pairs of known similarity, files, books."""

import random

import pytest

from minillm.data.lsh import candidate_probability
from minillm.data.near_duplicates import minhash_dedup, near_duplicates, same_books
from minillm.data.shingles import jaccard, shingles


def text_of(seed, n=120):
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(10_000)}" for _ in range(n))


def edited(text, n_edits, seed=0):
    """Change n words far apart: each destroys five 5-grams."""
    words = text.split()
    for i in range(n_edits):
        words[(2 * i + 1) * len(words) // (2 * n_edits)] = f"new{seed}x{i}"
    return " ".join(words)


BASE = text_of(1)
CORPUS = [
    BASE,
    text_of(2),
    edited(BASE, 1),
    BASE.upper() + "!",
    text_of(3),
    edited(BASE, 4),
    "",
    "?",
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_by_hand():
    found = near_duplicates(CORPUS, threshold=0.8)
    assert found.clusters == [[0, 2, 3], [1], [4], [5], [6], [7]]
    pairs = dict(zip(map(tuple, found.pairs.tolist()), found.similarity.tolist(), strict=True))
    assert pairs.keys() == {(0, 2), (0, 3)}
    assert pairs[0, 2] == jaccard(shingles(CORPUS[0]), shingles(CORPUS[2])) == 111 / 121
    assert pairs[0, 3] == 1
    assert found.share == 2 / 8


def test_threshold_is_inclusive_and_verified():
    """The fifth text has J = 0.7059 with the first: a candidate, kept or not by verification."""
    j = jaccard(shingles(BASE), shingles(CORPUS[5]))
    assert j == 96 / 136
    for threshold, wanted in ((j, [0, 2, 3, 5]), (j + 1e-9, [0, 2, 3])):
        found = near_duplicates(CORPUS, threshold=threshold, n_bands=64)
        assert found.clusters[0] == wanted
    loose = near_duplicates(CORPUS, threshold=0.99, n_bands=64, verify=False)
    assert loose.clusters[0] == [0, 2, 3, 5]
    assert loose.n_candidates == 3 + 1


def test_recall_is_what_theory_says():
    """200 pairs with one J: the share found by 8 bands of 6 rows is binomial around P(J)."""
    n, b, r = 200, 8, 6
    bases = [text_of(100 + i) for i in range(n)]
    texts = bases + [edited(base, 5, i) for i, base in enumerate(bases)]
    j = jaccard(shingles(texts[0]), shingles(texts[n]))
    found = near_duplicates(texts, n_hashes=b * r, n_bands=b, threshold=0.5)
    p = candidate_probability(j, b, r)
    assert 0.2 < p < 0.8
    seen = {tuple(pair) for pair in found.pairs.tolist()}
    assert seen <= {(i, i + n) for i in range(n)}  # precision 1 after verification
    assert abs(len(seen) / n - p) < 4 * (p * (1 - p) / n) ** 0.5
    assert found.share == len(seen) / (2 * n)


def test_equal_texts_do_not_grow_quadratically():
    found = near_duplicates(["the same few words"] * 3000 + ["other words altogether here"])
    assert found.n_candidates == 2999
    assert [len(c) for c in found.clusters] == [3000, 1]


def test_texts_without_words():
    found = near_duplicates(["!", "?", "!", ""])
    assert found.clusters == [[0, 2], [1], [3]]
    assert near_duplicates([]).clusters == []
    assert near_duplicates([]).share == 0


def test_chinese():
    a = "女孩在河边丢了一把钥匙，后来她的朋友在树下找到了它。" * 3
    b = a.replace("树下", "桥下", 1)
    found = near_duplicates(
        [a, b, "男孩在山上放羊，每天都很早起床，直到太阳下山才回家。" * 3], threshold=0.7
    )
    assert found.clusters == [[0, 1], [2]]


def test_files(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i, text in enumerate(CORPUS[:6]):
        (folder / f"{i}.txt").write_text(text + " more" * (i == 2))
    (folder / "bad.txt").write_bytes(b"\xff")
    report = minhash_dedup(folder, 120, 20, 5, 0.8, tmp_path / "out")
    assert names(tmp_path / "out") == [
        "0.txt",
        "1.txt",
        "4.txt",
        "5.txt",
    ]
    assert (tmp_path / "out" / "0.txt").read_bytes() == (folder / "0.txt").read_bytes()
    assert {a.name: b.name for a, b in report.instead.items()} == {
        "2.txt": "0.txt",
        "3.txt": "0.txt",
    }
    assert (report.n_files, report.n_removed) == (6, 2)
    assert "bad.txt is not UTF-8" in str(report)
    minhash_dedup(folder, 120, 20, 5, 0.8, tmp_path / "longest", keep="longest")
    assert names(tmp_path / "longest") == [
        "1.txt", "2.txt", "4.txt", "5.txt",
    ]  # fmt: skip


def test_files_that_differ_in_form_only(tmp_path):
    for name, text in (
        ("a", "Café — the END of\nall things"),
        ("b", "cafe\u0301 the end of all things!"),
    ):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    minhash_dedup([tmp_path / "a.txt", tmp_path / "b.txt"], 8, 4, 3, 1.0, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.txt"]


def test_one_long_line(tmp_path):
    line = " ".join(f"w{i * i % 10_007}" for i in range(60_000))
    (tmp_path / "a.txt").write_text(line)
    (tmp_path / "b.txt").write_text(line.replace("w49 ", "other "))
    report = minhash_dedup(
        [tmp_path / "a.txt", tmp_path / "b.txt"], 16, 8, 5, 0.9, tmp_path / "out"
    )
    assert report.n_removed == 1


@pytest.mark.slow
def test_a_document_of_200_megabytes(tmp_path):
    with (tmp_path / "a.txt").open("w") as file:
        for i in range(200):
            file.write(" ".join(f"w{(i * 125_000 + k) % 9_999_991}" for k in range(115_000)) + " ")
    assert (tmp_path / "a.txt").stat().st_size > 180_000_000
    (tmp_path / "b.txt").write_text("short")
    report = minhash_dedup(
        [tmp_path / "a.txt", tmp_path / "b.txt"], 16, 8, 5, 0.9, tmp_path / "out"
    )
    assert report.n_removed == 0


def book(seed, n=2000):
    return text_of(seed, n)


def test_books():
    """Overlap 0.95 is one book, 0.85 is two; a chapter is a book of its own, or not."""
    base = book(7)
    close, far = edited(base, 10), edited(base, 33)
    chapter = " ".join(base.split()[:600])
    overlap = [round(jaccard(shingles(base), shingles(t)), 3) for t in (close, far, chapter)]
    assert overlap[0] == 0.951
    assert overlap[1] == 0.847
    assert overlap[2] < 0.35
    texts = [base, far, close, chapter, "", ""]
    assert same_books(texts) == [[0, 2], [1], [3], [4], [5]]
    assert same_books(texts, measure="containment") == [[0, 1, 2, 3], [4], [5]]
    assert same_books(texts, 0.84) == [[0, 1, 2], [3], [4], [5]]


def test_the_book_rule_says_more_than():
    nine = [f"w{i}" for i in range(18)]
    a, b = " ".join([*nine, "x"]), " ".join([*nine, "y"])  # words as shingles: 18 of 20
    assert jaccard(shingles(a, 1), shingles(b, 1)) == 0.9
    assert same_books([a, b], 0.9, ngram=1) == [[0], [1]]
    assert same_books([a, b], 0.899, ngram=1) == [[0, 1]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: near_duplicates(["a"], threshold=0), "threshold must lie in"),
        (lambda: near_duplicates(["a"], n_hashes=8, n_bands=9), "n_bands must lie between"),
        (lambda: near_duplicates(["a"], ngram=0), "got n=0"),
        (lambda: near_duplicates(["a"], n_hashes=0), "n_hashes"),
        (lambda: minhash_dedup(["x"], 128, 15, 5, 0.8, "out"), "n_bands=15 must divide"),
        (lambda: minhash_dedup(["x"], 128, 0, 5, 0.8, "out"), "n_bands=0"),
        (lambda: same_books([], 1), "threshold must lie in"),
        (lambda: same_books([], measure="size"), "'size'"),
    ],
)
def test_errors(call, said):
    with pytest.raises(ValueError, match=said):
        call()
