"""Event types: feelings, help, promises and quarrels."""

from minillm.data.storyworld.world import event_type as E

E(
    "cry",
    "a",
    why="feel(a)=sad",
    eff="cried(a)=yes",
    en="""
{a} cried
{a} sat down and began to cry
big tears ran down {a:g} face
{a} hid {a:p} face and wept
""",
    zh="""
{a}哭了
{a}坐在地上哭了起来
大颗的眼泪从{a}脸上流了下来
{a}捂着脸，哭得很伤心
""",
)

E(
    "ask_help",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="feel(a)=sad",
    eff="asked(b)=a",
    en="""
{a} asked {b:o} for help
{a} told {b:o} what had happened
{a} begged {b:o} to help {a:him}
“Please help me, {b:v},” said {a:v}.
""",
    zh="""
{a}请{b}帮忙
{a}把发生的事告诉了{b}
{a}求{b}帮帮自己
“{b:v}，请帮帮我吧。”{a:v}说。
""",
)

E(
    "ask_worried",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="feel(a)=worried",
    eff="asked(b)=a",
    en="""
{a} told {b:o} about the trouble
{a} went up to {b:o} and asked for advice
“What shall I do?” {a:v} asked {b:v}.
""",
    zh="""
{a}把烦恼告诉了{b}
{a}走过去问{b}该怎么办
“我该怎么办呢？”{a:v}问{b:v}。
""",
)

E(
    "agree",
    "ab",
    why="asked(a)=b",
    eff="promised(a)=b",
    en="""
{a} promised to help {b:o}
{a} nodded and promised that {a:he} would help {b:o}
“Of course I will help you,” {a:v} said to {b:v}.
“Don't worry, {b:v}, we will do it together,” said {a:v}.
""",
    zh="""
{a}答应帮助{b}
{a}点点头，答应帮{b}的忙
“我当然会帮你。”{a:v}对{b:v}说。
“别担心，{b:v}，我们一起想办法。”{a:v}说。
""",
)

E(
    "comfort",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="feel(b)=sad",
    eff="feel(b)=calm, helped(b)=a",
    en="""
{a} comforted {b:o}
{a} put an arm around {b:o} and spoke kind words
{a} told {b:o} a funny story until {b:he} smiled
“Don't be sad. I am here,” {a:v} said to {b:v}.
""",
    zh="""
{a}安慰了{b}
{a}搂着{b}，说了许多温暖的话
{a}给{b}讲了个好笑的故事，{b:v}终于笑了
“别难过，有我在呢。”{a:v}对{b:v}说。
""",
)

E(
    "thank",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="helped(a)=b",
    eff="feel(b)=happy, bond(a,b)=friends, bond(b,a)=friends",
    en="""
{a} thanked {b:o} with all {a:p} heart
{a} hugged {b:o} and thanked {b:him}
“Thank you, {b:v}! You are a true friend,” said {a:v}.
{a} baked {_:treat} to thank {b:o}
{a} thanked {b:o} and brought {_:treat}
{a} thanked {b:o} again and again
""",
    zh="""
{a}真心地感谢{b}
{a}抱住{b}，说了声谢谢
“谢谢你，{b:v}！你真是我的好朋友。”{a:v}说。
{a}做了{_:treat}感谢{b}
{a}谢过{b}，还送来了{_:treat}
{a}一次又一次地感谢{b}
""",
)

E(
    "promise",
    "abx",
    pre="owner(x)=a",
    eff="pledged(a,b)=x",
    en="""
{a} promised to bring {b:o} {x}
{a} gave {b:o} {a:p} word that {b:he} should have {x} the next day
“Tomorrow I will bring you my {x:n}. I promise,” {a:v} said to {b:v}.
""",
    zh="""
{a}答应把{x:n}带给{b}
{a}向{b}保证，明天一定把{x:n}带来
“明天我把我的{x:n}带给你，说好了。”{a:v}对{b:v}说。
""",
)

E(
    "keep",
    "abxl",
    pre="where(x)=a, owner(x)=a, at(a)=l, at(b)=l",
    why="pledged(a,b)=x",
    eff="pledged(a,b)=kept, where(x)=b, owner(x)=b, feel(b)=happy, helped(b)=a",
    en="""
{a} kept {a:p} word and brought {b:o} {x}
{a} stood before {b:o} with {x}, just as {a:he} had promised
{x} was brought to {b:o} by {a:v}, for a promise is a promise
“A promise is a promise,” said {a:v}, and gave {b:v} {x}.
""",
    zh="""
{a}说话算话，把{x:n}带给了{b}
{a}带着{x:n}来到{b}面前，就像答应过的那样
{a}没有忘记，把{x:n}交给了{b}
“答应的事就要做到。”{a:v}说着，把{x:n}给了{b:v}。
""",
)

E(
    "forget",
    "abx",
    pre="pledged(a,b)=x",
    eff="pledged(a,b)=broken, feel(b)=sad",
    en="""
{a} forgot the promise to {b:o}
{a} did not come, and {b} waited in vain for {x}
{b} waited and waited, but {a:v} never brought {x}
""",
    zh="""
{a}忘了答应{b}的事
{a}没有来，{b}白白等着{x:n}
{b}等了又等，{a:v}始终没有把{x:n}带来
""",
)

E(
    "get_angry",
    "abx",
    pre="guilty(x)=b, owner(x)=a",
    why="whole(x)=no",
    eff="feel(a)=angry",
    en="""
{a} got angry with {b:o}
{a} turned red and shouted at {b:o}
“Look what you have done to my {x:n}!” {a:v} shouted at {b:v}.
{a} stamped {a:p} foot and would not look at {b:o}
""",
    zh="""
{a}生{b}的气了
{a}气得满脸通红，冲着{b}大叫
“看你把我的{x:n}弄成什么样了！”{a:v}冲{b:v}喊道。
{a}气得直跺脚，不肯看{b}一眼
""",
)

E(
    "quarrel",
    "ab",
    why="feel(a)=angry",
    eff="bond(a,b)=quarrel, bond(b,a)=quarrel, feel(b)=sad",
    en="""
{a} and {b:v} had a quarrel
{a} did not want to play with {b:o} any more
{a} and {b:v} shouted at each other and went different ways
“You are not my friend!” said {a:v} to {b:v}.
""",
    zh="""
{a}和{b:v}吵了一架
{a}不想再跟{b}玩了
{a}和{b:v}大吵一通，各走各的路
“你不是我的朋友！”{a:v}对{b:v}说。
""",
)

E(
    "apologise",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="bond(a,b)=quarrel",
    eff="sorry(a,b)=yes",
    en="""
{a} said sorry to {b:o}
{a} went to {b:o} and asked {b:him} to forgive {a:him}
“I am so sorry, {b:v},” {a:v} said in a low voice.
{a} wrote “sorry” on a piece of paper and gave it to {b:o}
""",
    zh="""
{a}向{b}道了歉
{a}走到{b}面前，请求原谅
“{b:v}，真对不起。”{a:v}小声说。
{a}在纸上写了“对不起”，递给{b}
""",
)

E(
    "forgive",
    "ab",
    why="sorry(b,a)=yes",
    eff="feel(a)=calm, feel(b)=happy, bond(a,b)=friends, bond(b,a)=friends",
    en="""
{a} forgave {b:o}
{a} smiled and took {b:g} hand
{b} was forgiven by {a:v}
“Let us be friends again,” {a:v} said to {b:v}.
""",
    zh="""
{a}原谅了{b}
{a}笑了笑，拉住了{b:g}手
{b}得到了{a:v}的原谅
“我们和好吧。”{a:v}对{b:v}说。
""",
)

E(
    "refuse",
    "ab",
    pre="sorry(b,a)=yes",
    eff="feel(b)=sad, bond(a,b)=apart, bond(b,a)=apart",
    en="""
{a} did not forgive {b:o}
{a} turned away and closed the door before {b:o}
“No, I can not forget it,” {a:v} said to {b:v}.
""",
    zh="""
{a}没有原谅{b}
{a}转过身，在{b}面前关上了门
“不，我忘不了这件事。”{a:v}对{b:v}说。
""",
)
