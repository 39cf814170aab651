"""The seed tasks: as many as there should be, all different, right where it can be computed."""

import json
import re
import statistics

import pytest

from minillm.evaluate.overlap import words_of_any_script
from minillm.finetune.instruct_filter import why_dropped
from minillm.finetune.instruct_pool import InstructionPool
from minillm.finetune.instruct_tasks import (
    InstructTask,
    chat_rows,
    language_of,
    read_tasks,
    seed_tasks,
    write_tasks,
)

SEEDS = seed_tasks()


def numbers(text):
    return [int(n) for n in re.findall(r"-?\d+", text)]


def commas(values):
    return ", ".join(map(str, values))


def is_prime(n):
    return n > 1 and all(n % d for d in range(2, n))


def printed(code):
    lines = []
    exec(code, {"print": lambda x: lines.append(str(x))})
    return "\n".join(lines)


COMPUTED = {  # instruction -> the output, computed from the input
    "Add up all the numbers in the list.": lambda x: str(sum(numbers(x))),
    "Sort the numbers from small to large.": lambda x: commas(sorted(numbers(x))),
    "What is the largest value given here?": lambda x: str(max(numbers(x))),
    "Compute the average of the measurements.": lambda x: f"{statistics.mean(numbers(x)):g}",
    "Convert the temperature from Celsius to Fahrenheit.": lambda x: f"{int(x) * 9 / 5 + 32:g}",
    "Which of the numbers below are prime?": lambda x: commas(filter(is_prime, numbers(x))),
    "Work out the area of a rectangle from its two sides.": lambda x: str(
        numbers(x)[0] * numbers(x)[1]
    ),
    "Convert the decimal number to base two.": lambda x: f"{int(x):b}",
    "Give the remainder of the division.": lambda x: str(numbers(x)[0] % numbers(x)[1]),
    "State how many minutes there are in the given number of hours.": lambda x: str(60 * int(x)),
    "Round the value to the nearest hundred.": lambda x: str(round(int(x), -2)),
    "Reverse the order of the words in the line.": lambda x: " ".join(reversed(x.split())),
    "Write the text in capital letters only.": str.upper,
    "Spell the word backwards.": lambda x: x[::-1],
    "How many words does this sentence have?": lambda x: str(len(x.split())),
    "Take the first letter of each word and join them.": lambda x: "".join(w[0] for w in x.split()),
    "Arrange the names in alphabetical order.": lambda x: commas(sorted(x.split(", "))),
    "Delete the vowels from the following phrase.": lambda x: re.sub("[aeiou]", "", x),
    "Count how many times the letter occurs in the word.": lambda x: str(
        x.split()[-1].count(x.split()[1].strip(","))
    ),
    "Copy out the words that have more than five letters.": lambda x: commas(
        w for w in re.findall(r"\w+", x) if len(w) > 5
    ),
    "Evaluate the Python expression and give its value.": lambda x: str(eval(x)),
    "What does this Python code print?": printed,
    "Name the Python type of each literal.": lambda x: commas(type(v).__name__ for v in eval(x)),
    "Determine if the number is even or odd.": lambda x: "odd" if int(x) % 2 else "even",
    "把数字从小到大排列。": lambda x: "，".join(map(str, sorted(numbers(x)))),
    "计算下面的算式，写出得数。": lambda x: str(eval(x.replace("×", "*"))),
    "数一数这句话有多少个汉字。": lambda x: str(len(x)),
    "这个数是奇数还是偶数？": lambda x: "奇数" if int(x) % 2 else "偶数",
}


def test_there_are_175():
    """Split as the released file of the paper: 149 and 26, one instance each."""
    assert len(SEEDS) == 175
    assert sum(task.is_classification for task in SEEDS) == 26
    assert len({task.instruction for task in SEEDS}) == 175
    chinese = seed_tasks("zh")
    assert 30 <= len(chinese) <= 40
    assert len(chinese) + len(seed_tasks("en")) == 175
    assert all(language_of(task.instruction) == task.language for task in SEEDS)


def test_no_seed_is_like_another_or_would_be_dropped():
    """A seed that the filters drop would teach the generator what it must not write."""
    pool = InstructionPool()
    for task in SEEDS:
        assert why_dropped(task.instruction) is None, task
        assert pool.nearest(task.instruction).f1 <= 0.7, task
        pool.add(task.instruction)


@pytest.mark.parametrize("instruction", COMPUTED)
def test_what_can_be_computed_is_right(instruction):
    (task,) = (task for task in SEEDS if task.instruction == instruction)
    assert COMPUTED[instruction](task.input) == task.output


def test_seeds_run_as_code():
    by_instruction = {task.instruction: task for task in SEEDS}
    namespace = {"items": [1, 2, 9], "numbers": [1, 2, 3], "double": lambda x: 2 * x}
    last = by_instruction[
        "Write a Python expression that gives the last item of a list called items."
    ]
    assert eval(last.output, namespace) == 9
    exec(by_instruction["Write a test for the function described below."].output, namespace)
    exec(by_instruction["Rewrite the loop as a list comprehension."].output, namespace)
    assert namespace["squares"] == [1, 4, 9]
    word = by_instruction[
        "Write a Python function which tells whether a word reads the same backwards."
    ]
    exec(word.output, namespace)
    assert namespace["is_palindrome"]("level")
    assert not namespace["is_palindrome"]("river")
    broken = by_instruction["Find and repair the error in the code."]
    with pytest.raises(SyntaxError):
        exec(broken.input, namespace)
    exec(broken.output, namespace)
    assert namespace["add"](2, 3) == 5
    with pytest.raises(SyntaxError):
        exec(
            by_instruction[
                "Detect whether the code has a syntax error. Reply with yes or no."
            ].input
        )
    line = by_instruction["What error would this line raise in Python?"]
    with pytest.raises(IndexError):
        eval(line.input)
    assert line.output == "IndexError"
    digits = by_instruction["Write a regular expression for four digits in a row."]
    assert re.search(digits.output, "in 1984")
    assert not re.search(digits.output, "198 4")


def test_no_special_token_in_a_seed():
    text = json.dumps([[t.instruction, t.input, t.output] for t in SEEDS])
    assert "<|" not in text


def test_seeds_are_short():
    """So that eight instructions, or an example of each kind, fit into a small context."""
    assert max(len(words_of_any_script(t.instruction)) for t in SEEDS) <= 20
    assert max(len(words_of_any_script(t.input + t.output)) for t in SEEDS) <= 90


def test_rows():
    task = InstructTask("a", "Spell the word.", "cat", "c-a-t", False)
    bare = InstructTask("b", "Name a fish.", "", "trout", False)
    assert [row["messages"] for row in chat_rows([task, bare])] == [
        [
            {"role": "user", "content": "Spell the word.\n\ncat"},
            {"role": "assistant", "content": "c-a-t"},
        ],
        [{"role": "user", "content": "Name a fish."}, {"role": "assistant", "content": "trout"}],
    ]


def test_written_and_read(tmp_path):
    path = tmp_path / "tasks.jsonl"
    write_tasks(path, SEEDS[-3:])
    assert read_tasks(path) == SEEDS[-3:]


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (["{"], "line 1: not a task"),
        (["[1]"], "line 1: not a task"),
        (['{"id": "a"}'], "line 1: not a task"),
        (["ok", "ok"], "line 2: the id 'en_gen_001' comes twice"),
        (["ok", "", '{"odd": 1}'], "line 3"),
    ],
)
def test_bad_files(tmp_path, lines, match):
    path = tmp_path / "tasks.jsonl"
    write_tasks(path, SEEDS[:1])
    good = path.read_text(encoding="utf-8").strip()
    path.write_text("\n".join(good if line == "ok" else line for line in lines), encoding="utf-8")
    with pytest.raises(ValueError, match=match):
        read_tasks(path)


def test_bad_tasks(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_tasks(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="needs an instruction and an output"):
        InstructTask("a", "Do it.", "x", " ", False)
    with pytest.raises(ValueError, match="must be en or zh"):
        InstructTask("a", "Do it.", "x", "y", False, "fr")
    with pytest.raises(ValueError, match="en, zh or None"):
        seed_tasks("de")
