"""Connectives, openings and endings in both languages."""

CAUSAL = {  # what stands before and between a cause and its consequence
    "en": (
        ("", ", so "),
        ("because ", ", "),
        ("", ", and because of that "),
        ("since ", ", "),
        ("when ", ", "),
        ("after ", ", "),
        ("", ", and so "),
        ("reversed", " because "),
    ),
    "zh": (
        ("因为", "，所以"),
        ("", "，所以"),
        ("", "，于是"),
        ("", "，结果"),
        ("由于", "，"),
        ("", "，因此"),
        ("", "。就因为这样，"),
    ),
}
SEQUENCE = {
    "en": (", and ", ", and then ", ", and soon ", "; ", ", and after that "),
    "zh": ("，", "，然后", "，接着", "，不久，", "；"),
}
BACK_REFERENCE = {
    "en": (("because ", ", "), ("since ", ", "), ("as ", ", ")),
    "zh": (("因为", "，"), ("由于", "，")),
}
FRONTED = {
    "en": ("so ", "because of that, ", "for this reason ", "and so "),
    "zh": ("所以", "因此，", "为了这件事，", "于是"),
}
ONSETS = {
    "en": (
        "then ",
        "after that, ",
        "a little later ",
        "soon ",
        "not long afterwards, ",
        "before long ",
        "a moment later ",
        "next, ",
    ),
    "zh": (
        "然后，",
        "后来，",
        "过了一会儿，",
        "不久，",
        "接着，",
        "没过多久，",
        "这时，",
        "就在这时候，",
        "随后，",
    ),
}

OPENINGS = {  # {who} is "a girl named Mia" / 一个叫米娅的女孩, {name} the name
    "en": (
        "Once there was {who}.",
        "In a {village} village lived {who}.",
        "Long ago there lived {who} in a {village} village.",
        "This is the story of {who}.",
        "At the {side} of a {village} village lived {who}.",
        "Everybody in the village knew {name}, {who2}.",
        "{name} was {who2} from a {village} village.",
        "Do you know {name}? {name} was {who2} who lived near the river.",
    ),
    "zh": (
        "从前有{who}。",
        "一个{village}村子里住着{who}。",
        "很久以前，在一个{village}村子里住着{who}。",
        "这是{who}的故事。",
        "村子的{side}住着{who}。",
        "村里人人都认识{name}，{pronoun}是{who2}。",
        "{name}住在一个{village}村子里，是{who2}。",
        "你认识{name}吗？{pronoun}是{who2}，住在河边不远的地方。",
    ),
}
VILLAGES = {
    "en": ("small", "quiet", "far", "green", "windy", "sleepy", "lonely", "cheerful", "hidden"),
    "zh": (
        "小",
        "安静的",
        "遥远的",
        "绿荫里的",
        "多风的",
        "宁静的",
        "偏僻的",
        "热闹的",
        "靠水的",
    ),
}
SIDES = {
    "en": ["edge", "northern end", "southern end", "upper end", "lower end", "very end"],
    "zh": ["东头", "西头", "南边", "北边", "尽头", "中间"],
}
LEADS = {
    "en": (
        "That evening ",
        "In the end ",
        "When all was done, ",
        "Late that day ",
    ),
    "zh": ("那天晚上，", "最后，", "事情过去以后，", "那天很晚的时候，"),
}
COMPANIONS = {
    "en": (
        "{name} lived next door and was {who2}.",
        "{pronoun} often met {name}, {who2}.",
        "In the same village lived {name}, {who2}.",
        "Not far away lived {who}.",
    ),
    "zh": (
        "隔壁住着{who}。",
        "{pronoun}常常见到{name}，那是{who2}。",
        "同一个村子里还住着{who}。",
        "不远的地方住着{who}。",
    ),
}
BELONGINGS = {
    "en": (
        "{pronoun} had {thing}.",
        "{pronoun} had {thing} and took good care of it.",
        "{pronoun} loved nothing more than {own}.",
        "Day after day {pronoun_low} carried {own} about.",
        "An aunt had once given {object} {thing}.",
        "Of all that {pronoun_low} had, {own} was the best.",
    ),
    "zh": (
        "{pronoun}有{thing}。",
        "{pronoun}有{thing}，平时非常爱护。",
        "{pronoun}最喜欢自己的{noun}。",
        "{pronoun}天天带着自己的{noun}。",
        "姑姑送过{pronoun}{thing}。",
        "在所有的东西里，{pronoun}最宝贝那{measure}{noun}。",
    ),
}
WEATHER_EN = {
    "sunny": ("sunny", "fine", "bright", "warm", "clear"),
    "windy": ("windy", "cool", "fresh", "gusty"),
    "dry": ("hot", "dry", "burning hot", "dusty"),
}
WEATHER_ZH = {
    "sunny": ("阳光明媚", "天气晴朗", "暖洋洋", "风和日丽"),
    "windy": ("刮着风", "凉风阵阵", "有点凉", "风呼呼地吹"),
    "dry": ("又热又干", "热得厉害", "很闷热", "太阳火辣辣"),
}
SCENES = {
    "en": (
        "One {weather} {time} {pronoun_low} was {place}.",
        "It was a {weather} {time}, and {name} was {place}.",
        "On a {weather} {time}, {name} sat {place}.",
        "That {time} it was {weather}, and {pronoun_low} stood {place}.",
        "The {time} was {weather}, and {name} had come {place_to}.",
    ),
    "zh": (
        "一个{weather}的{time}，{name}在{place}。",
        "那天{time}{weather}，{pronoun}在{place}。",
        "{weather}的{time}，{name}坐在{place}。",
        "那是一个{weather}的{time}，{name}正在{place}。",
    ),
}
TIMES_EN = {"morning": "morning", "afternoon": "afternoon", "evening": "evening", "night": "night"}
ENDINGS = {
    ("en", "happy"): (
        "That evening {name} went home with a light heart.",
        "And so everything ended well for {name}.",
        "{name} laughed, and all was well.",
        "From that day on {name} was happy.",
        "It was the best day that {name} had known for a long time.",
        "{name} fell asleep with a smile.",
        "Nobody in the village was happier than {name}.",
        "And {name} sang all the way home.",
        "{name} could not stop smiling.",
        "{name} danced around the kitchen table.",
        "{name} felt as rich as a king.",
        "{name} told everyone at home about it and laughed.",
    ),
    ("en", "sad"): (
        "{name} went home alone and was sad.",
        "It was a sad day, and {name} did not forget it.",
        "That night {name} could not sleep.",
        "Some days end badly, and this was one of them for {name}.",
        "{name} looked out of the window for a long time and said nothing.",
        "There was no happy end for {name} this time.",
        "With a heavy heart {name} went to bed.",
        "{name} sighed, and the house was very quiet.",
        "{name} did not want to eat and did not want to talk.",
        "{name} cried into the pillow.",
        "{name} sat in the dark and thought of what was gone.",
        "{name} felt very small and very tired.",
    ),
    ("en", "mixed"): (
        "It was not all good, but {name} was not alone.",
        "{name} was a little sad and a little glad.",
        "Not everything was well again, but {name} had learned something.",
        "So the day ended, half good and half bad, for {name}.",
        "{name} smiled through the tears.",
        "One thing was lost and another was won, thought {name}.",
        "Things might be better tomorrow, {name} thought.",
        "It could have been worse, and {name} knew it.",
        "{name} was tired, but no longer so unhappy.",
        "{name} sighed once and then smiled a little.",
        "{name} lost something, but won a better heart.",
        "{name} thought about it for a long time and was almost content.",
    ),
    ("zh", "happy"): (
        "那天晚上，{name}轻轻松松地回了家。",
        "就这样，{name}的故事有了一个好结局。",
        "{name}笑了，一切都好了。",
        "从那天起，{name}过得很快乐。",
        "这是{name}很久以来最开心的一天。",
        "{name}带着微笑睡着了。",
        "村里没有谁比{name}更高兴了。",
        "{name}一路唱着歌回了家。",
        "{name}笑得合不拢嘴。",
        "{name}围着饭桌跳起舞来。",
        "{name}觉得自己像国王一样富有。",
        "{name}笑着把这事讲给家里人听。",
    ),
    ("zh", "sad"): (
        "{name}一个人回了家，心里很难过。",
        "这是伤心的一天，{name}一直没有忘记。",
        "那天夜里，{name}怎么也睡不着。",
        "有些日子的结局不好，{name}的这一天就是这样。",
        "{name}久久地望着窗外，一句话也不说。",
        "这一次，{name}没有等到好结局。",
        "{name}带着沉重的心情上了床。",
        "{name}叹了口气，屋子里静悄悄的。",
        "{name}不想吃饭，也不想说话。",
        "{name}趴在枕头上哭了。",
        "{name}坐在黑暗里，想着失去的一切。",
        "{name}觉得自己又渺小又疲倦。",
    ),
    ("zh", "mixed"): (
        "事情不算圆满，但{name}并不孤单。",
        "{name}有一点难过，也有一点高兴。",
        "虽然没有全都好起来，{name}却明白了一个道理。",
        "这一天就这样过去了，对{name}来说，有好也有坏。",
        "{name}含着眼泪笑了。",
        "有失也有得，{name}心想。",
        "{name}想，明天也许会更好。",
        "本来可能更糟的，{name}心里明白。",
        "{name}很累，不过没那么难过了。",
        "{name}叹了一口气，又微微一笑。",
        "{name}失去了一些，心却变得更宽了。",
        "{name}想了很久，差不多满足了。",
    ),
}
TONES = {  # one sentence that gives a story its tone; "plain" has none
    ("en", "lively"): (
        "Oh, what a day it was!",
        "Hurry, hurry, there was so much to do!",
        "Hop, skip and jump, the day went by!",
        "Goodness, what a noise there was in the village!",
        "Who would have thought it!",
    ),
    ("en", "gentle"): (
        "The leaves moved softly in the wind.",
        "Far away a bell rang, and all was still.",
        "A thin smoke rose slowly from the roofs.",
        "The water was quiet and the light was mild.",
        "Somewhere a bird sang its small song.",
    ),
    ("zh", "lively"): (
        "啊，这一天可真热闹！",
        "快点快点，事情多着呢！",
        "蹦蹦跳跳，一天就这么过去啦！",
        "天哪，村子里真吵！",
        "谁能想到呢！",
    ),
    ("zh", "gentle"): (
        "树叶在风中轻轻摇动。",
        "远处传来钟声，四周静静的。",
        "屋顶上慢慢升起一缕炊烟。",
        "水面很静，光线很柔和。",
        "不知哪里有只小鸟在低声歌唱。",
    ),
}
