"""More arcs, the table of all of them, and the story made of one to three."""

from minillm.data.storyworld.arcs import (
    Arc,
    ask,
    broken_thing,
    choose_outcome,
    illness,
    lost_thing,
    promise,
    runaway,
    start_rain,
    storm,
    theft,
)
from minillm.data.storyworld.lexicon import ANIMALS, CROPS, FOODS
from minillm.data.storyworld.planner import Plan

FOOD_PLACES = {
    "tree": ("orchard", "garden"),
    "farm": ("barn", "garden"),
    "wild": ("forest", "hill"),
}


def thief_animal(p: Plan, h: str, f: str) -> str:
    """A wild animal takes something; it is chased and gives it back for food, or gets away."""
    outcome = choose_outcome(p, 0.65, 0.15)
    d = p.new_animal([k for k, n in ANIMALS.items() if n.kind == "wild"])
    x = p.new_thing(("small", "toy", "wear"), h)
    food = p.dice.pick(tuple(FOODS))
    if outcome == "happy":
        p.go(h, p.dice.pick(FOOD_PLACES[FOODS[food].kind]))
        p.do("pick", a=h, n=p.dice.number(2, 9), f=food, l=p.at(h))
    p.do("crow_take", d=d, x=x, a=h)
    place = p.place(p.at(h))
    p.do("chase", a=h, d=d, x=x, l=place)
    if outcome == "happy":
        p.do("swap", a=h, d=d, x=x, f=food, l=place)
        return outcome
    p.do("escape", d=d, a=h, x=x)
    p.maybe("cry", 0.5, a=h)
    if outcome == "mixed":
        here = p.meet(f, h)
        p.do("comfort", a=f, b=h, l=here)
    return outcome


def wish(p: Plan, h: str, f: str) -> str:
    """The hero wants something and works for it, or trades something for it."""
    x = p.new_thing(("toy", "small", "wear", "book"), f)
    if p.dice.chance(0.4):
        y = p.new_thing(("toy", "small", "made"), h)
        p.do("want", a=h, b=f, x=x)
        here = p.meet(h, f)
        p.do("trade", a=h, b=f, x=y, y=x, l=here)
        return "happy"
    p.do("want", a=h, b=f, x=x)
    boss = p.new_person()
    coins = p.dice.number(3, 6)
    here = p.meet(h, boss)
    p.do("earn", a=h, b=boss, n=coins, l=here)
    if p.dice.chance(0.4):
        more = p.dice.number(2, 5)
        p.do("nightfall" if p.state["time",] != "night" else "daybreak")
        p.do("earn", a=h, b=boss, n=more, l=here)
        coins += more
    if p.dice.chance(0.2):
        return "mixed"
    here = p.meet(h, f)
    p.do("buy", a=h, b=f, x=x, n=coins - p.dice.number(0, 2), l=here)
    return "happy"


def fear(p: Plan, h: str, f: str) -> str:
    """A strange animal frightens the hero, who learns courage or runs."""
    outcome = choose_outcome(p, 0.65, 0.2)
    d = p.new_animal(("dog", "goat", "fox", "pony", "donkey"))
    place = p.place(p.at(h), outdoor=True)
    p.go(h, place)
    p.do("scare", d=d, a=h, l=place)
    if outcome == "sad":
        p.do("flee", a=h, d=d, l=p.place(place))
        return outcome
    if outcome == "mixed":
        p.do("flee", a=h, d=d, l=p.place(place))
    here = p.meet(f, h)
    p.do("encourage", a=f, b=h, l=here)
    if outcome == "happy":
        p.do("befriend", a=h, d=d)
        p.maybe("thank", 0.5, a=h, b=f, l=here)
    return outcome


def river(p: Plan, h: str, f: str) -> str:
    """The storm breaks the bridge; somebody falls in, is rescued, and the bridge is built again."""
    if p.state.get(("bridge",)) == "broken":
        return illness(p, h, f)
    outcome = choose_outcome(p, 0.7, 0.3)
    fallen, saver = (h, f) if p.dice.chance(0.5) else (f, h)
    start_rain(p)
    p.do("storm")
    p.do("bridge_break")
    p.go(fallen, "river")
    p.do("fall_in", a=fallen, l="river")
    p.go(saver, "river")
    p.do("rescue", a=saver, b=fallen, l="river")
    if outcome == "mixed":
        if p.state["weather",] != "rainy":
            p.do("rain") if p.state["weather",] == "sunny" else p.do("clear")
        p.do("fall_ill", a=fallen)
        return outcome
    p.do("thank", a=fallen, b=saver, l="river")
    p.maybe("clear", 0.7)
    p.do("mend_bridge", a=h, b=f, l="river")
    p.maybe("feast", 0.4, a=h, b=f, l="river")
    return outcome


def garden(p: Plan, h: str, f: str) -> str:
    """A plant is put into the earth; drought comes; it is watered and grows, or dies."""
    if p.state["weather",] == "dry":
        p.do("rain")
    outcome = choose_outcome(p, 0.65, 0.15)
    plant = p.dice.pick([k for k in CROPS if ("plant", k) not in p.state])
    place = p.dice.pick(("garden", "meadow", "orchard", "hill", "well"))
    p.go(h, place)
    p.do("plant", a=h, f=plant, l=place)
    p.do("drought")
    p.do("wither", f=plant, a=h)
    helper = h
    if p.dice.chance(0.4) or outcome == "mixed":
        ask(p, h, f, worried=True)
        helper = f
    if outcome != "happy":
        p.do("die", f=plant, a=h)
        if outcome == "mixed":
            p.do("comfort", a=f, b=h, l=p.at(h))
        return outcome
    p.go(helper, place)
    p.do("water", a=helper, f=plant, l=place)
    p.do("grow", f=plant, a=h)
    return outcome


def hungry_friend(p: Plan, h: str, f: str) -> str:
    """Somebody is hungry and somebody shares."""
    food = p.dice.pick([k for k in FOODS if ("count", h, k) not in p.state])
    eater, giver = (f, h) if p.dice.chance(0.6) else (h, f)
    n = p.dice.number(3, 9)
    kind = FOODS[food].kind
    p.go(giver, p.dice.pick(FOOD_PLACES[kind]))
    p.do("pick", a=giver, n=n, f=food, l=p.at(giver))
    p.do("hunger", a=eater)
    here = p.meet(giver, eater)
    p.do("share", a=giver, b=eater, n=p.dice.number(1, min(4, n - 1)), f=food, l=here)
    p.do("eat", a=eater, f=food)
    p.maybe("thank", 0.6, a=eater, b=giver, l=here)
    return "happy"


def contest(p: Plan, h: str, f: str) -> str:
    """The hero enters a contest, practises or not, wins or fails."""
    outcome = choose_outcome(p, 0.55, 0.25)
    k, skill = p.dice.pick(
        (
            ("contest of singing", "to sing"),
            ("contest of boats", "to row"),
            ("contest of cakes", "to bake"),
            ("contest of drawing", "to paint"),
        )
    )
    if ("entered", h) in p.state:
        return hungry_friend(p, h, f)
    p.do("enter", a=h, k=k)
    if outcome == "happy":
        p.do("learn", a=h, b=f, s=skill)
        p.do("win", a=h, k=k)
        return outcome
    p.do("fail", a=h, k=k)
    p.maybe("cry", 0.5, a=h)
    if outcome == "mixed":
        here = p.meet(f, h)
        p.do("comfort", a=f, b=h, l=here)
    return outcome


def gift(p: Plan, h: str, f: str) -> str:
    """The hero makes something with care and gives it away."""
    x = p.new_thing(("made",), None)
    p.do("make", a=h, x=x)
    here = p.meet(h, f)
    p.do("give", a=h, b=f, x=x, l=here)
    p.maybe("thank", 0.7, a=f, b=h, l=here)
    p.maybe("feast", 0.3, a=h, b=f, l=here)
    return "happy"


ARCS: dict[str, Arc] = {
    "lost": lost_thing,
    "broken": broken_thing,
    "storm": storm,
    "runaway": runaway,
    "promise": promise,
    "illness": illness,
    "theft": theft,
    "thief": thief_animal,
    "wish": wish,
    "fear": fear,
    "river": river,
    "garden": garden,
    "hunger": hungry_friend,
    "contest": contest,
    "gift": gift,
}


def run_arcs(p: Plan) -> None:
    """Play one to three different arcs, a night between some of them."""
    roll = p.dice.random()
    n_arcs = 1 if roll < 0.5 else 2 if roll < 0.85 else 3
    names = list(ARCS)
    for index in range(n_arcs):
        if any(p.state.get(("sick", name)) == "yes" for name in p.people):
            break  # nobody starts something new beside a sickbed
        name = p.dice.pick(names)
        names.remove(name)
        if index and p.dice.chance(0.6):
            if p.state["time",] != "night":
                p.do("nightfall")
            p.do("daybreak")
        friend = p.friend if index == 0 or p.dice.chance(0.5) else p.new_person(0.5)
        p.outcomes.append((name, ARCS[name](p, p.hero, friend)))
