"""A town for experiments on fine-tuning: facts to read first, questions to be taught afterwards.

Everybody in the town has a home, a trade, a colour and a pet. A model reads these facts as plain
sentences (pre-training), then a few of them as questions and answers (fine-tuning), and is asked
about people whose questions it has never seen. So three things can be told apart that are mixed
in every real data set: what the model knows, whether it knows the form of an answer, and whether
the examples are right.

    facts        <end> the home of Bado is Rome .
    question     <end> <user> tell me the home of Bado <assistant> Rome <stop>

Every word is a token, so that a model of 0.1 M parameters can learn the town in seconds.

How it is read decides what questions can get out of it, seed 101, after 32 questions:

    three wordings, loss on every word, AdamW            13 % recalled, 10 % of the exam right
    sixteen wordings, loss on every word, Muon          100 % recalled, 13 %: luck
    eighty wordings, loss on value and full stop, Muon   99 % recalled, 52 %

So a fact that is known word by word may still be out of reach of a question. The town is read in
the third way, because the lessons ask what tuning does to knowledge that can be reached.

Shape letters: P people, R relations, B rows, T tokens of a row.
"""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from minillm.finetune.chat import IGNORED, shift
from minillm.model import Decoder
from minillm.recipes.small import SmallConfig, make_small, train_small
from minillm.recipes.town_words import (
    ASSISTANT,
    END,
    KINDS,
    N_VALUES,
    NAMES,
    RELATIONS,
    SAID,
    STOP,
    TEMPLATES,
    UNSEEN,
    USER,
    encode,
    words,
)
from minillm.train import OptimizerConfig, TrainConfig, train

N_TEST = 30
"""The last people of the town are asked about, never trained on as questions."""
WIDTH = 12
"""Tokens of the longest question with its answer, and one."""
LINE = 10
"""Tokens of the longest sentence, its <end> among them."""


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


def sentences(town: Town, seed: int) -> Iterator[list[int]]:
    """Tell the facts without end: all of them in shuffled order and wording, then again."""
    dice = np.random.default_rng(seed)
    facts = [(r, p) for r in KINDS for p in range(len(NAMES))]
    while True:
        for i in dice.permutation(len(facts)).tolist():
            relation, p = facts[i]
            said = SAID[int(dice.integers(len(SAID)))]
            text = said.format(relation=relation, name=NAMES[p], value=town.value(relation, p))
            yield [END, *encode(text)]


def told(town: Town, n_tokens: int, seed: int) -> np.ndarray:
    """Lay the sentences into one row, (n_tokens,): the text, to be looked at."""
    ids: list[int] = []
    for sentence in sentences(town, seed):
        ids += sentence
        if len(ids) >= n_tokens:
            break
    return np.array(ids[:n_tokens], dtype=np.int64)


def readings(town: Town, batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Serve the sentences as (x, y), each (batch_size, LINE - 1), one a row.

    The value and the full stop are learned; what comes before them cannot be guessed.
    """
    source = sentences(town, seed)
    while True:
        rows = []
        for ids in itertools.islice(source, batch_size):
            mask = [False] * (len(ids) - 2) + [True] * 2
            rows.append(_padded(ids, mask, LINE - 1))
        both = torch.tensor(rows)  # (batch_size, 2, LINE - 1)
        yield both[:, 0], both[:, 1]


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
    vocab_size=len(words()), d_model=64, n_layers=2, n_heads=4, context=64, batch_size=32,
    steps=200, lr=0.02,
)  # fmt: skip
"""Model and reading, settled on seed 101: batch_size sentences a step, lr is Muon's, and AdamW,
which moves the word vectors, takes half of it. Each fact is told 18 times; all are recalled then,
after 6 s. With AdamW alone 53 tellings left a quarter of them unlearned."""


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
    torch.set_num_threads(1)
    model = make_small(config, seed)
    settings = TrainConfig(
        steps=config.steps, batch_size=config.batch_size, context=LINE - 1, log_every=0,
        warmup_steps=min(config.warmup_steps, config.steps - 1), precision="float32",
    )  # fmt: skip
    rates = OptimizerConfig(kind="muon", lr=config.lr, adamw_lr=config.lr / 2, weight_decay=0.0)
    source = readings(town, config.batch_size, seed)
    train(model, source, settings, optimizer=rates, progress=False)
    return model.eval()


def batches(
    questions: Sequence[Question], batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Serve padded (x, y) without end, each question once in an epoch, in shuffled order."""
    rows = torch.tensor([_padded(*q.row(), WIDTH) for q in questions])  # (N, 2, WIDTH)
    dice = np.random.default_rng(seed)
    queue: list[int] = []
    while True:
        while len(queue) < batch_size:
            queue += dice.permutation(len(rows)).tolist()
        part = rows[queue[:batch_size]]
        queue = queue[batch_size:]
        yield part[:, 0], part[:, 1]


def _padded(ids: list[int], mask: list[bool], width: int) -> tuple[list[int], list[int]]:
    x, y = shift(ids, mask)
    more = width - len(x)
    return x + [END] * more, y + [IGNORED] * more


def tune(
    model: Decoder,
    questions: Sequence[Question],
    seed: int,
    *,
    steps: int = 120,
    batch_size: int = 16,
    lr: float = 1e-3,
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
    rows = torch.tensor([_padded(*q.row(), WIDTH) for q in questions])  # (N, 2, WIDTH)
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
