"""The words of the village: people, places, things and animals, in English and in Chinese.

Every row is one entity and both of its names, so that a story told twice speaks of the same
world. Tables are plain text, one row a line, columns divided by a bar.
"""

from dataclasses import dataclass

VOWELS = "aeiou"


@dataclass(frozen=True)
class Noun:
    """One word that the village can point at.

    Attributes:
        key: the English singular, which is also the id in events and states.
        en: English singular without article.
        plural: English plural (the same as `en` where the thing is always plural).
        zh: Chinese noun.
        measure: Chinese measure word, as in 一把钥匙.
        kind: what it can be used for ("toy", "tool", ...).
    """

    key: str
    en: str
    plural: str
    zh: str
    measure: str
    kind: str


@dataclass(frozen=True)
class Place:
    """A place: `at_en` is "by the river" whole, `at_zh` what stands after 在 (河边)."""

    key: str
    en: str
    at_en: str
    zh: str
    at_zh: str
    outdoor: bool


def article(word: str) -> str:
    """Return "a" or "an" for the word that follows, by its first letter.

    >>> article("old key"), article("key")
    ('an', 'a')
    """
    return "an" if word[0].lower() in VOWELS else "a"


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.split("|")] for row in table.strip().splitlines()]


def _words(table: str) -> list[str]:
    return table.split()


GIRLS = [
    tuple(pair.split("/"))
    for pair in _words("""
Mia/米娅 Anna/安娜 Lily/莉莉 Ella/艾拉 Rose/罗丝 Emma/艾玛 Clara/克拉拉 Nora/诺拉
Ruby/露比 Grace/格蕾丝 Ivy/艾薇 Lucy/露西 Ada/阿达 Hanna/汉娜 Vera/薇拉 Tina/蒂娜
Mei/小梅 Lan/小兰 Yun/小云 Ping/小萍 Jing/小静 Xue/小雪
""")
]
BOYS = [
    tuple(pair.split("/"))
    for pair in _words("""
Tom/汤姆 Ben/本杰 Sam/山姆 Leo/利奥 Max/马克斯 Finn/芬恩 Jack/杰克 Oscar/奥斯卡
Peter/彼得 Hugo/雨果 Felix/菲利 David/大卫 Noah/诺亚 Paul/保罗 Karl/卡尔 Otto/奥托
Ming/小明 Bao/小宝 Jun/小军 Qiang/小强 Wei/小伟 Peng/小鹏
""")
]
ROLES = {  # the role of a grown-up: (English, Chinese); children are the rest
    row[0]: (row[0], row[1])
    for row in _rows("""
baker|面包师
farmer|农民
teacher|老师
doctor|医生
blacksmith|铁匠
carpenter|木匠
gardener|园丁
miller|磨坊主
tailor|裁缝
potter|陶匠
painter|画家
postman|邮递员
musician|乐手
beekeeper|养蜂人
""")
}
PLACES = {
    r[0]: Place(r[0], r[1], r[2], r[3], r[4], r[5] == "out")
    for r in _rows("""
market|the market|at the market|市场|市场上|out
river|the river|by the river|河边|河边|out
forest|the forest|in the forest|森林|森林里|out
hill|the hill|on the hill|小山坡|小山坡上|out
school|the school|at the school|学校|学校里|in
bakery|the bakery|in the bakery|面包店|面包店里|in
mill|the mill|at the mill|磨坊|磨坊里|in
barn|the barn|in the barn|谷仓|谷仓里|in
garden|the garden|in the garden|花园|花园里|out
square|the village square|in the village square|村里的广场|村里的广场上|out
lake|the lake|by the lake|湖边|湖边|out
orchard|the orchard|in the orchard|果园|果园里|out
meadow|the meadow|in the meadow|草地|草地上|out
library|the library|in the library|图书馆|图书馆里|in
workshop|the workshop|in the workshop|工坊|工坊里|in
well|the old well|by the old well|老井边|老井边|out
tower|the clock tower|at the clock tower|钟楼|钟楼里|in
harbor|the little harbor|in the little harbor|小码头|小码头上|out
temple|the temple|at the temple|寺庙|寺庙里|in
teahouse|the teahouse|in the teahouse|茶馆|茶馆里|in
""")
}


def _nouns(table: str) -> dict[str, Noun]:
    return {r[0]: Noun(*r) for r in ([row[0], *row] for row in _rows(table))}


THINGS = _nouns("""
ball|balls|球|个|toy
kite|kites|风筝|只|toy
doll|dolls|娃娃|个|toy
drum|drums|鼓|面|toy
flute|flutes|笛子|支|toy
top|tops|陀螺|个|toy
puppet|puppets|木偶|个|toy
toy boat|toy boats|玩具船|只|toy
key|keys|钥匙|把|small
ring|rings|戒指|枚|small
coin purse|coin purses|钱包|个|small
button|buttons|扣子|颗|small
bell|bells|铃铛|个|small
letter|letters|信|封|small
map|maps|地图|张|small
pen|pens|钢笔|支|small
comb|combs|梳子|把|small
whistle|whistles|哨子|个|small
necklace|necklaces|项链|条|small
mirror|mirrors|镜子|面|fragile
cup|cups|杯子|只|fragile
vase|vases|花瓶|个|fragile
teapot|teapots|茶壶|把|fragile
plate|plates|盘子|个|fragile
jar|jars|罐子|个|fragile
clock|clocks|闹钟|个|fragile
lantern|lanterns|灯笼|盏|fragile
hat|hats|帽子|顶|wear
scarf|scarves|围巾|条|wear
coat|coats|外套|件|wear
umbrella|umbrellas|雨伞|把|wear
basket|baskets|篮子|个|made
blanket|blankets|毯子|条|made
stool|stools|凳子|张|made
picture|pictures|画|幅|made
bird house|bird houses|鸟窝|个|made
hammer|hammers|锤子|把|tool
ladder|ladders|梯子|架|tool
saw|saws|锯子|把|tool
rope|ropes|绳子|根|tool
shovel|shovels|铲子|把|tool
book|books|书|本|book
storybook|storybooks|故事书|本|book
""")
FOODS = _nouns("""
apple|apples|苹果|个|tree
pear|pears|梨|个|tree
peach|peaches|桃子|个|tree
plum|plums|李子|个|tree
orange|oranges|橘子|个|tree
egg|eggs|鸡蛋|个|farm
carrot|carrots|胡萝卜|根|farm
potato|potatoes|土豆|个|farm
tomato|tomatoes|西红柿|个|farm
mushroom|mushrooms|蘑菇|个|wild
chestnut|chestnuts|栗子|颗|wild
""")
CROPS = _nouns("""
bean|beans|豆子|颗|seed
sunflower|sunflowers|向日葵|棵|seed
pumpkin|pumpkins|南瓜|个|seed
melon|melons|西瓜|个|seed
rose bush|rose bushes|玫瑰|棵|seed
apple tree|apple trees|苹果树|棵|seed
""")
ANIMALS = _nouns("""
dog|dogs|小狗|只|pet
cat|cats|小猫|只|pet
goat|goats|山羊|只|farm
duck|ducks|鸭子|只|farm
donkey|donkeys|驴子|头|farm
pony|ponies|小马|匹|farm
lamb|lambs|小羊|只|farm
hen|hens|母鸡|只|farm
crow|crows|乌鸦|只|wild
magpie|magpies|喜鹊|只|wild
fox|foxes|狐狸|只|wild
squirrel|squirrels|松鼠|只|wild
""")
ADJECTIVES = dict(
    pair.split("/")
    for pair in _words("""
red/红色的 blue/蓝色的 green/绿色的 yellow/黄色的 white/白色的 small/小小的 old/旧
new/新 shiny/闪亮的 pretty/漂亮的 big/大 wooden/木头做的 brown/棕色的 golden/金色的
silver/银色的 lovely/可爱的 strange/奇怪的 black/黑色的 bright/鲜艳的 plain/朴素的
""")
)
COINS = Noun("coin", "coin", "coins", "铜板", "个", "coin")
SKILLS = {
    "to swim": ("swim", "游泳"),
    "to whistle": ("whistle", "吹口哨"),
    "to read": ("read", "认字"),
    "to dance": ("dance", "跳舞"),
    "to fish": ("fish", "钓鱼"),
    "to sing": ("sing", "唱歌"),
    "to paint": ("paint", "画画"),
    "to ride": ("ride a horse", "骑马"),
    "to bake": ("bake bread", "烤面包"),
    "to row": ("row a boat", "划船"),
}
CONTESTS = {
    "contest of race": ("the running race", "赛跑"),
    "contest of singing": ("the singing contest", "唱歌比赛"),
    "contest of kites": ("the kite contest", "风筝比赛"),
    "contest of boats": ("the boat race", "划船比赛"),
    "contest of cakes": ("the cake contest", "蛋糕比赛"),
    "contest of drawing": ("the drawing contest", "画画比赛"),
}
NUMBERS_EN = _words("""
zero one two three four five six seven eight nine ten eleven twelve
""")
NUMBERS_ZH = _words("""
零 一 两 三 四 五 六 七 八 九 十 十一 十二
""")
FEELINGS = {
    "happy": ("happy", "高兴"),
    "sad": ("sad", "难过"),
    "angry": ("angry", "生气"),
    "worried": ("worried", "担心"),
    "afraid": ("afraid", "害怕"),
    "calm": ("calm", "平静"),
    "proud": ("proud", "自豪"),
    "brave": ("brave", "勇敢"),
    "tired": ("tired", "疲倦"),
    "lonely": ("lonely", "孤单"),
    "sorry": ("sorry", "后悔"),
    "grateful": ("grateful", "感激"),
}
WEATHER = {
    "sunny": ("sunny", "晴天"),
    "rainy": ("rainy", "下雨"),
    "stormy": ("stormy", "暴风雨"),
    "snowy": ("snowy", "下雪"),
    "dry": ("hot and dry", "又热又干"),
    "windy": ("windy", "刮风"),
}
TIMES = {
    "morning": ("morning", "早上"),
    "afternoon": ("afternoon", "下午"),
    "evening": ("evening", "傍晚"),
    "night": ("night", "夜里"),
}
