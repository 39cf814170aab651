"""Event types: animals that run away, are found, frighten and are befriended."""

from minillm.data.storyworld.world import event_type as E

E(
    "open_gate",
    "adl",
    pre="keeper(d)=a, at(d)=l, gate(d)=no",
    eff="gate(d)=open",
    en="""
{a} forgot to close the gate
{a} left the gate {l:at} open
the gate {l:at} was left open by {a:v}
""",
    zh="""
{a}忘了关门
{a}没把{l:at}的门关好
{a}出去的时候，让{l:at}的门开着
""",
)

E(
    "run_away",
    "dalm",
    pre="at(d)=l, keeper(d)=a",
    why="gate(d)=open",
    eff="at(d)=m, missing(d)=yes, feel(a)=worried",
    en="""
{a:g} {d:n} ran away
the {d:n} slipped out of {l} and was gone
the {d:n} saw the open gate and ran off into the world
{a} came back {l:to} and found no {d:n}
""",
    zh="""
{a:g}{d:n}跑丢了
{d}溜出{l}，不见了
{d}看见门开着，就跑了出去
{a}回到{l}，{d:n}已经不在了
""",
)

E(
    "seek",
    "adl",
    pre="at(a)=l, at(d)!=l",
    why="missing(d)=yes",
    eff="searched(a,l)=yes",
    en="""
{a} called for the {d:n} {l:at}, but no {d:n} came
{a} looked for the {d:n} {l:at} in vain
there was no trace of the {d:n} {l:at}, and {a} walked on
""",
    zh="""
{a}在{l:at}喊着{d:n}，可是没有回应
{a}在{l:at}找{d:n}，没有找到
{l:at}没有{d:n}的影子，{a}只好继续走
""",
)

E(
    "find_animal",
    "adlb",
    pre="at(a)=l, at(d)=l, keeper(d)=b, missing(d)=yes",
    eff="missing(d)=no, feel(a)=happy",
    en="""
{a} found the {d:n} {l:at}
{a} heard a small noise {l:at}, and there was the {d:n}
the {d:n} was found {l:at} by {a:v}
“There you are, you silly {d:n}!” {a} laughed {l:at}.
""",
    zh="""
{a}在{l:at}找到了{d:n}
{a}听到{l:at}有动静，原来是{d:n}
{d:n}在{l:at}被{a:v}找到了
“原来你在这儿，小淘气！”{a}在{l:at}对{d:n}笑着说。
""",
)

E(
    "lead_home",
    "adlbm",
    pre="at(a)=l, at(d)=l, missing(d)=no, keeper(d)=b",
    eff="at(a)=m, at(d)=m, gate(d)=no, helped(b)=a, feel(b)=happy",
    en="""
{a} led the {d:n} back {m:to}
{a} put a rope around its neck and brought the {d:n} {m:to}
side by side {a} and the {d:n} went back {m:to}
""",
    zh="""
{a}把{d:n}带回了{m}
{a}用绳子牵着{d:n}，回到{m}
{a}和{d:n}一起走回了{m}
""",
)

E(
    "scare",
    "dal",
    pre="at(a)=l",
    eff="feel(a)=afraid, at(d)=l, scared(a)=d",
    en="""
a big {d:n} frightened {a:o} {l:at}
a strange {d:n} jumped out {l:at} and made {a:o} scream
{a} was frightened by a strange {d:n} {l:at}
""",
    zh="""
一{d:m}大{d:n}在{l:at}把{a}吓坏了
一{d:m}陌生的{d:n}在{l:at}跳出来，吓得{a}大叫
{a}在{l:at}被一{d:m}陌生的{d:n}吓了一跳
""",
)

E(
    "encourage",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="feel(b)=afraid",
    eff="feel(b)=brave, helped(b)=a",
    en="""
{a} took {b:g} hand and gave {b:him} courage
{a} showed {b:o} that there was nothing to fear
“Stand still and breathe. I am beside you,” {a:v} told {b:v}.
""",
    zh="""
{a}拉着{b}的手，给{b:him}勇气
{a}让{b}明白没有什么好怕的
“站住别动，慢慢呼吸，我在你身边。”{a:v}对{b:v}说。
""",
)

E(
    "befriend",
    "ad",
    pre="scared(a)=d",
    why="feel(a)=brave",
    eff="scared(a)=no, bond(a,d)=friends",
    en="""
{a} held out a hand, and the {d:n} came near
{a} made friends with the {d:n}
slowly {a} stroked the {d:n}, and it was quite gentle
""",
    zh="""
{a}伸出手，{d:n}慢慢走了过来
{a}和{d:n}成了朋友
{a}轻轻摸了摸{d:n}，它其实很温顺
""",
)

E(
    "flee",
    "adl",
    pre="scared(a)=d, at(a)!=l",
    why="feel(a)=afraid",
    eff="at(a)=l",
    en="""
{a} ran away from the {d:n} and did not stop before {l}
{a} fled from the {d:n} {l:to}
as fast as {a:he} could, {a} ran from the {d:n} {l:to}
""",
    zh="""
{a}躲开{d:n}，一口气跑到了{l}
{a}从{d:n}身边逃到了{l}
{a}拼命地跑，从{d:n}身边逃到了{l}
""",
)
