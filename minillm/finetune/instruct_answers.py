"""Steps 2 and 3 of Self-Instruct: which tasks are classification, and each of them done."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence

from tqdm import tqdm

from minillm.finetune.instruct_generate import Generate, Request, ask
from minillm.finetune.instruct_instances import (
    clean_instances,
    read_input_first,
    read_output_first,
)
from minillm.finetune.instruct_journal import Journal
from minillm.finetune.instruct_prompts import (
    input_first_prompt,
    kind_prompt,
    output_first_prompt,
    read_kind,
)
from minillm.finetune.instruct_settings import SelfInstructConfig
from minillm.finetune.instruct_tasks import InstructTask


def _batches(left: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(left), size):
        yield left[start : start + size]


def find_kinds(
    generate: Generate,
    instructions: Sequence[str],
    seeds: Sequence[InstructTask],
    config: SelfInstructConfig,
    journal: Journal,
    *,
    progress: bool = True,
) -> None:
    """Step 2: ask of each instruction whether it is classification; None is an unclear answer."""
    n_class, n_other = config.prompts.n_kind
    examples = [t for t in seeds if t.is_classification][:n_class]
    examples += [t for t in seeds if not t.is_classification][:n_other]
    random.Random(f"{config.seed} kinds").shuffle(examples)
    done = sum(len(record["kinds"]) for record in journal.records)
    bar = tqdm(desc="kinds", total=len(instructions), initial=done, disable=not progress)
    for batch in _batches(instructions[done:], config.n_calls):
        requests = [
            Request("kind", kind_prompt(text, examples), ("\n",), 8, temperature=0.0)
            for text in batch
        ]
        answers = ask(generate, requests)
        kinds = [[text, read_kind(a.text)] for text, a in zip(batch, answers, strict=True)]
        journal.append({"kinds": kinds})
        bar.update(len(batch))
    bar.close()


def make_instances(
    generate: Generate,
    is_class: Mapping[str, bool],
    seeds: Sequence[InstructTask],
    config: SelfInstructConfig,
    journal: Journal,
    *,
    progress: bool = True,
) -> None:
    """Step 3: let the generator do each task, and drop what is no instance."""
    done = sum(len(record["tasks"]) for record in journal.records)
    bar = tqdm(desc="instances", total=len(is_class), initial=done, disable=not progress)
    for batch in _batches(list(is_class)[done:], config.n_calls):
        requests = [instance_request(text, is_class[text], seeds, config) for text in batch]
        answers = ask(generate, requests)
        tasks = []
        for text, answer in zip(batch, answers, strict=True):
            read = read_output_first if is_class[text] else read_input_first
            found, dropped = clean_instances(read(answer.text, finished=answer.finished))
            tasks.append(
                {
                    "instruction": text,
                    "is_classification": is_class[text],
                    "text": answer.text,
                    "instances": found[: config.prompts.max_instances],
                    "dropped": dropped,
                }
            )
        journal.append(json.loads(json.dumps({"tasks": tasks})))  # as it will be read again
        bar.update(len(batch))
    bar.close()


def instance_request(
    instruction: str, is_class: bool, seeds: Sequence[InstructTask], config: SelfInstructConfig
) -> Request:
    """Write the request for the instances of one task: label first for classification."""
    same = [task for task in seeds if task.is_classification == is_class]
    dice = random.Random(f"{config.seed} instances")  # the same examples for every task
    examples = dice.sample(same, min(config.prompts.n_examples, len(same)))
    write = output_first_prompt if is_class else input_first_prompt
    stop = ("\nTask:", f"\nExample {config.prompts.max_instances + 1}")
    return Request(
        "instances", write(instruction, examples), stop, config.instance_tokens, temperature=0.0
    )
