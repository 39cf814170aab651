"""Settings with which the studies of reward models run in a second; see test_story_rewards."""

from minillm.recipes import story_rewards as parts

N_TRAIN, N_TEST = 16, 20


def shrink(monkeypatch, study):
    """The smallest base, few pairs, and every draw a slice of one of its kind."""
    for name, value in {"MODEL": "draft", "N_TRAIN": N_TRAIN, "N_TEST": N_TEST}.items():
        if hasattr(study, name):
            monkeypatch.setattr(study, name, value)
    draw = parts.draw_pairs

    def few(part, n, seed, **settings):
        return draw("train", 32, 5, **settings)[:n]  # test worlds are rarer, so dearer

    monkeypatch.setattr(parts, "draw_pairs", few)
