import random
import re

import pytest

from minillm.data.identity import cn_id_ok, luhn_ok
from minillm.data.look_alikes import DISGUISES, LOOK_ALIKES, disguise, look_alike
from minillm.data.personal import find_personal


@pytest.mark.parametrize("kind", sorted(LOOK_ALIKES))
def test_the_part_stands_in_the_sentence_and_varies(kind):
    rng = random.Random(5)
    made = [look_alike(kind, rng) for _ in range(50)]
    assert all(part in text and part != text for text, part in made)
    assert len({part for _, part in made}) > 10
    rng = random.Random(5)
    assert made == [look_alike(kind, rng) for _ in range(50)]


def test_invalid_numbers_are_invalid():
    rng = random.Random(5)
    for _ in range(300):
        assert not luhn_ok(look_alike("invalid card", rng)[1])
        assert not cn_id_ok(look_alike("invalid cn_id", rng)[1])


def test_book_numbers_have_their_own_check_digit():
    rng = random.Random(5)
    for _ in range(200):
        digits = re.sub("-", "", look_alike("isbn", rng)[1])
        total = sum(int(d) * (1, 3)[i % 2] for i, d in enumerate(digits))
        assert (len(digits), total % 10) == (13, 0)


def test_ten_digits_pass_as_a_telephone_as_often_as_theory_says():
    # area code and exchange begin with 2 to 9: (8/10)^2
    rng = random.Random(5)
    n = 2000
    hits = sum(bool(find_personal(look_alike("ten digits", rng)[0])) for _ in range(n))
    assert abs(hits / n - 0.64) < 4 * (0.64 * 0.36 / n) ** 0.5


@pytest.mark.parametrize("kind", sorted(DISGUISES))
def test_a_disguise_says_where_it_stands_and_deceives_the_rules(kind):
    rng = random.Random(5)
    for _ in range(30):
        text, start, end = disguise(kind, rng)
        assert text[:start].endswith("under ")
        assert text[end:] == " on weekdays."
        covering = [s for s in find_personal(text) if s.start <= start and end <= s.end]
        assert covering == []


def test_unknown_kinds():
    with pytest.raises(ValueError, match="unknown look-alike 'shoe'"):
        look_alike("shoe", random.Random(0))
    with pytest.raises(ValueError, match="unknown disguise 'hat'"):
        disguise("hat", random.Random(0))
