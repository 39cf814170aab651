"""A town for experiments on fine-tuning: facts to read first, questions to be taught afterwards.

Everybody in the town has a home, a trade, a colour and a pet. A model reads these facts as plain
sentences (pre-training), then a few of them as questions and answers (fine-tuning), and is asked
about people whose questions it has never seen. So three things can be told apart that are mixed
in every real data set: what the model knows, whether it knows the form of an answer, and whether
the examples are right.

    facts        <end> the home of Bado is Rome .
    question     <end> <user> tell me the home of Bado <assistant> Rome <stop>

Every word is a token, so that a model of 0.1 M parameters can learn the town in seconds.

Shape letters: P people, R relations, B rows, T tokens of a row.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from minillm.finetune.chat import IGNORED, shift
from minillm.model import Decoder
from minillm.recipes.small import SmallConfig, make_small, train_small

SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "pa", "ri", "su", "ta")
NAMES = tuple((a + b).capitalize() for a in SYLLABLES for b in SYLLABLES if a != b)  # P = 90
RELATIONS = {
    "home": ("Rome", "Oslo", "Lima", "Cairo", "Delhi", "Paris", "Kyoto", "Accra"),
    "trade": ("baker", "smith", "tailor", "farmer", "nurse", "miner", "piper", "clerk"),
    "colour": ("red", "blue", "green", "white", "black", "brown", "pink", "grey"),
    "pet": ("cat", "dog", "crow", "goat", "mouse", "horse", "snail", "duck"),
}
KINDS = tuple(RELATIONS)
N_VALUES = 8
SAID = (
    "the {relation} of {name} is {value} .",
    "{name} has {relation} {value} .",
    "as {relation} {name} has {value} .",
)
"""How a fact is told; the value comes last, so that all tellings train the same direction."""
BEFORE = ("", "please say", "tell me", "question :", "do you know")
ASKED = (
    "the {relation} of {name}",
    "{name} 's {relation}",
    "{relation} of {name}",
    "which {relation} has {name}",
)
_WAYS = [(i + j, f"{b} {a}".strip()) for i, b in enumerate(BEFORE) for j, a in enumerate(ASKED)]
TEMPLATES = tuple(way for place, way in _WAYS if place % 5 != 4)
UNSEEN = tuple(way for place, way in _WAYS if place % 5 == 4)
"""Sixteen ways to ask, and four that no run trains on; their parts occur in the sixteen."""
SPECIAL = ("<end>", "<user>", "<assistant>", "<stop>")
END, USER, ASSISTANT, STOP = range(4)
N_TEST = 30
"""The last people of the town are asked about, never trained on as questions."""
WIDTH = 12
"""Tokens of the longest row, and one."""


@lru_cache(maxsize=1)
def words() -> dict[str, int]:
    """Every word of the town and its id."""
    texts = [*SAID, *TEMPLATES, *UNSEEN]
    plain = [w for text in texts for w in text.split() if not w.startswith("{")]
    values = [v for known in RELATIONS.values() for v in known]
    every = dict.fromkeys([*SPECIAL, *plain, *KINDS, *values, *NAMES])
    return {word: i for i, word in enumerate(every)}


def encode(text: str) -> list[int]:
    """The ids of the words of a text."""
    return [words()[word] for word in text.split()]


@dataclass(frozen=True)
class Town:
    """Who has what: value[r][p] is the number of the value of relation r for person p."""

    values: tuple[tuple[int, ...], ...]

    def value(self, relation: str, person: int) -> str:
        """The value as a word."""
        return RELATIONS[relation][self.values[KINDS.index(relation)][person]]


def make_town(seed: int) -> Town:
    """Deal out the facts; every value goes to equally many people, as far as that is possible."""
    dice = np.random.default_rng(seed)
    dealt = np.arange(len(NAMES)) % N_VALUES
    return Town(tuple(tuple(dice.permutation(dealt).tolist()) for _ in KINDS))


def told(town: Town, n_tokens: int, seed: int) -> np.ndarray:
    """Tell the facts again and again in shuffled order and wording, (n_tokens,)."""
    dice = np.random.default_rng(seed)
    facts = [(r, p) for r in KINDS for p in range(len(NAMES))]
    ids: list[int] = []
    while len(ids) < n_tokens:
        for i in dice.permutation(len(facts)).tolist():
            relation, p = facts[i]
            said = SAID[int(dice.integers(len(SAID)))]
            text = said.format(relation=relation, name=NAMES[p], value=town.value(relation, p))
            ids += [END, *encode(text)]
    return np.array(ids[:n_tokens], dtype=np.int64)


@dataclass(frozen=True)
class Question:
    """One question with an answer, which need not be right."""

    person: int
    relation: str
    template: str
    answer: str

    def row(self) -> tuple[list[int], list[bool]]:
        """Ids and loss_mask, as `tokenize_chat` makes them: the answer and the stop are learned."""
        asked = self.template.format(relation=self.relation, name=NAMES[self.person])
        prompt = [END, USER, *encode(asked), ASSISTANT]
        answer = [*encode(self.answer), STOP]
        return prompt + answer, [False] * len(prompt) + [True] * len(answer)


def ask(
    town: Town,
    n: int,
    seed: int,
    *,
    templates: Sequence[str] = TEMPLATES,
    kinds: Sequence[str] = KINDS,
) -> list[Question]:
    """Draw n different questions about the people that may be trained on, rightly answered.

    Raises:
        ValueError: if there are fewer than n.
    """
    every = [(p, r, t) for p in range(len(NAMES) - N_TEST) for r in kinds for t in templates]
    if n > len(every):
        raise ValueError(f"{n} questions are wanted, but there are only {len(every)}")
    order = np.random.default_rng(seed).permutation(len(every))[:n]
    drawn = [every[i] for i in order.tolist()]
    return [Question(p, r, t, town.value(r, p)) for p, r, t in drawn]


def exam(
    town: Town, *, templates: Sequence[str] = UNSEEN, kinds: Sequence[str] = KINDS
) -> list[Question]:
    """Every question about the people that nobody was trained on, in these templates."""
    people = range(len(NAMES) - N_TEST, len(NAMES))
    return [Question(p, r, t, town.value(r, p)) for p in people for r in kinds for t in templates]


SHAPE = SmallConfig(
    vocab_size=len(words()), d_model=64, n_layers=2, n_heads=4, context=64, batch_size=16,
    steps=200, lr=5e-3,
)  # fmt: skip
"""Model and pre-training. To be settled on seed 101 before the studies are run."""


@lru_cache(maxsize=3)
def read_town(seed: int, facts: str = "true", config: SmallConfig = SHAPE) -> Decoder:
    """A model that has read about the town of a seed; do not change it, tune a copy.

    Args:
        seed: of the town, the text and the weights.
        facts: "true"; "false": it has read of another town of the same people, so that it knows
            the language and the wrong facts; "none": it has read nothing.
        config: shape and recipe.

    Raises:
        ValueError: if facts is none of the three.
    """
    if facts not in ("true", "false", "none"):
        raise ValueError(f"facts must be 'true', 'false' or 'none', got {facts!r}")
    if facts == "none":
        return make_small(config, seed).eval()
    town = make_town(seed if facts == "true" else seed + 1_000)
    text = told(town, config.steps * config.batch_size * config.context, seed)
    return train_small(text, seed, config=config)


def batches(
    questions: Sequence[Question], batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Serve padded (x, y) without end, each question once in an epoch, in shuffled order."""
    rows = torch.tensor([_padded(question) for question in questions])  # (N, 2, WIDTH)
    dice = np.random.default_rng(seed)
    queue: list[int] = []
    while True:
        while len(queue) < batch_size:
            queue += dice.permutation(len(rows)).tolist()
        part = rows[queue[:batch_size]]
        queue = queue[batch_size:]
        yield part[:, 0], part[:, 1]


def _padded(question: Question) -> tuple[list[int], list[int]]:
    x, y = shift(*question.row())
    more = WIDTH - len(x)
    return x + [END] * more, y + [IGNORED] * more


def tune(
    model: Decoder,
    questions: Sequence[Question],
    seed: int,
    *,
    steps: int = 60,
    batch_size: int = 16,
    lr: float = 2e-3,
    evaluate: Callable[[Decoder], float] | None = None,
    eval_every: int = 0,
) -> Decoder:
    """Fine-tune a copy of a model on questions: mean loss over the answers' tokens.

    All runs of a comparison take equally many steps of equal size, whatever the number of
    different questions: what differs is the data and not the work.
    """
    model = copy.deepcopy(model)
    config = SmallConfig(
        vocab_size=model.config.vocab_size, d_model=model.config.d_model,
        n_layers=model.config.n_layers, context=WIDTH, batch_size=batch_size, steps=steps, lr=lr,
        warmup_steps=5,
    )  # fmt: skip
    return train_small(
        batches(questions, batch_size, seed), seed, config=config, model=model,
        evaluate=evaluate, eval_every=eval_every,
    )  # fmt: skip


@dataclass(frozen=True)
class Marks:
    """What an exam gives.

    Attributes:
        right: share of questions whose likeliest answer is the right value, then the stop.
        form: share whose likeliest answer is some value of the relation asked for, then the stop:
            the form of an answer, right or wrong.
        nats: loss of the right answers, a token: value and stop.
    """

    right: float
    form: float
    nats: float


@torch.no_grad()
def mark(model: Decoder, questions: Sequence[Question]) -> Marks:
    """Let a model answer greedily, word and stop, and compare.

    Raises:
        ValueError: if there is no question.
    """
    if not questions:
        raise ValueError("an exam needs a question at least")
    rows = torch.tensor([_padded(question) for question in questions])  # (N, 2, WIDTH)
    x, y, i = rows[:, 0], rows[:, 1], torch.arange(len(rows))
    place = (y != IGNORED).int().argmax(dim=1)  # (N,): where the answer is predicted
    logp = model(x).log_softmax(dim=-1)  # (N, WIDTH, V)
    said = logp[i, place].argmax(dim=-1)  # (N,)
    x = x.clone()
    x[i, place + 1] = said
    stops = model(x)[i, place + 1].argmax(dim=-1) == STOP  # behind its own word
    allowed = torch.tensor([encode(" ".join(RELATIONS[q.relation])) for q in questions])
    nats = -(logp[i, place, y[i, place]] + logp[i, place + 1, STOP]) / 2
    right = stops & (said == y[i, place])
    form = stops & (said[:, None] == allowed).any(dim=1)
    return Marks(*(float(part.float().mean()) for part in (right, form, nats)))
