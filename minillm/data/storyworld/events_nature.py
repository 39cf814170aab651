"""Event types: roofs, the bridge, the river and plants."""

from minillm.data.storyworld.world import event_type as E

E(
    "roof_damage",
    "al",
    pre="intact(l)=yes, keeper(l)=a",
    why="weather()=stormy",
    eff="intact(l)=no, feel(a)=worried",
    en="""
the wind tore a hole in the roof of {l}
a big piece of {l:g} roof was blown away
{l} lost half of its roof, and {a} was very worried
“Oh no, the roof of {l}!” cried {a:v}.
""",
    zh="""
{l}的屋顶被风吹破了
大风把{l}的屋顶掀掉了一大块
{l}的屋顶没了一半，{a}急坏了
“糟了，{l}的屋顶！”{a:v}喊道。
""",
)

E(
    "mend_roof",
    "alx",
    pre="at(a)=l, where(x)=a",
    why="intact(l)=no",
    eff="intact(l)=yes, feel(a)=proud",
    en="""
{a} mended the roof of {l} with {x}
{a} climbed up with {x} and closed the hole in the roof
{a} worked on the roof until evening, and with {x} the job was done
thanks to {x}, the roof of {l} was soon whole again
""",
    zh="""
{a}用{x}修好了{l}的屋顶
{a}带着{x}爬上去，把屋顶的洞补好了
{a}忙了很久，靠着{x}终于把屋顶修好了
多亏有了{x}，{l}的屋顶很快又完好了
""",
)

E(
    "bridge_break",
    "",
    pre="bridge()!=broken",
    why="weather()=stormy",
    eff="bridge()=broken",
    en="""
the storm broke the wooden bridge
the river rose and carried the bridge away
with a loud crack the bridge fell into the river
""",
    zh="""
暴风雨冲断了木桥
河水上涨，把桥冲走了
“咔嚓”一声，桥被冲进了河里
""",
)

E(
    "mend_bridge",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="bridge()=broken",
    eff="bridge()=whole, helped(a)=b, feel(a)=proud",
    en="""
{a} and {b:v} built the bridge again
{a} sawed the planks while {b} held them, and soon there was a new bridge
the bridge was mended by {a:v} and {b:v}
“One, two, three, pull!” {a:v} and {b:v} put the bridge back in its place.
""",
    zh="""
{a}和{b:v}重新搭好了桥
{a}锯木板，{b}扶着，新桥很快就搭好了
桥被{a:v}和{b:v}修好了
“一，二，三，拉！”{a:v}和{b:v}把桥架了回去。
""",
)

E(
    "fall_in",
    "al",
    pre="at(a)=l",
    why="bridge()=broken",
    eff="in_water(a)=yes, feel(a)=afraid",
    en="""
{a} fell into the cold water
{a} tried to cross where the bridge had been and fell into the river
{a} slipped on a wet stone and, splash, was in the river
“Help! I can not swim!” cried {a:v} from the river.
""",
    zh="""
{a}掉进了冰冷的水里
{a}想从断桥那里过去，结果掉进了河里
{a}踩在湿石头上一滑，“扑通”一声掉进了河里
“救命！我不会游泳！”{a:v}在河里喊。
""",
)

E(
    "rescue",
    "abl",
    pre="at(a)=l, at(b)=l",
    why="in_water(b)=yes",
    eff="in_water(b)=no, wet(b)=yes, helped(b)=a, feel(b)=grateful, feel(a)=proud",
    en="""
{a} pulled {b:o} out of the water
{a} held out a long branch and pulled {b:o} to the bank
{b} was pulled out of the river by {a:v}
“Take my hand!” {a:v} called, and pulled {b:o} out.
""",
    zh="""
{a}把{b}从水里拉了上来
{a}伸出一根长树枝，把{b}拉到了岸上
{b}被{a:v}从河里救了上来
“抓住我的手！”{a:v}喊着，把{b}拉了上来。
""",
)

E(
    "plant",
    "afl",
    pre="at(a)=l, plant(f)=no",
    eff="plant(f)=young, grows(f)=l, planter(f)=a",
    en="""
{a} planted a little {f:n} {l:at}
{a} dug a hole {l:at} and planted {f:a} in it
{a} put a young {f:n} into the earth {l:at} and gave it some water
""",
    zh="""
{a}在{l:at}种了一{f:m}{f:n}
{a}在{l:at}挖了个坑，种下一{f:m}{f:n}
{a}把一{f:m}小小的{f:n}种在{l:at}，还浇了点水
""",
)

E(
    "wither",
    "fa",
    pre="plant(f)=young, planter(f)=a",
    why="weather()=dry",
    eff="plant(f)=thirsty, feel(a)=worried",
    en="""
the leaves of the little {f:n} hung down
the {f:n} turned yellow and weak
{a:g} {f:n} was thirsty and began to die
""",
    zh="""
小{f:n}的叶子都垂了下来
{f:n}变得又黄又弱
{a:g}{f:n}渴得快要死了
""",
)

E(
    "water",
    "afl",
    pre="at(a)=l, grows(f)=l",
    why="plant(f)=thirsty",
    eff="plant(f)=watered",
    en="""
{a} carried water to the {f:n}
every morning {a} brought a bucket of water to the {f:n}
{a} went to the well again and again and watered the {f:n}
the {f:n} was watered by {a:v} day after day
""",
    zh="""
{a}给{f:n}浇了水
每天早上，{a}都提一桶水来浇{f:n}
{a}一趟又一趟地去井边打水，浇{f:n}
{a}天天把水提来，给{f:n}喝
""",
)

E(
    "grow",
    "fa",
    pre="planter(f)=a",
    why="plant(f)=watered",
    eff="plant(f)=tall, feel(a)=happy",
    en="""
the {f:n} grew tall and strong
the {f:n} put out new green leaves and grew and grew
little by little {a:g} {f:n} became the finest in the village
""",
    zh="""
{f:n}长得又高又壮
{f:n}长出了绿绿的新叶，越长越大
慢慢地，{a:g}{f:n}成了全村最好的
""",
)

E(
    "die",
    "fa",
    pre="planter(f)=a",
    why="plant(f)=thirsty",
    eff="plant(f)=dead, feel(a)=sad",
    en="""
the {f:n} dried up and died
no water came, and the {f:n} was dead
one morning {a:g} {f:n} lay brown and dry on the ground
""",
    zh="""
{f:n}干死了
没有水，{f:n}枯死了
一天早上，{a:g}{f:n}又黄又干，倒在地上
""",
)
