"""A seeded village whose stories are told in English and in Chinese; always called synthetic."""

from minillm.data.storyworld.questions import Question
from minillm.data.storyworld.story import Story, make_corpus, make_story, stories, story_seed

__all__ = ["Question", "Story", "make_corpus", "make_story", "stories", "story_seed"]
