"""The arcs: each takes a plan from a wish or a trouble over attempts to an outcome.

An arc is a function of the plan, the hero `h` and a friend `f`; it returns "happy", "mixed" or
"sad" for the hero. The choices inside it are the planner's dice.
"""

from collections.abc import Callable

from minillm.data.storyworld.lexicon import ANIMALS
from minillm.data.storyworld.planner import Plan

Arc = Callable[[Plan, str, str], str]


def choose_outcome(p: Plan, happy: float = 0.55, mixed: float = 0.25) -> str:
    """Roll how the arc shall end."""
    roll = p.dice.random()
    return "happy" if roll < happy else "mixed" if roll < happy + mixed else "sad"


def start_rain(p: Plan) -> None:
    """Let it rain; where it rains already, it clears up first and a night passes."""
    if p.state["weather",] in ("rainy", "stormy"):
        p.do("clear")
        p.do("nightfall") if p.state["time",] != "night" else p.do("daybreak")
    p.do("rain")


def ask(p: Plan, h: str, f: str, worried: bool = False) -> None:
    """The hero goes to the friend and asks for help or advice."""
    place = p.meet(h, f)
    p.do("ask_worried" if worried else "ask_help", a=h, b=f, l=place)
    p.maybe("agree", 0.6, a=f, b=h)


def lost_thing(p: Plan, h: str, f: str) -> str:
    """Something is lost; it is searched for, and found by the hero, a friend, a dog, or nobody."""
    outcome = choose_outcome(p)
    x = p.new_thing(("toy", "small", "wear"), h)
    place = p.place(p.at(h), outdoor=True)
    p.go(h, place)
    p.do("lose", a=h, x=x, l=place)
    second = p.place(place, p.at(f))
    p.go(h, second)
    p.do("notice", a=h, x=x)
    p.maybe("cry", 0.5, a=h)
    if outcome != "happy" or p.dice.chance(0.5):
        p.do("search", a=h, x=x, l=second)
    if outcome == "sad":
        p.go(h, p.place(place, second, p.at(f)))
        p.do("search", a=h, x=x, l=p.at(h))
        p.maybe("cry", 0.5, a=h)
    elif outcome == "mixed":
        ask(p, h, f)
        if p.dice.chance(0.5):
            y = p.new_thing(("toy", "small", "book"), f)
            p.do("give", a=f, b=h, x=y, l=p.at(h))
            p.do("thank", a=h, b=f, l=p.at(h))
        else:
            p.do("comfort", a=f, b=h, l=p.at(h))
    else:
        _find_again(p, h, f, x, place)
    return outcome


def _find_again(p: Plan, h: str, f: str, x: str, place: str) -> None:
    who = p.dice.number(0, 2)
    if who == 0:
        p.go(h, place)
        p.do("find", a=h, x=x, l=place, b=h)
    elif who == 1:
        ask(p, h, f)
        p.go(f, place)
        p.do("find", a=f, x=x, l=place, b=h)
        here = p.meet(h, f) if p.dice.chance(0.5) else p.meet(f, h)
        p.do("return", a=f, b=h, x=x, l=here)
        p.do("thank", a=h, b=f, l=here)
    else:
        d = p.new_animal(("dog", "cat"))
        p.do("fetch_find", d=d, x=x, l=place, b=h)
        p.do("fetch_bring", d=d, x=x, a=h, l=p.at(h))


def broken_thing(p: Plan, h: str, f: str) -> str:
    """Somebody breaks what is the other's; they quarrel; it is mended and forgiven, or not."""
    outcome = choose_outcome(p, 0.6, 0.2)
    breaker, owner = (h, f) if p.dice.chance(0.5) else (f, h)
    x = p.new_thing(("fragile",), owner)
    here = p.meet(breaker, owner)
    p.do("lend", a=owner, b=breaker, x=x, l=here)
    p.do("break", a=breaker, x=x, b=owner)
    p.do("get_angry", a=owner, b=breaker, x=x)
    p.do("quarrel", a=owner, b=breaker)
    if p.dice.chance(0.5):
        p.do("cry", a=breaker)
    p.go(owner, p.place(here))
    if outcome == "happy":
        p.do("mend", a=breaker, x=x)
    here = p.meet(breaker, owner)
    p.do("apologise", a=breaker, b=owner, l=here)
    if outcome == "happy":
        p.do("return", a=breaker, b=owner, x=x, l=here)
    if outcome == "sad":
        p.do("refuse", a=owner, b=breaker)
    else:
        p.do("forgive", a=owner, b=breaker)
    return outcome


def storm(p: Plan, h: str, f: str) -> str:
    """A storm tears the roof; a tool is borrowed and the roof mended, with luck or at a cost."""
    outcome = choose_outcome(p, 0.6, 0.3)
    house = p.place(outdoor=False)
    if ("keeper", house) in p.state:
        return illness(p, h, f)
    p.set_initial(("keeper", house), h)
    p.set_initial(("intact", house), "yes")
    start_rain(p)
    p.do("storm")
    p.do("roof_damage", a=h, l=house)
    p.maybe("clear", 0.7)
    ask(p, h, f, worried=True)
    if outcome == "sad":
        return "sad"
    tool = p.new_thing(("tool",), f)
    p.do("lend", a=f, b=h, x=tool, l=p.at(h))
    p.go(h, house)
    p.do("mend_roof", a=h, l=house, x=tool)
    here = p.meet(h, f)
    if outcome == "mixed":
        p.do("break", a=h, x=tool, b=f)
        p.do("get_angry", a=f, b=h, x=tool)
        p.do("quarrel", a=f, b=h)
        p.do("apologise", a=h, b=f, l=here)
    else:
        p.do("return", a=h, b=f, x=tool, l=here)
        p.do("thank", a=h, b=f, l=here)
        p.maybe("feast", 0.5, a=h, b=f, l=here)
    return outcome


def runaway(p: Plan, h: str, f: str) -> str:
    """A gate stays open and an animal runs away; it is sought, and brought home or not."""
    outcome = choose_outcome(p, 0.65, 0.2)
    d = p.new_animal([k for k, n in ANIMALS.items() if n.kind == "farm"])
    home = p.dice.pick(("barn", "meadow", "garden", "orchard"))
    p.set_initial(("keeper", d), h)
    p.set_initial(("at", d), home)
    p.go(h, home)
    p.do("open_gate", a=h, d=d, l=home)
    hiding = p.place(home, p.at(f))
    p.do("run_away", d=d, a=h, l=home, m=hiding)
    for _ in range(p.dice.number(1, 2) + (outcome == "sad")):
        p.go(h, p.place(hiding, p.at(h), p.at(f)))
        p.do("seek", a=h, d=d, l=p.at(h))
    if outcome == "sad":
        return "sad"
    seeker = h
    if outcome == "mixed" or p.dice.chance(0.5):
        ask(p, h, f, worried=True)
        seeker = f
    if outcome == "mixed":
        y = p.new_thing(("toy", "small", "made"), f)
        p.do("give", a=f, b=h, x=y, l=p.at(h))
        return "mixed"
    p.go(seeker, hiding)
    p.do("find_animal", a=seeker, d=d, l=hiding, b=h)
    p.do("lead_home", a=seeker, d=d, l=hiding, b=h, m=home)
    if seeker == f:
        here = p.meet(h, f)
        p.do("thank", a=h, b=f, l=here)
    return "happy"


def promise(p: Plan, h: str, f: str) -> str:
    """The hero promises something; weather and forgetting come between."""
    outcome = choose_outcome(p)
    x = p.new_thing(("book", "toy", "small", "tool"), h)
    p.meet(h, f)
    p.do("promise", a=h, b=f, x=x)
    p.go(h, p.place(p.at(h)))
    if p.state["time",] != "night":
        p.do("nightfall")
    p.do("daybreak")
    if p.dice.chance(0.5):
        start_rain(p)
    if outcome == "happy":
        here = p.meet(h, f)
        p.do("keep", a=h, b=f, x=x, l=here)
        p.maybe("thank", 0.6, a=f, b=h, l=here)
        return outcome
    p.do("forget", a=h, b=f, x=x)
    p.maybe("cry", 0.5, a=f)
    if outcome == "mixed":
        here = p.meet(h, f)
        p.do("give", a=h, b=f, x=x, l=here)
    return outcome


def illness(p: Plan, h: str, f: str) -> str:
    """Rain, a cold, a nurse, and a recovery; sometimes the nurse falls ill too."""
    outcome = choose_outcome(p, 0.7, 0.15)
    ill, nurse = (h, f) if p.dice.chance(0.6) or outcome == "sad" else (f, h)
    p.go(ill, p.place(p.at(ill), outdoor=True))
    start_rain(p)
    p.do("get_wet", a=ill, l=p.at(ill))
    p.do("fall_ill", a=ill)
    if outcome == "sad":
        return "sad"
    here = p.meet(nurse, ill)
    p.do("nurse", a=nurse, b=ill, l=here)
    if outcome == "happy":
        p.do("recover", a=ill)
        p.do("thank", a=ill, b=nurse, l=here)
    return outcome


def theft(p: Plan, h: str, f: str) -> str:
    """Somebody takes what is not theirs, lies, cannot sleep, and tells the truth."""
    outcome = choose_outcome(p, 0.6, 0.2)
    thief, owner = (h, f) if p.dice.chance(0.5) else (f, h)
    x = p.new_thing(("toy", "small", "book", "wear"), owner)
    p.go(thief, p.at(owner))
    p.do("steal", a=thief, b=owner, x=x, l=p.at(owner))
    p.do("miss", b=owner, x=x, a=thief)
    p.do("lie", a=thief, b=owner, x=x)
    p.maybe("cry", 0.4, a=owner)
    if outcome == "sad":
        return outcome
    p.do("regret", a=thief, b=owner)
    here = p.meet(thief, owner)
    p.do("confess", a=thief, b=owner, x=x, l=here)
    p.do("return", a=thief, b=owner, x=x, l=here)
    p.do("forgive" if outcome == "happy" else "refuse", a=owner, b=thief)
    return outcome
