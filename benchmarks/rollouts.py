"""Rollouts against trl's online trainer, with the very same weights on the same machine.

trl 1.16 has GRPO and RLOO as trainers that draw their own answers, and no PPO. So its GRPOTrainer
draws (`_generate`: lay out the prompts, transformers' generate, cut answers off at their end), and
our `rollout` draws. One thread, float32, temperature 1, all words allowed; prompts of different
length, 64 new tokens; the clock is that of the process (CPU seconds). What the trainer
does before (its data loader) and after (its rewards) is not counted here; see ppo_step.

Checked is that both sides draw equally many tokens (the models cannot say the end) and that trl's
`generate` keeps keys and values. Each line says what share of trl's time `generate` took; the rest
turns texts into ids and back, which ours is not asked to do.

    1. rollouts: the shape of the course's model `tiny`, 32 prompts
    2. with --larger: a model five times as large

    python -m benchmarks.rollouts
"""

import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import datasets
import tokenizers
import torch
import transformers
import trl

from benchmarks.compare import compare
from benchmarks.generate import LARGER, TINY, make_pair
from minillm.align.rollouts import rollout

PROMPTS, SHORTEST, LONGEST, NEW, GROUP, ROUNDS = 32, 16, 48, 64, 8, 5


def end_id(n_words: int) -> int:
    """The id that ends an answer: one that the models cannot say, so that all are equally long."""
    return n_words


def word_tokenizer(n_words: int) -> Any:
    """A tokenizer of transformers whose token i is the word `wi`, and one word more: the end."""
    vocab = {f"w{i}": i for i in range(n_words + 1)}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="w0"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=f"w{end_id(n_words)}",
        pad_token="w0",
        padding_side="left",
    )


def make_prompts(n_words: int, seed: int = 0) -> list[list[int]]:
    """Prompts of different length, a group of GROUP equal ones each."""
    dice = random.Random(seed)
    different = [
        [dice.randrange(2, n_words) for _ in range(dice.randint(SHORTEST, LONGEST))]
        for _ in range(PROMPTS // GROUP)
    ]
    return [prompt for prompt in different for _ in range(GROUP)]


def as_text(prompt: list[int]) -> str:
    """A prompt in the words of `word_tokenizer`."""
    return " ".join(f"w{i}" for i in prompt)


def make_trainer(llama: Any, n_words: int, folder: str, steps: int = 1) -> Any:
    """A GRPOTrainer that draws and learns as we do: no reference, one read of the answers."""
    config = trl.GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=PROMPTS,
        num_generations=GROUP,
        max_completion_length=NEW,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        num_iterations=1,
        loss_type="grpo",
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        max_steps=steps,
        max_grad_norm=1.0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        logging_steps=10_000,
        disable_tqdm=True,
    )
    prompts = [as_text(p) for p in make_prompts(n_words)[::GROUP]]
    return trl.GRPOTrainer(
        model=llama,
        reward_funcs=even_share_of_texts,
        args=config,
        train_dataset=datasets.Dataset.from_dict({"prompt": prompts * steps * 8}),
        processing_class=word_tokenizer(n_words),
    )


def even_share_of_texts(completions: list[str], **_: Any) -> list[float]:
    """A reward that costs nothing: the share of words with an even number."""
    return [even_share([int(w[1:]) for w in text.split()]) for text in completions]


def even_share(ids: list[int]) -> float:
    """The same of ids."""
    return sum(i % 2 == 0 for i in ids) / max(1, len(ids))


def cpu_seconds(job: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    job()
    return time.process_time() - start


def cpu_seconds_of(owner: Any, method: str) -> list[float]:
    """Let a method note its CPU seconds, call by call, in the list that is given back."""
    noted: list[float] = []
    inner = getattr(owner, method)

    def clocked(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return inner(*args, **kwargs)
        finally:
            noted.append(time.process_time() - start)

    setattr(owner, method, clocked)
    return noted


Side = Callable[[], float]


def both_sides(decoder: Any, trainer: Any, n_words: int) -> tuple[Side, Side, list[int]]:
    """Make what is timed.

    Returns:
        Ours and theirs, each of which draws once and gives rollouts a CPU second; and the list in
        which both note how many tokens they have drawn.
    """
    prompts, seeds, ends = make_prompts(n_words), iter(range(10_000)), [end_id(n_words)]
    texts = [as_text(p) for p in prompts]
    tokens: list[int] = []

    def ours() -> float:
        def job() -> None:
            seed = next(seeds)
            drawn = rollout(decoder, prompts, NEW, pad_id=0, stop_ids=ends, seed=seed)
            tokens.append(int(drawn.lengths.sum()))

        return PROMPTS / cpu_seconds(job)

    def theirs() -> float:
        def job() -> None:
            answers = trainer._generate(texts)[1]
            tokens.append(sum(len(answer) for answer in answers))

        return PROMPTS / cpu_seconds(job)

    return ours, theirs, tokens


def warm_up(llama: Any, ours: Side, theirs: Side, longest: int) -> None:
    """Draw once on both sides, before the clock counts, and look at what their model reads."""
    read: list[int] = []  # positions that each of their passes reads
    hook = llama.register_forward_pre_hook(
        lambda _, __, named: read.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    ours()
    theirs()
    hook.remove()
    assert read[0] == longest, "their prompts are to be as long as ours"
    assert set(read[1:]) == {1}, "their generate is to keep keys and values, too"


def one_shape(name: str, shape: dict[str, int]) -> None:
    """Print the line of one shape."""
    n_words = shape["vocab_size"]
    decoder, llama = make_pair(shape)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(llama, n_words, folder)
        trainer.model.train()
        alone = cpu_seconds_of(trainer, "_generate_single_turn")
        ours, theirs, tokens = both_sides(decoder, trainer, n_words)
        warm_up(llama, ours, theirs, max(map(len, make_prompts(n_words))))
        alone.clear()
        line = compare(
            "rollouts",
            f"trl {trl.__version__} GRPOTrainer, transformers {transformers.__version__}",
            ours,
            theirs,
            rounds=ROUNDS,
            warmup=0,
            unit="rollouts/CPU-s",
            work=PROMPTS,
            measured=True,
            quiet=True,
            shape=name,
            prompts=PROMPTS,
            new_tokens=NEW,
        )
        assert set(tokens) == {PROMPTS * NEW}  # equal work
        line["tokens_a_call"] = PROMPTS * NEW
        line["their_generate_share"] = round(
            statistics.median(alone) * float(str(line["theirs"])) / PROMPTS, 3
        )
        print(json.dumps(line), flush=True)


def quiet() -> None:
    """One thread, and no chatter of the peers."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()


def main() -> None:
    """Print the lines."""
    quiet()
    one_shape("tiny", TINY)
    if "--larger" in sys.argv:
        one_shape("larger", LARGER)


if __name__ == "__main__":
    main()
