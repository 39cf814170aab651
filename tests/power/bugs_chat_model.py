"""Planted bugs of the recipe of chat; the form is that of bugs_blocks.py."""

ROOM = "minillm/recipes/chat_model"
TESTS = "tests/recipes"

BUGS = [
    (
        "worlds.py",
        'if part_of(name) == "train":',
        'if part_of(str(story.seed)) == "train":',
        "a story's part follows from its number, not from its world",
        "test_chat_model.py",
    ),
    (
        "worlds.py",
        "if len(text) <= limit:",
        "if len(text) <= 2 * limit:",
        "stories are twice as long as was asked for",
        "test_chat_model.py",
    ),
    (
        "talks.py",
        "kept = [(u, a if a == READ[language] else REFUSAL[language]) for u, a in turns]",
        "kept = turns",
        "secrets are told in training",
        "test_chat_model.py",
    ),
    (
        "talks.py",
        "strange = names_in(other, language) - names_in(story, language)",
        "strange = names_in(other, language)",
        "somebody in the story counts as absent",
        "test_chat_model.py",
    ),
    (
        "exam.py",
        "return lambda text: accepts(text) and text.strip().endswith(STOPS)",
        "return accepts",
        "a story that breaks off is right",
        "test_chat_model.py",
    ),
    (
        "exam.py",
        'turns = [(f"{text}\\n{turns[0][0]}", turns[0][1]), turns[1]]',
        "turns = [(turns[0][0], turns[0][1]), turns[1]]",
        "a second question without any story",
        "test_chat_model.py",
    ),
    (
        "gold.py",
        "return HELPFUL(judged) + SAFE(judged)",
        "return HELPFUL(judged)",
        "telling a secret costs nothing",
        "test_chat_model.py",
    ),
    (
        "answers.py",
        "low, worst = min(known)\n        high, best = max(known)",
        "low, worst = max(known)\n        high, best = min(known)",
        "the worst answer is preferred",
        "test_chat_model.py",
    ),
    (
        "answers.py",
        "if high < right - LEAST_GAP:",
        "if False:",
        "where all answers are bad nothing is learned",
        "test_chat_model.py",
    ),
    (
        "measuring.py",
        'more = paired_difference(values, found["sft"][way])',
        'more = paired_difference(found["sft"][way], values)',
        "the difference has the wrong sign",
        "test_chat_model.py",
    ),
    (
        "measuring.py",
        "best = max(rows, key=lambda name:",
        "best = min(rows, key=lambda name:",
        "the worst candidate is shipped",
        "test_chat_model.py",
    ),
    (
        "own_reward.py",
        "return judge(drawn) - torch.tensor",
        "return judge(drawn) + torch.tensor",
        "the baseline is added",
        "test_chat_model.py",
    ),
    (
        "card.py",
        "value, low, high = (round(100 * x) for x in row)",
        "low, value, high = (round(100 * x) for x in row)",
        "the card shows the lower end as the share",
        "test_chat_model.py",
    ),
]
