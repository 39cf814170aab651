"""The checker finds nothing in good stories and names what is wrong in spoilt ones."""

from dataclasses import replace

import pytest

from minillm.data.storyworld import check_story, make_story
from minillm.data.storyworld.check import NEEDED, check_events, check_telling
from minillm.data.storyworld.planner import Plan
from minillm.data.storyworld.tell import Told
from minillm.data.storyworld.world import EVENT_TYPES, Event


def with_event(name, start=0):
    """Return the first story from a seed on that has an event of this type, and its index."""
    for seed in range(start, start + 3000):
        story = make_story(seed)
        for index, event in enumerate(story.events):
            if event.type == name:
                return story, index
    raise AssertionError(f"no story with {name}")


def changed(story, index, **roles):
    """Return the story with some roles of one event changed."""
    event = story.events[index]
    new = replace(event, roles={**event.roles, **roles})
    return replace(story, events=(*story.events[:index], new, *story.events[index + 1 :]))


def test_two_thousand_stories_are_consistent_in_both_languages():
    wrong = {seed: found for seed in range(2000) if (found := check_story(make_story(seed)))}
    assert not wrong


def test_swapped_events_are_named():
    story, i = with_event("lend")
    events = list(story.events)
    j = next(
        j for j in range(i + 1, len(events)) if events[j].roles.get("x") == events[i].roles["x"]
    )
    events[i], events[j] = events[j], events[i]
    found = check_story(replace(story, events=tuple(events)))
    assert any(p.startswith(f"event {i} {events[i].type}: needs where(") for p in found)


def test_a_deleted_cause_is_named():
    story, i = with_event("get_angry")
    cause = story.events[i].cause
    assert story.events[cause].type == "break"
    events = tuple(e for k, e in enumerate(story.events) if k != cause)
    found = check_story(replace(story, events=events))
    assert any("get_angry: needs guilty(" in p for p in found)
    assert any("get_angry: needs whole(" in p and "it is yes" in p for p in found)


def test_a_cause_that_is_not_given_is_named():
    story, i = with_event("thank")
    events = (*story.events[:i], replace(story.events[i], cause=None), *story.events[i + 1 :])
    wanted = f"event {i} thank: the cause is missing, event {story.events[i].cause} made it happen"
    assert wanted in check_story(replace(story, events=events))


def test_a_cause_in_the_future_and_a_wrong_cause_are_named():
    story, i = with_event("thank")
    late = (*story.events[:i], replace(story.events[i], cause=i), *story.events[i + 1 :])
    found = check_story(replace(story, events=late))
    assert f"event {i} thank: its cause {i} does not come before it" in found
    wrong = (story.events[i].cause + 1) if story.events[i].cause + 1 < i else 0
    other = (*story.events[:i], replace(story.events[i], cause=wrong), *story.events[i + 1 :])
    assert any("the cause is given as" in p for p in check_story(replace(story, events=other)))


def test_a_thing_that_jumps_to_another_place_is_named():
    story, i = with_event("find")
    place = story.events[i].roles["l"]
    other = "temple" if place != "temple" else "well"
    found = check_story(changed(story, i, l=other))
    assert any(f"event {i} find: needs where(" in p and f"it is {place}" in p for p in found)


def test_a_person_that_jumps_is_named():
    story, i = with_event("fall_in")
    index = next(
        k
        for k, e in enumerate(story.events)
        if e.type == "go" and e.roles["a"] == story.events[i].roles["a"] and e.roles["l"] == "river"
    )
    events = story.events[:index] + story.events[index + 1 :]
    found = check_story(replace(story, events=events))
    assert any(f"event {i - 1} fall_in: needs at(" in p for p in found)


def test_a_wrong_owner_is_named():
    story, i = with_event("return")
    roles = story.events[i].roles
    stranger = next(iter(set(story.world.people) - {roles["a"], roles["b"]}), roles["a"])
    found = check_story(changed(story, i, b=stranger))
    assert any(p.startswith(f"event {i} return: needs owner(") for p in found)


def test_one_person_in_two_roles_is_named():
    story, i = with_event("give")
    found = check_story(changed(story, i, b=story.events[i].roles["a"]))
    assert f"event {i} give: one person in two roles" in found


def test_food_that_is_not_there_is_named():
    story, i = with_event("share")
    found = check_story(changed(story, i, n=12))
    assert any(f"event {i} share: needs count(" in p for p in found)
    assert any("falls below zero" in p for p in found)


def test_an_unknown_event_and_a_missing_role_are_named():
    story = make_story(1)
    strange = replace(story, events=(*story.events, Event("fly", {"a": story.hero})))
    assert check_events(strange)[-1].endswith("fly: no such event type, or its roles do not fit")
    story, i = with_event("give")
    roles = {k: v for k, v in story.events[i].roles.items() if k != "b"}
    events = (*story.events[:i], Event("give", roles))
    assert any("roles do not fit" in p for p in check_events(replace(story, events=events)))


def test_effects_outside_their_right_are_named(monkeypatch):
    """The checker has rules of its own: only some events may move people or change owners."""
    story, i = with_event("cry")
    kind = EVENT_TYPES["cry"]
    go, make = EVENT_TYPES["go"], EVENT_TYPES["make"]
    eff = (replace(go.eff[0], value="moon"), *make.eff)
    monkeypatch.setitem(EVENT_TYPES, "cry", replace(kind, eff=eff))
    events = (replace(story.events[i], roles={"a": story.events[i].roles["a"], "x": "drum"}),)
    monkeypatch.setitem(EVENT_TYPES, "cry", replace(kind, eff=eff, roles="ax", why=()))
    found = check_events(replace(story, events=(replace(events[0], cause=None),)))
    assert any("may not move" in p for p in found)
    assert any("may not change the owner of drum" in p for p in found)
    monkeypatch.setitem(
        EVENT_TYPES, "cry", replace(kind, eff=(replace(make.eff[0], value="moon"),))
    )
    found = check_events(replace(story, events=story.events[: i + 1]))
    assert any("is nowhere" in p for p in found)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_telling_that_leaves_somebody_out_is_named(language):
    story, i = with_event("forgive")
    told = story.trace(language)
    assert check_telling(story, told, language) == []
    k = next(k for k, t in enumerate(told) if i in t.events)
    spoilt = [*told[:k], Told("...", told[k].events), *told[k + 1 :]]
    found = check_telling(story, spoilt, language)
    assert f"{language}: event {i} forgive does not name {story.events[i].roles['a']}" in found
    assert check_telling(story, [t for t in told if i not in t.events], language)
    assert check_telling(story, [*told, told[k]], language)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_telling_with_another_thing_or_place_is_named(language):
    story, i = with_event("search")
    roles = story.events[i].roles
    told = story.trace(language)
    other = changed(story, i, x="hammer" if roles["x"] != "hammer" else "saw", l="temple")
    if roles["l"] != "temple":
        found = check_telling(other, told, language)
        assert any(p.endswith("does not name temple") for p in found)
    assert any("search does not name" in p for p in check_telling(other, told, language))


def test_actors_are_said_in_every_wording():
    quiet = ("rain", "storm", "clear", "snow", "drought", "nightfall", "daybreak")
    lenient = {"roof_damage", "mend_roof", "wither", "grow", "die", "water", "run_away", "search"}
    lenient |= {"bridge_break", "fetch_find", "fetch_bring", "seek"}
    for name, kind in EVENT_TYPES.items():
        if name in (*quiet, *lenient):
            continue
        for language in ("en", "zh"):
            assert kind.roles[0] in NEEDED[name, language], (name, language)


def test_the_planner_refuses_what_is_not_possible():
    plan = Plan(0)
    x = plan.new_thing(("toy",), plan.friend)
    with pytest.raises(ValueError, match=r"give needs \('where'"):
        plan.do("give", a=plan.hero, b=plan.friend, x=x, l=plan.at(plan.hero))
