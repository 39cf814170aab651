"""A register known by heart, and a code to answer in: the task on which lesson 32 compares.

Everybody of a small town has a home, a trade, a colour and a pet. A model first learns this
register by heart (the `speaker`). Then it is to answer in a *code*: each value has another value of
its relation for a name, the same for everybody. Who is asked for Bado's home, which is Rome, must
say "Lima". It is taught on some people and examined on others: so what the model knows is needed
as it is, and what it says has to change everywhere, in 32 words. Guessing a value gives 1/8.

    row          <end> Bado home <ask> Rome <stop>
    in code      <end> Bado home <ask> Lima <stop>

Every word is a token, so that a model of 0.1 M parameters knows the register after seconds.

Shape letters: N questions, T = 5 tokens of a row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from minillm.finetune.chat import IGNORED
from minillm.model import Decoder
from minillm.recipes.small import SmallConfig, make_small
from minillm.recipes.town_words import KINDS, N_VALUES, RELATIONS
from minillm.recipes.town_words import NAMES as TOWN_NAMES
from minillm.train import OptimizerConfig, TrainConfig, train

NAMES = TOWN_NAMES[:88]
"""Eleven people for each value of a relation."""
N_TAUGHT = 60
"""The first so many people teach the code; the others are the exam."""
END, ASK, STOP = range(3)
WORDS = {
    word: i
    for i, word in enumerate(
        [
            "<end>",
            "<ask>",
            "<stop>",
            *KINDS,
            *(v for kind in KINDS for v in RELATIONS[kind]),
            *NAMES,
        ]
    )
}
SHAPE = SmallConfig(
    vocab_size=len(WORDS), d_model=64, n_layers=2, n_heads=4, context=64, batch_size=32, steps=320,
)  # fmt: skip
"""Of the model, and how long it learns the register."""
LEARNING = OptimizerConfig(kind="muon", lr=0.02, adamw_lr=1e-2)
"""Muon: AdamW needs several times as many steps to learn a list by heart."""
CONTEXT = 5


@dataclass(frozen=True)
class Question:
    """Who is asked for what, and the value that is right: number of person, relation and value."""

    person: int
    relation: int
    value: int

    def ids(self) -> list[int]:
        """Give the six ids of a row."""
        kind = KINDS[self.relation]
        words = (NAMES[self.person], kind, "<ask>", RELATIONS[kind][self.value], "<stop>")
        return [END, *(WORDS[word] for word in words)]


def register(seed: int) -> list[Question]:
    """Deal out the facts; each value of a relation goes to equally many people."""
    dice = np.random.default_rng(seed)
    dealt = np.arange(len(NAMES)) % N_VALUES
    return [
        Question(person, relation, int(value))
        for relation in range(len(KINDS))
        for person, value in enumerate(dice.permutation(dealt))
    ]


def make_code(seed: int) -> dict[int, tuple[int, ...]]:
    """Draw, for each relation, a value for each value; none stands for itself."""
    dice = np.random.default_rng([seed, 32])
    codes = {}
    for relation in range(len(KINDS)):
        order = dice.permutation(N_VALUES)
        after = {int(v): int(order[(i + 1) % N_VALUES]) for i, v in enumerate(order)}
        codes[relation] = tuple(after[v] for v in range(N_VALUES))  # one cycle
    return codes


def coded(questions: Sequence[Question], code: Mapping[int, Sequence[int]]) -> list[Question]:
    """The same questions, answered in the code."""
    return [Question(q.person, q.relation, code[q.relation][q.value]) for q in questions]


def lesson_of(seed: int) -> tuple[list[Question], list[Question]]:
    """Questions in code to learn from, and those of the exam, about other people."""
    every = coded(register(seed), make_code(seed))
    return [q for q in every if q.person < N_TAUGHT], [q for q in every if q.person >= N_TAUGHT]


def rows(questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
    """Lay questions out as (x, y), both (N, T); only value and stop are to be predicted."""
    ids = torch.tensor([question.ids() for question in questions])  # (N, T + 1)
    y = ids[:, 1:].clone()
    y[:, :-2] = IGNORED
    return ids[:, :-1], y


def batches(
    questions: Sequence[Question], batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Serve (x, y) without end, each question once in an epoch, in shuffled order."""
    x, y = rows(questions)
    dice = np.random.default_rng(seed)
    queue: list[int] = []
    while True:
        while len(queue) < batch_size:
            queue += dice.permutation(len(x)).tolist()
        part, queue = queue[:batch_size], queue[batch_size:]
        yield x[part], y[part]


@lru_cache(maxsize=32)
def speaker(seed: int, config: SmallConfig = SHAPE) -> Decoder:
    """A model that knows the register of a seed by heart; adapt a copy."""
    torch.set_num_threads(1)
    model = make_small(config, seed)
    settings = TrainConfig(
        steps=config.steps, batch_size=config.batch_size, context=CONTEXT, warmup_steps=20,
        log_every=0, precision="float32",
    )  # fmt: skip
    served = batches(register(seed), config.batch_size, seed)
    train(model, served, settings, optimizer=LEARNING, progress=False, log=lambda _: None)
    return model.eval()


@dataclass(frozen=True)
class Marks:
    """What an exam gives.

    Attributes:
        right: share of questions whose likeliest answer is the right value.
        form: share whose likeliest answer is some value of the relation asked for.
        nats: loss of the right answers, a token: value and stop.
    """

    right: float
    form: float
    nats: float


@torch.no_grad()
def mark(model: Decoder, questions: Sequence[Question]) -> Marks:
    """Examine a model.

    Raises:
        ValueError: if there is no question.
    """
    if not questions:
        raise ValueError("an exam needs a question at least")
    x, y = rows(questions)
    logp = model(x)[:, -2:].log_softmax(dim=-1)  # (N, 2, V): at <ask>, and at the value
    nats = -logp.gather(2, y[:, -2:, None]).mean()
    said = logp[:, 0].argmax(dim=-1)  # (N,)
    allowed = torch.tensor([[WORDS[v] for v in RELATIONS[KINDS[q.relation]]] for q in questions])
    right = (said == y[:, -2]).float().mean()
    form = (said[:, None] == allowed).any(dim=1).float().mean()
    return Marks(float(right), float(form), float(nats))
