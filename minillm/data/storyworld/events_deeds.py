"""Event types: food and illness, contests and feasts."""

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
