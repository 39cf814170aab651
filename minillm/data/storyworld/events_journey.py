"""Event types: walking about, the weather and the time of day."""

from minillm.data.storyworld.world import event_type as E

E(
    "go",
    "al",
    pre="at(a)!=l",
    eff="at(a)=l",
    en="""
{a} walked {l:to}
{a} went {_:manner} {l:to}
{a} hurried {_:route} {l:to}
{a} walked {_:route} {l:to}
{a} ran {_:route} {l:to}
{a} set out {_:manner} and soon came {l:to}
{a} took the {_:path} path {l:to}
{a} put on {a:p} {_:shoes} and went {l:to}
{a} made {a:p} way {_:route} {l:to}
{a} came {l:to}, {_:manner}
""",
    zh="""
{a}走到了{l}
{a}{_:manner}走到{l}
{a}{_:route}，急忙赶到{l}
{a}{_:route}，来到{l}
{a}{_:route}，一路小跑到了{l}
{a}沿着{_:path}小路走到{l}
{a}穿上{_:shoes}，去了{l}
{a}{_:manner}往{l}去了
{a}出了门，{_:route}，不久就到了{l}
""",
)

E(
    "follow",
    "abl",
    pre="at(b)=l, at(a)!=l",
    eff="at(a)=l",
    en="""
{a} came {l:to} too
{a} followed {b:o} {l:to}
{a} joined {b:o} {l:at}
{a} ran {_:route} to meet {b:o} {l:at}
{a} came {_:route} to see {b:o} {l:at}
Before long {a} also came {l:to}
""",
    zh="""
{a}也来到了{l}
{a}跟着{b}来到{l}
没过多久，{a}也到了{l}
{a}到{l}来找{b}
{a}{_:route}，到{l}来看{b}
{a}{_:manner}赶到{l}，见到了{b}
""",
)

E(
    "rain",
    "",
    pre="weather()!=rainy, weather()!=stormy",
    eff="weather()=rainy",
    en="""
it began to rain
dark clouds came and rain fell on the village
the sky turned grey and big drops of rain came down
rain began to drum on the roofs
first it dripped, then it poured
""",
    zh="""
天下起了雨
乌云来了，雨点落在村子里
天变得灰蒙蒙的，大滴的雨落了下来
雨点噼里啪啦地打在屋顶上
先是几滴小雨，后来下大了
""",
)

E(
    "storm",
    "",
    pre="weather()!=stormy",
    why="weather()=rainy",
    eff="weather()=stormy",
    en="""
the rain turned into a storm
the wind grew wild and thunder rolled over the roofs
a storm broke over the village
""",
    zh="""
雨变成了暴风雨
狂风大作，雷声滚过屋顶
一场暴风雨袭击了村子
""",
)

E(
    "clear",
    "",
    pre="weather()!=sunny",
    eff="weather()=sunny",
    en="""
the sun came out again
the clouds went away and the sky was blue
the weather turned fine
""",
    zh="""
太阳又出来了
云散了，天空蓝蓝的
天气转晴了
""",
)

E(
    "snow",
    "",
    pre="weather()!=snowy",
    eff="weather()=snowy",
    en="""
it began to snow
snow fell softly on the roofs
the air grew cold and white flakes came down
""",
    zh="""
天下起了雪
雪花轻轻地落在屋顶上
天冷了，飘起了白白的雪花
""",
)

E(
    "drought",
    "",
    pre="weather()!=dry",
    eff="weather()=dry",
    en="""
the weather became hot and dry
for many days there was not a drop of rain
the sun burned and the earth cracked
""",
    zh="""
天气变得又热又干
好多天没有下一滴雨
太阳火辣辣的，土地都裂开了
""",
)

E(
    "nightfall",
    "",
    pre="time()!=night",
    eff="time()=night",
    en="""
night fell
the sun went down and the lamps were lit
darkness came over the village
one window after another went dark
night fell, and {_:evening}
night came and {_:evening}
when it grew dark, {_:evening}
the day ended, and {_:evening}
the moon rose over the roofs
the day was over and the village slept
it grew dark and the first stars came out
""",
    zh="""
天黑了
太阳下山了，家家户户点起了灯
夜幕降临，星星出来了
黑夜笼罩了村子
窗户里的灯一盏一盏熄了
天黑了，{_:evening}
夜里，{_:evening}
天慢慢黑下来，{_:evening}
一天结束了，{_:evening}
月亮升到了屋顶上
一天过去了，村子睡着了
""",
)

E(
    "daybreak",
    "",
    pre="time()=night",
    eff="time()=morning",
    en="""
a new morning came
the next day began and the roosters crowed
the sun rose over the hill
the next morning the birds woke everybody up
at dawn the smoke of the stoves rose over the village
the next morning {_:dawn}
the next day began, and {_:dawn}
when the night was over, {_:dawn}
at daybreak {_:dawn}
it was morning again, and the shutters were opened
""",
    zh="""
新的一天来到了
第二天早上，公鸡叫了
太阳从山后升了起来
第二天一早，鸟儿把大家都叫醒了
天亮了，村里升起了炊烟
第二天早上，{_:dawn}
第二天，{_:dawn}
夜晚过去了，{_:dawn}
天刚亮，{_:dawn}
又是一个早晨，家家打开了窗户
""",
)

E(
    "get_wet",
    "al",
    pre="at(a)=l",
    why="weather()=rainy",
    eff="wet(a)=yes",
    en="""
{a} got wet to the skin {l:at}
{a} stood {l:at} without an umbrella and got soaked
{a} was caught by the rain {l:at} and came home dripping
""",
    zh="""
{a}在{l:at}被雨淋湿了
{a}在{l:at}淋成了落汤鸡
{a}站在{l:at}，衣服全湿了
""",
)

E(
    "fall_ill",
    "a",
    pre="sick(a)=no",
    why="wet(a)=yes",
    eff="sick(a)=yes, feel(a)=tired",
    en="""
{a} caught a cold
{a} fell ill and had to stay in bed
{a} began to cough and felt weak and hot
“Achoo!” {a} had a bad cold.
""",
    zh="""
{a}感冒了
{a}病倒了，只好躺在床上
{a}开始咳嗽，浑身发热没有力气
“阿嚏！”{a}得了重感冒。
""",
)
