"""Event types: what is stolen, bought and traded."""

from minillm.data.storyworld.world import event_type as E

E(
    "steal",
    "abxl",
    pre="where(x)=b, at(a)=l, at(b)=l",
    eff="where(x)=a, stolen(x)=a",
    en="""
{a} took {b:g} {x:n} without asking
when nobody was looking, {a} put {b:g} {x:n} in {a:p} bag
{a} wanted {x} so much that {a:he} took it from {b:o}
{b:g} {x:n} was secretly taken by {a:v}
""",
    zh="""
{a}没问一声就拿走了{b:g}{x:n}
趁没人看见，{a}把{b:g}{x:n}放进了自己的包里
{a}太想要那{x:m}{x:n}了，就从{b}那里偷偷拿走了
{b:g}{x:n}被{a:v}悄悄拿走了
""",
)

E(
    "miss",
    "bxa",
    pre="owner(x)=b",
    why="stolen(x)=a",
    eff="feel(b)=sad, missed(x)=yes",
    en="""
{b} missed {b:p} {x:n}
{b} opened {b:p} box, but it was empty
{b} asked everyone about {b:p} {x:n}, but nobody had seen it
“My {x:n} has disappeared!” {b} cried.
""",
    zh="""
{b}发现自己的{x:n}不见了
{b}到处都找不到{x:n}
{b}打开箱子，里面空空的
{b}问了每一个人，可谁也没见过那{x:m}{x:n}
“我的{x:n}不见了！”{b}喊道。
""",
)

E(
    "lie",
    "abx",
    pre="missed(x)=yes",
    why="stolen(x)=a",
    eff="lied(a)=b",
    en="""
{a} told {b:o} a lie
{a} said that {a:he} knew nothing about {x}
“I have not seen it,” {a:v} lied to {b:v}, and looked at the floor.
""",
    zh="""
{a}对{b}撒了谎
{a}说自己不知道{x:n}在哪儿
“我没看见。”{a:v}骗{b:v}说，眼睛看着地上。
""",
)

E(
    "regret",
    "ab",
    why="lied(a)=b",
    eff="feel(a)=sorry, regret(a)=b",
    en="""
{a} felt bad about lying to {b:o}
all night {a} could not sleep, for {a:he} had lied to {b:o}
{a} thought of {b:g} sad face and was ashamed
""",
    zh="""
{a}很后悔骗了{b}
{a}骗了{b}，一整夜都睡不着
{a}想起{b}难过的样子，觉得很羞愧
""",
)

E(
    "confess",
    "abxl",
    pre="at(a)=l, at(b)=l, stolen(x)=a",
    why="regret(a)=b",
    eff="sorry(a,b)=yes, confessed(a)=b",
    en="""
{a} told {b:o} the truth about {x}
{a} told {b:o} everything
with a red face {a} told {b:o} who had taken {x}
“I took your {x:n}, and I am sorry,” {a:v} said to {b:v}.
""",
    zh="""
{a}把{x:n}的事老老实实告诉了{b}
{a}把一切都告诉了{b}
{a}红着脸向{b}承认，是自己拿了{x:n}
“是我拿了你的{x:n}，对不起。”{a:v}对{b:v}说。
""",
)

E(
    "crow_take",
    "dxa",
    pre="where(x)=a",
    eff="where(x)=d, stolen(x)=d, feel(a)=angry, missed(x)=yes",
    en="""
a {d:n} snatched {a:g} {x:n} and ran off with it
a {d:n} came out of nowhere and took {a:g} {x:n}
{a:g} {x:n} was stolen by a {d:n}
“Stop, thief!” {a} shouted, but the {d:n} was gone with {x}.
""",
    zh="""
一只{d:n}抢走了{a:g}{x:n}
一只{d:n}突然跑出来，叼走了{a:g}{x:n}
{a:g}{x:n}被一只{d:n}偷走了
“站住，小偷！”{a}大喊，可是{d:n}已经带着{x:n}跑远了。
""",
)

E(
    "chase",
    "adxl",
    pre="at(a)!=l",
    why="stolen(x)=d",
    eff="at(d)=l, at(a)=l, chased(d)=a",
    en="""
{a} ran after the {d:n} as far as {l}
{a} followed the {d:n} all the way {l:to}
the {d:n} was chased by {a:v} until they came {l:to}
""",
    zh="""
{a}追着{d:n}，一直追到{l}
{a}跟着{d:n}的脚印跑到了{l}
{d:n}被{a:v}一路追到了{l}
""",
)

E(
    "swap",
    "adxfl",
    pre="where(x)=d, at(a)=l, at(d)=l, count(a,f)>=1",
    why="stolen(x)=d",
    eff="where(x)=a, stolen(x)=no, count(a,f)-=1, feel(a)=happy",
    en="""
{a} gave the {d:n} {f:a} and got {x} back
{a} held out {f:a}, and the {d:n} dropped {x} to take it
for {f:a} the {d:n} was ready to let {x} go, and {a} picked it up
""",
    zh="""
{a}给了{d:n}一{f:m}{f:n}，拿回了{x:n}
{a}递过去一{f:m}{f:n}，{d:n}一张嘴，{x:n}就掉了下来，被{a:v}捡了回来
{a}用一{f:m}{f:n}从{d:n}那儿把{x:n}换了回来
""",
)

E(
    "escape",
    "dax",
    pre="where(x)=d, chased(d)=a",
    eff="gone(x)=yes, feel(a)=sad",
    en="""
the {d:n} got away with {x}, and {a} stood there alone
{a} was too slow, and the {d:n} disappeared with {x}
{a} never saw {x} again, for the {d:n} hid it well
""",
    zh="""
{d:n}带着{x:n}逃走了，只剩{a}一个人站在那里
{a}跑得太慢，{d:n}带着{x:n}不见了
{d:n}把{x:n}藏了起来，{a}再也没见过它
""",
)

E(
    "want",
    "abx",
    pre="where(x)=b",
    eff="want(a)=x",
    en="""
{a} saw {b:g} {x:an} and wanted it very much
{a} looked at {b:g} {x:an} for a long time and wished to have it
“How I wish that I had {x:a} like yours!” {a:v} said to {b:v}.
{a} dreamed of {b:g} {x:an} day and night
""",
    zh="""
{a}看到{b:g}{x:an}，非常想要
{a}盯着{b:g}{x:an}看了很久，很想得到它
“要是我也有{x:a}就好了！”{a:v}对{b:v}说。
{a}日日夜夜想着{b:g}{x:an}
""",
)

E(
    "earn",
    "abnl",
    pre="at(a)=l, at(b)=l",
    why="want(a)!=no",
    eff="coins(a)+=n, worked(a)=b",
    en="""
{a} worked for {b:o} and earned {n:coin}
{a} helped {b:o} all day {l:at}, and {b:v} paid {a:him} {n:coin}
{a} swept the floor {l:at}, and for this {b:v} gave {a:him} {n:coin}
for a day of hard work {l:at} {a} got {n:coin} from {b:o}
""",
    zh="""
{a}给{b}干活，挣了{n:coin}
{a}在{l:at}帮{b}忙了一整天，{b:v}付了{n:coin}
{a}在{l:at}扫地，{b:v}给了{n:coin}
{a}在{l:at}辛苦了一天，从{b}那里得到{n:coin}
""",
)

E(
    "buy",
    "abxnl",
    pre="where(x)=b, at(a)=l, at(b)=l, coins(a)>=n",
    why="want(a)=x",
    eff="where(x)=a, owner(x)=a, coins(a)-=n, coins(b)+=n, want(a)=no, feel(a)=happy",
    en="""
{a} bought {x} from {b:o} for {n:coin}
{a} counted out {n:coin} and got {x} from {b:o}
{b} sold {a:v} {x} for {n:coin}
“{n:coin}, please,” said {b:v}, and {a:v} paid and took {x}.
""",
    zh="""
{a}花{n:coin}从{b}那里买下了{x:n}
{a}数出{n:coin}，从{b}手里买到了{x:n}
{b}收了{n:coin}，把{x:n}卖给了{a:v}
“一共{n:coin}。”{b:v}说。{a:v}付了钱，拿到了{x:n}。
""",
)

E(
    "trade",
    "abxyl",
    pre="where(x)=a, where(y)=b, at(a)=l, at(b)=l",
    why="want(a)=y",
    eff="where(x)=b, owner(x)=b, where(y)=a, owner(y)=a, want(a)=no, feel(a)=happy, feel(b)=happy",
    en="""
{a} traded {a:p} {x:n} for {b:g} {y:n}
{a} offered {b:o} {x} for {y}, and {b:v} said yes
{b} took {x} from {a:v} and gave {a:him} {y}
“Your {y:n} for my {x:n}?” {a:v} asked, and {b:v} nodded.
""",
    zh="""
{a}用{x:n}换了{b:g}{y:n}
{a}想用{x:n}换{y:n}，{b}答应了
{b}收下{a:g}{x:n}，把{y:n}给了{a:v}
“用我的{x:n}换你的{y:n}，好吗？”{a:v}问。{b:v}点了点头。
""",
)
