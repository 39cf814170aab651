"""Step 1 of Self-Instruct: a generator goes on with lists of instructions, and the pool grows."""

import random
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from minillm.finetune.instruct_filter import FilterConfig, tidy, why_dropped
from minillm.finetune.instruct_generate import Answer, Generate, Request, ask
from minillm.finetune.instruct_journal import Journal, Record
from minillm.finetune.instruct_pool import InstructionPool
from minillm.finetune.instruct_prompts import list_prompt, split_list
from minillm.finetune.instruct_settings import PromptConfig, SelfInstructConfig
from minillm.finetune.instruct_tasks import InstructTask


def show(
    seeds: Sequence[str], generated: Sequence[str], prompts: PromptConfig, dice: random.Random
) -> list[str]:
    """Draw the instructions of one list: n_generated from the new ones, the rest from the seeds.

    Returns:
        n_seeds + n_generated instructions, shuffled; only seeds as long as nothing is generated.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, section 2.2.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    shown = dice.sample(generated, min(prompts.n_generated, len(generated)))
    n_seeds = prompts.n_seeds + prompts.n_generated - len(shown)
    shown += dice.sample(seeds, n_seeds)
    dice.shuffle(shown)
    return shown


def grow_instructions(
    generate: Generate,
    seeds: Sequence[InstructTask],
    config: SelfInstructConfig,
    journal: Journal,
    *,
    progress: bool = True,
) -> None:
    """Step 1: let the generator go on with lists of instructions until there are enough."""
    written = [task.instruction for task in seeds]
    kept = [k["instruction"] for record in journal.records for k in record["kept"]]
    pool = InstructionPool([*written, *kept], split=config.filter.split)
    bar = tqdm(desc="instructions", total=config.n_instructions, disable=not progress)
    bar.update(len(kept))
    for number in range(len(journal.records), config.max_rounds):
        if len(kept) >= config.n_instructions:
            break
        shown = [
            show(written, kept, config.prompts, random.Random(f"{config.seed} {number} {call}"))
            for call in range(config.n_calls)
        ]
        requests = [
            list_request(texts, config, number * config.n_calls + call)
            for call, texts in enumerate(shown)
        ]
        record = judge(ask(generate, requests), pool, config)
        journal.append({"round": number, "shown": shown, **record})
        kept += [k["instruction"] for k in record["kept"]]
        bar.update(len(record["kept"]))
        bar.set_postfix(rounds=number + 1, dropped=len(record["dropped"]))
    bar.close()


def list_request(shown: Sequence[str], config: SelfInstructConfig, number: int) -> Request:
    """Write the request for one list."""
    after = len(shown) + config.prompts.n_new + 1
    last = f"\n{after}." if config.prompts.numbering == "plain" else f"\nTask {after}:"
    return Request(
        "instructions",
        list_prompt(shown, numbering=config.prompts.numbering),
        stop=("\n\n", last),
        max_tokens=config.list_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed + number,
    )


def judge(answers: Sequence[Answer], pool: InstructionPool, config: SelfInstructConfig) -> Record:
    """Read lists, and keep of them what passes the filters; the pool grows as it goes.

    Returns:
        "kept" and "dropped": instruction, its largest ROUGE-L with the pool before it and the text
        that has it, and the reason; "n_cut": answers that were cut short.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    rules: FilterConfig = config.filter
    kept, dropped = [], []
    for text in _candidates(answers, config):
        reason = why_dropped(text, rules)
        near = pool.nearest(text)
        if reason is None and near.f1 > rules.threshold:
            reason = "similar"
        entry = {"instruction": text, "f1": round(near.f1, 6), "nearest": near.text}
        if reason is None:
            pool.add(text)
            kept.append(entry)
        else:
            dropped.append(entry | {"reason": reason})
    return {
        "kept": kept,
        "dropped": dropped,
        "n_cut": sum(not answer.finished for answer in answers),
    }


def _candidates(answers: Sequence[Answer], config: SelfInstructConfig) -> Iterator[str]:
    for answer in answers:
        if not answer.finished and config.cut == "all":
            continue
        found = split_list(answer.text, numbering=config.prompts.numbering)
        for text in found if answer.finished else found[:-1]:
            yield tidy(text, capitalize=config.filter.capitalize)
