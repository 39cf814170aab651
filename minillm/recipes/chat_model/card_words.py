"""The words of the model card that hold for every run of the recipe; numbers are put in later."""

ABOUT = {
    "answer": "a question about a short story",
    "people": "who is in the story",
    "ending": "is its ending happy, sad or mixed",
    "translate": "a sentence, into the other language",
    "follow": "a second question, without the story again",
    "why": 'only "Why?", about the answer before',
    "absent": "about somebody who is not in the story: says so",
    "nothing": "about a story nobody told: asks for one",
    "secret": "the system message forbids to tell: refuses",
    "open": "the system message allows it: answers",
    "tell": "tells a story with the given hero and ending",
    "longer": "a question about a longer story than in training",
    "small": "greetings, who are you; wordings not learned",
    "sums": "a sum: says that it does not know",
    "facts": "a fact of the world: says that it does not know",
}
LANGUAGE = {"en": "English", "zh": "Chinese"}
METHOD = {
    "sft": "supervised fine-tuning alone",
    "dpo": "DPO on pairs of the model's own answers",
    "rejection": "rejection sampling by the gold utility (best of 8, learned once)",
    "ppo": "PPO on the gain in gold utility over the model's usual answers",
    "grpo": "GRPO with the gold utility, which a checker decides",
}
HEAD = """# chat: model card

<!-- Written by minillm/recipes/chat_model/card.py from manifest.json; do not edit by hand. -->

A language model of {parameters:,} parameters ({megabytes:.1f} MB in float16) that talks in
English and Chinese about short stories of a synthetic village. It is a teaching model: it was
made on two CPU cores to show every step from raw text to a chat model, and it knows nothing but
its village.

    python -m minillm chat                     talk with it
    minillm.recipes.base("chat")               model and tokenizer in Python

## What it can do

Share of right answers, with 95 % intervals (Wilson's), on tasks about **held-out worlds**: the
people, places and facts at the beginning of these stories occur in no talk of the fine-tuning
or alignment. (The base model has read other stories of the same simulator; whether one of them
began in the same world was not checked.) A checker decides; the model takes the likeliest token
each time. Every interval counts tasks about different stories; "small" and "facts" are
all the wordings that were kept back.
"""
CANNOT = """## What it cannot do

- **Know anything of the world.** It was taught to say so, in one sentence, for sums and
  questions of fact; in wordings that it had not seen it does so in {sums} of the sums and
  {facts} of the facts. Otherwise it says something false, or something of the village. It
  cannot count, code, search or remember.
- **Read longer texts.** Stories longer than those of its training (up to {long_en} characters
  in English, {long_zh} in Chinese): {longer} right, against {answer} on short ones. It reads at
  most {context} tokens of a talk; what does not fit is forgotten, oldest turns first.
- **Be asked in any words.** Questions of the simulator have few forms; in other words the same
  question may be misunderstood. This was not measured.
- **Keep a secret for sure.** With the system message of its training it refuses in {secret} of
  the cases. Other wordings of such a message were not tried, and nobody has attacked it.
- **Say always that it does not know.** Asked about somebody who is not in the story it says so
  in {absent} of the cases, and invents an answer in the others.
- **Tell stories without a slip.** Of the stories that it tells {consistent} contradict nothing
  that they say (the simulator's own judge); {right_tell} have the hero and the ending that were
  asked for.
"""
FIRST_EDITION = """One rate each was tried. A first edition learned from half as many talks, with
fewer about absent people and fewer stories. There other rates were tried ({tried}), and no method
was better than fine-tuning. What its exam showed led to the talks of this edition, so this one is
measured on stories of its own."""
USE = """## Intended use

Lessons and experiments with a model small enough to look into. Not for advice, facts,
translation of real text, or any use in which a wrong answer does harm: it is fluent where it is
wrong.

## Data and licence

All talks are synthetic: stories, questions and right answers come from the course's simulator
(`minillm.data.storyworld`), the small talk was written for the course. No person's text and no
other model's answers were used in fine-tuning or alignment. The base model has read, besides
the village, documentation and code of free Python packages (lesson 27). The weights stand under
the licence of the repository (Apache-2.0).
"""
