"""A preference made by hand: what it says, and what is refused."""

import math

import pytest

from minillm.align.preferences import Pair
from minillm.finetune.roles import ChatError

ASK = {"role": "user", "content": "Who?"}


def test_the_talks_of_a_pair():
    chosen, rejected = Pair((ASK,), "Mia.", "No idea.").talks()
    assert chosen == [ASK, {"role": "assistant", "content": "Mia."}]
    assert rejected == [ASK, {"role": "assistant", "content": "No idea."}]


def test_a_pair_made_by_hand_is_checked_too():
    with pytest.raises(ChatError, match="both are 'a'") as told:
        Pair((ASK,), "a", "a")
    assert told.value.kind == "equal"
    with pytest.raises(ValueError, match=r"3 significantly better.*got -1"):
        Pair((ASK,), "a", "b", rating=-1)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (((), "a", "b"), "prompt"),
        (((ASK,), "a", " "), "empty"),
        (((ASK,), "", "b"), "empty"),
        (((ASK,), "", "\t"), "both_empty"),
        (((ASK,), "a", None), "content"),
        (((ASK,), "a", "b", 7), "rating"),
        (((ASK,), "a", "b", True), "rating"),
        (((ASK,), "a", "b", 1, -0.1), "margin"),
        (((ASK,), "a", "b", 1, math.inf), "margin"),
    ],
)
def test_what_is_refused(made, kind):
    with pytest.raises(ChatError) as told:
        Pair(*made)
    assert told.value.kind == kind


def test_its_row_says_no_more_than_it_knows():
    plain = {"prompt": [ASK], "chosen": "a", "rejected": "b"}
    assert Pair((ASK,), "a", "b").row() == plain
    assert Pair((ASK,), "a", "b", 0, 0).row() == {**plain, "rating": 0, "margin": 0}
