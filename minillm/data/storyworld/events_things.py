"""Event types: things that are lost, found, given, lent, broken and mended."""

from minillm.data.storyworld.world import event_type as E

E(
    "lose",
    "axl",
    pre="where(x)=a, at(a)=l",
    eff="where(x)=l, lost(x)=yes",
    en="""
{a} lost {a:p} {x:n} {l:at}
{a} dropped {a:p} {x:n} somewhere {l:at}
{x} slipped out of {a:g} pocket {l:at}
while {a} was playing {l:at}, {a:p} {x:n} fell into the grass
""",
    zh="""
{a}在{l:at}丢了{x:n}
{a}的{x:n}掉在了{l:at}
{a}不小心把{x:n}落在了{l:at}
{x:n}从{a:g}口袋里滑了出去，掉在{l:at}
""",
)

E(
    "notice",
    "ax",
    why="lost(x)=yes",
    eff="feel(a)=sad",
    en="""
{a} saw that {x} was gone
{a} put a hand in {a:p} bag, but {x} was not there
{a} looked for {x} and found only an empty pocket
“Where is my {x:n}?” {a} cried. “It was here this morning!”
""",
    zh="""
{a}发现{x:n}不见了
{a}摸了摸包，{x:n}不在里面
{a}想拿{x:n}，口袋里却是空的
“我的{x:n}呢？”{a}叫道，“早上还在的！”
""",
)

E(
    "search",
    "axl",
    pre="at(a)=l, where(x)!=l",
    why="lost(x)=yes",
    eff="searched(a,l)=yes",
    en="""
{a} looked for {x} {l:at}, but it was not there
{a} searched every corner {l:at} without luck
{a} turned over every stone {l:at} and found nothing
{x} was nowhere to be seen {l:at}
""",
    zh="""
{a}在{l:at}找{x:n}，可是没有找到
{a}把{l:at}找了个遍，什么也没有
{a}在{l:at}东翻西找，还是不见{x:n}
{a}在{l:at}怎么也找不到{x:n}
""",
)

E(
    "find",
    "axlb",
    pre="at(a)=l, where(x)=l, owner(x)=b, lost(x)=yes",
    eff="where(x)=a, lost(x)=no, feel(a)=happy",
    en="""
{a} found {x} {l:at}
{a} saw something in the grass {l:at}: it was {b:g} {x:n}
at last {a} found {x} under a leaf {l:at}
“Here it is!” {a} called {l:at}, and held up {x}.
""",
    zh="""
{a}在{l:at}找到了{x:n}
{a}看见{l:at}有个东西，原来是{b:g}{x:n}
{a}终于在{l:at}的一片叶子下面找到了{x:n}
“在这儿呢！”{a}在{l:at}举起了{x:n}。
""",
)

E(
    "fetch_find",
    "dxlb",
    pre="where(x)=l, owner(x)=b, lost(x)=yes",
    eff="where(x)=d, lost(x)=no, at(d)=l",
    en="""
the {d:n} sniffed and found {x} {l:at}
a clever {d:n} dug {x} out of the leaves {l:at}
the {d:n} picked up {x} {l:at}
""",
    zh="""
{d}闻来闻去，在{l:at}找到了{x:n}
一只聪明的{d:n}在{l:at}的树叶里刨出了{x:n}
{d}在{l:at}叼起了{x:n}
""",
)

E(
    "fetch_bring",
    "dxal",
    pre="where(x)=d, at(a)=l",
    eff="where(x)=a, at(d)=l, feel(a)=happy",
    en="""
the {d:n} brought {x} to {a:o}
wagging its tail, the {d:n} laid {x} at {a:g} feet
{x} was carried to {a:o} by the {d:n}
""",
    zh="""
{d}把{x:n}送到了{a}面前
{d}摇着尾巴，把{x:n}放在{a:g}脚边
{x:n}被{d}叼回来还给了{a}
""",
)

E(
    "give",
    "abxl",
    pre="where(x)=a, owner(x)=a, at(a)=l, at(b)=l",
    eff="where(x)=b, owner(x)=b, feel(b)=happy, helped(b)=a",
    en="""
{a} gave {b:o} {x}
{a} gave {x} to {b:o}
{a} put {x} into {b:g} hands
{b} was given {x} by {a:v}
“This {x:n} is for you,” {a:v} said to {b:v}.
""",
    zh="""
{a}把{x:n}送给了{b}
{a}把{x:n}放到{b}手里
{a}送给{b}{x:a}
“这{x:m}{x:n}送给你。”{a:v}对{b:v}说。
""",
)

E(
    "lend",
    "abxl",
    pre="where(x)=a, owner(x)=a, at(a)=l, at(b)=l",
    eff="where(x)=b, helped(b)=a, lent(x)=b",
    en="""
{a} lent {b:o} {x}
{a} let {b:o} use {x}
{b} was allowed to borrow {x} from {a:v}
“You may borrow my {x:n},” said {a:v} to {b:v}.
""",
    zh="""
{a}把{x:n}借给了{b}
{a}让{b}用{x:n}
{b}从{a:v}那里借到了{x:n}
“我的{x:n}借给你用吧。”{a:v}对{b:v}说。
""",
)

E(
    "return",
    "abxl",
    pre="where(x)=a, owner(x)=b, at(a)=l, at(b)=l",
    eff="where(x)=b, lent(x)=no, stolen(x)=no, helped(b)=a",
    en="""
{a} gave {x} back to {b:o}
{a} brought {b:o} {x} back
{a} handed {x} back and smiled at {b:o}
{x} was returned to {b:o} by {a:v}
“Here is your {x:n},” said {a:v} to {b:v}.
""",
    zh="""
{a}把{x:n}还给了{b}
{a}把{x:n}交回到{b}手里
{x:n}被{a:v}还给了{b:v}
“这是你的{x:n}。”{a:v}对{b:v}说。
""",
)

E(
    "break",
    "axb",
    pre="where(x)=a, owner(x)=b, whole(x)=yes",
    eff="whole(x)=no, guilty(x)=a",
    en="""
{a} broke {b:g} {x:n}
{a} let {b:g} {x:n} fall, and it broke
with a crash {x} fell from {a:g} hands and broke in two
{b:g} {x:n} was broken by {a:v}
""",
    zh="""
{a}弄坏了{b:g}{x:n}
{a}一不小心，把{b:g}{x:n}摔坏了
“啪”的一声，{x:n}从{a}手里掉下来，摔坏了
{b:g}{x:n}被{a:v}弄坏了
""",
)

E(
    "mend",
    "ax",
    why="whole(x)=no",
    eff="whole(x)=yes, mended(x)=a",
    en="""
{a} mended {x} with glue
{a} worked all evening and made {x} whole again
piece by piece {a} put {x} together
{x} was carefully mended by {a:v}
""",
    zh="""
{a}用胶水把{x:n}修好了
{a}忙了一个晚上，把{x:n}修得跟原来一样
{a}一块一块地把{x:n}拼了起来
{x:n}被{a:v}细心地修好了
""",
)

E(
    "make",
    "ax",
    pre="where(x)=no",
    eff="where(x)=a, owner(x)=a, whole(x)=yes, feel(a)=proud",
    en="""
{a} made {x:a}
{a} worked for three days and made {x:a}
with {a:p} own hands {a} made {x:a}
it took some time, but at last {a} had made {x:a}
""",
    zh="""
{a}做了{x:a}
{a}花了三天时间，做好了{x:a}
{a}亲手做了{x:a}
{a}忙了好久，终于做出了{x:a}
""",
)
