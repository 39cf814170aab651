"""A seeded village whose stories are told in English and in Chinese; always called synthetic."""

from minillm.data.storyworld.check import check_story
from minillm.data.storyworld.instructions import Instruction, attributes_of_text
from minillm.data.storyworld.questions import Question
from minillm.data.storyworld.story import Story, make_corpus, make_story, stories, story_seed

__all__ = [
    "Instruction",
    "Question",
    "Story",
    "Variety",
    "attributes_of_text",
    "check_story",
    "make_corpus",
    "make_story",
    "stories",
    "story_seed",
    "variety",
]
from minillm.data.storyworld.variety import Variety, variety
