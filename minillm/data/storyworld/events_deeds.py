"""Event types: food and illness, animals, fear, contests and feasts."""

from minillm.data.storyworld.world import event_type as E

E(
    "hunger",
    "a",
    pre="hungry(a)=no",
    eff="hungry(a)=yes",
    en="""
{a} grew very hungry
{a} had eaten nothing since the day before and {a:p} stomach hurt
{a:g} stomach was as empty as a drum
""",
    zh="""
{a}肚子饿了
{a}从昨天起什么都没吃，饿得肚子疼
{a}饿得肚子咕咕叫
""",
)

E(
    "pick",
    "anfl",
    pre="at(a)=l",
    eff="count(a,f)+=n",
    en="""
{a} gathered {n:f} {l:at}
{a} put {n:f} into {a:p} bag {l:at}
{l:at} {a} found {n:f} and took them along
""",
    zh="""
{a}在{l:at}收了{n:f}
{a}在{l:at}把{n:f}装进了袋子
{a}在{l:at}找到{n:f}，都带上了
""",
)

E(
    "share",
    "abnfl",
    pre="at(a)=l, at(b)=l, count(a,f)>=n",
    why="hungry(b)=yes",
    eff="count(a,f)-=n, count(b,f)+=n, helped(b)=a",
    en="""
{a} gave {b:o} {n:f}
{a} opened {a:p} bag and shared {n:f} with {b:o}
{b} got {n:f} from {a:v}
“Take {n:f}, {b:v},” said {a:v}.
""",
    zh="""
{a}给了{b}{n:f}
{a}打开袋子，分给{b}{n:f}
{b}从{a:v}那里得到{n:f}
“{b:v}，给你{n:f}。”{a:v}说。
""",
)

E(
    "eat",
    "af",
    pre="count(a,f)>=1",
    why="hungry(a)=yes",
    eff="count(a,f)-=1, hungry(a)=no, feel(a)=happy",
    en="""
{a} ate {f:a}
{a} ate {f:a} at once, and how good it was
{a} bit into {f:a} and felt warm inside
""",
    zh="""
{a}吃了一{f:m}{f:n}
{a}马上吃了一{f:m}{f:n}，味道好极了
{a}咬了一口{f:n}，把一{f:m}都吃完了，身上暖和起来
""",
)

E(
    "nurse",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="sick(b)=yes",
    eff="nursed(b)=a, helped(b)=a",
    en="""
{a} brought {b:o} hot soup
{a} sat by {b:g} bed and gave {b:him} hot tea with honey
{b} was cared for by {a:v}
“Drink this, and you will feel better,” {a:v} said to {b:v}.
""",
    zh="""
{a}给{b}端来了热汤
{a}坐在{b}床边，喂{b:him}喝蜂蜜热茶
{a}日夜照顾着{b}
“喝了它，你会好起来的。”{a:v}对{b:v}说。
""",
)

E(
    "recover",
    "a",
    pre="sick(a)=yes",
    why="nursed(a)!=no",
    eff="sick(a)=no, feel(a)=happy",
    en="""
{a} got well again
after a few days {a} was well and could laugh again
{a} jumped out of bed and felt strong
""",
    zh="""
{a}的病好了
过了几天，{a}的病好了，又能笑了
{a}从床上跳下来，浑身都是力气
""",
)

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

E(
    "enter",
    "ak",
    eff="entered(a)=k",
    en="""
{a} wanted to win {k}
{a} put down {a:p} name for {k}
it was nearly time for {k}, and {a} wished to take part
""",
    zh="""
{a}想赢得{k}
{a}报名参加了{k}
村里要举行{k}，{a}也想参加
""",
)

E(
    "learn",
    "abs",
    why="entered(a)!=no",
    eff="knows(a,s)=yes, helped(a)=b, practised(a)=yes",
    en="""
{a} learned to {s} from {b:o}
{b} taught {a:v} how to {s}
{a} practised every day with {b:o} until {a:he} could {s} well
""",
    zh="""
{a}跟{b}学会了{s}
{b}教会了{a:v}{s}
{a}每天和{b}一起练习，终于学会了{s}
""",
)

E(
    "win",
    "ak",
    pre="entered(a)=k",
    why="practised(a)=yes",
    eff="won(a)=k, feel(a)=proud",
    en="""
{a} won {k}
{a} did so well that {a:he} won {k}
everybody clapped, for the winner of {k} was {a:v}
“The winner is {a:v}!” they called, and {k} was over.
""",
    zh="""
{a}赢得了{k}
{a}表现得太好了，得了{k}的第一名
大家都鼓起掌来，因为{k}的第一名是{a:v}
“第一名是{a:v}！”大家喊道，{k}结束了。
""",
)

E(
    "fail",
    "ak",
    pre="entered(a)=k",
    why="practised(a)=no",
    eff="lost_contest(a)=k, feel(a)=sad",
    en="""
{a} came last in {k}
{a} had not practised and did badly in {k}
in the middle of {k} {a} gave up and went off the field
""",
    zh="""
{a}在{k}中得了最后一名
{a}没有练习，输掉了{k}
{k}才到一半，{a}就放弃了
""",
)

E(
    "feast",
    "abl",
    pre="at(a)=l, at(b)=l",
    eff="feasted(a)=b, feel(a)=happy, feel(b)=happy",
    en="""
{a} and {b:v} danced and sang {l:at}
{a} and {b:v} had a little feast {l:at}
{l:at} there was music and cake for {a:v} and {b:v}
""",
    zh="""
{a}和{b:v}在{l:at}又唱又跳
{a}和{b:v}在{l:at}摆了一桌小小的宴席
{l:at}响起了音乐，{a:v}和{b:v}一起吃蛋糕
""",
)
