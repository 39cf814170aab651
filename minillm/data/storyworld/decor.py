"""Words that add colour without changing what happens: ways of walking, and what a place is like.

Nothing here speaks of weather, time, people of the story or things of the story, so that it is true
in every state.
"""

_MANNER_EN = """
quickly|slowly|alone|in a hurry|with quick steps|with slow steps|humming a tune|
without a word|deep in thought|at once|straight|by the short way|barefoot|on light feet|
in great haste|with both hands in the pockets|without looking back|by a roundabout way
"""
_ROUTE_EN = """
past the last houses|through the tall grass|along the stone wall|down the lane|
between the fields|across the yard|under the old trees|around the pond|by the narrow street|
along the hedge|past the hay carts|up the stone steps|behind the stables|through the clover|
past the beehives|along the ditch|by way of the vineyard|past a row of white fences
"""
_PATH_EN = """
narrow|winding|shortest|muddy|stony|longest|steep|grassy|sandy|quiet
"""
_SHOES_EN = """
shoes|boots|wooden shoes|sandals|straw shoes|oldest boots|Sunday shoes
"""
_MANNER_ZH = """
快步|慢慢地|独自|匆匆忙忙地|一声不响地|哼着小曲|低着头|马上|三步并作两步地|大步|轻手轻脚地|
一边想一边|头也不回地|光着脚|数着步子|背着手|不慌不忙地|喘着气
"""
_ROUTE_ZH = """
穿过田野|沿着石墙|绕过池塘|顺着小巷|穿过高高的草丛|经过几间老屋|沿着篱笆|踩着石板路|
走过大树底下|顺着田埂|绕过草垛|爬上石阶|穿过一片三叶草|沿着水沟|经过一排蜂箱|绕过马棚|
穿过葡萄架|走过一排白栅栏
"""
_PATH_ZH = """
窄窄的|弯弯曲曲的|最近的|泥泞的|铺满石子的|长长的|陡陡的|长满青草的|沙土|安静的
"""
_SHOES_ZH = """
鞋|靴子|木鞋|凉鞋|草鞋|旧靴子|布鞋
"""

_EVENING_EN = """
the shutters were closed|an owl called from the tower|the crickets sang|the dogs grew quiet|
the children were called home|the bakers went to bed early|the last cart rolled home|
candles shone here and there|the cats went hunting|the gates were barred|
the frogs began their concert|soup was served in every house|
the old people told tales by the fire|the streets became empty
"""
_DAWN_EN = """
the cows were led to the meadow|the milk cart rattled by|the bell of the school rang|
the birds began to sing|fresh bread lay in the windows|the women drew water from the well|
the roosters woke everybody|the first carts came to the square|the children ran about again|
the smith lit his fire|the shops were opened|someone was already whistling in the street|
the hens looked for worms|the miller started his wheel
"""
_TREAT_EN = """
a small cake|a plum tart|a loaf of raisin bread|a plate of cookies|a pot of dumplings|
a bowl of noodles|an apple pie|six honey rolls|a nut cake|a basket of pancakes
"""
_EVENING_ZH = """
家家关上了窗板|塔楼上的猫头鹰叫了|蟋蟀唱起歌来|狗也不叫了|孩子们被叫回了家|面包师早早睡下了|
最后一辆马车也回家了|这里那里亮着烛光|猫儿出去捉老鼠了|大门都上了闩|青蛙开起了音乐会|
家家户户喝起了热汤|老人们在火边讲起了故事|街上空荡荡的
"""
_DAWN_ZH = """
牛群被赶到了草场|送奶的车吱呀吱呀地经过|学校的钟响了|鸟儿开始唱歌|窗台上摆出了新鲜面包|
女人们去井边打水|公鸡把大家都叫醒了|第一批马车来到了广场|孩子们又跑来跑去|铁匠铺生起了火|
店铺都开了门|街上已经有人吹口哨了|母鸡在地里找虫子|水车又转了起来
"""
_TREAT_ZH = """
一个小蛋糕|一块李子饼|一个葡萄干面包|一盘饼干|一锅饺子|一碗面条|一个苹果派|六个蜂蜜卷|
一块坚果蛋糕|一篮子煎饼
"""


def _cut(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", "").split("|"))


DECOR = {
    "en": {
        "manner": _cut(_MANNER_EN),
        "route": _cut(_ROUTE_EN),
        "path": _cut(_PATH_EN),
        "shoes": _cut(_SHOES_EN),
        "evening": _cut(_EVENING_EN),
        "dawn": _cut(_DAWN_EN),
        "treat": _cut(_TREAT_EN),
    },
    "zh": {
        "manner": _cut(_MANNER_ZH),
        "route": _cut(_ROUTE_ZH),
        "path": _cut(_PATH_ZH),
        "shoes": _cut(_SHOES_ZH),
        "evening": _cut(_EVENING_ZH),
        "dawn": _cut(_DAWN_ZH),
        "treat": _cut(_TREAT_ZH),
    },
}

_DETAILS = """
market|The sellers called out their prices.|小贩们高声叫卖。
market|There were baskets of onions and cheese everywhere.|到处都是一筐筐洋葱和奶酪。
market|It smelled of fish and fresh herbs.|空气里有鱼和香草的味道。
river|The river murmured over the stones.|河水哗哗地流过石头。
river|A frog jumped away with a plop.|一只青蛙“扑通”跳开了。
river|Reeds as high as a man grew on the bank.|岸上的芦苇有一人多高。
forest|The trees stood close together like old friends.|树木紧紧挨着，像一群老朋友。
forest|It smelled of moss and wet wood.|林子里有青苔和木头的气味。
forest|Somewhere a woodpecker was at work.|不知哪里有只啄木鸟在干活。
hill|From up there the houses looked like toys.|从高处看，房子像玩具一样小。
hill|The grass was full of grasshoppers.|草里到处是蚂蚱。
hill|One could see as far as the next village.|从那里望得见邻村。
school|On the wall hung a map of the world.|墙上挂着一幅世界地图。
school|The benches were old and full of scratches.|长凳旧旧的，满是划痕。
school|Somebody had written numbers on the blackboard.|黑板上写着几行数字。
bakery|The air was warm and smelled of bread.|屋里暖暖的，飘着面包香。
bakery|Flour lay on everything like snow.|面粉像雪一样落得到处都是。
bakery|A row of round loaves stood on the shelf.|架子上摆着一排圆圆的面包。
mill|The big wheel creaked and turned.|大轮子吱吱呀呀地转着。
mill|Sacks of grain stood along the wall.|墙边堆着一袋袋粮食。
mill|Every word had to be shouted over the noise.|声音太吵，说话都得大声喊。
barn|The hay was soft and dry.|干草又软又干。
barn|A mouse ran along the beam.|一只老鼠从房梁上跑过。
barn|Dust danced in the air.|灰尘在空中飞舞。
garden|Bees hummed between the flowers.|蜜蜂在花丛中嗡嗡叫。
garden|The cabbages stood in straight rows.|卷心菜排得整整齐齐。
garden|A snail sat on the fence.|篱笆上趴着一只蜗牛。
square|Pigeons walked about on the stones.|鸽子在石板上走来走去。
square|Two old men were playing chess under the lime tree.|两个老人在大树下下棋。
square|The fountain splashed in the middle.|广场中间的喷泉哗哗作响。
lake|Small waves licked the shore.|小小的波浪轻轻拍着岸。
lake|A boat was tied to a post.|木桩上拴着一条船。
lake|Two swans swam far out.|远处游着两只天鹅。
orchard|The branches hung low over the grass.|树枝低低地垂在草地上。
orchard|Wasps buzzed around the fallen fruit.|马蜂围着掉下的果子飞。
orchard|A long table stood between the trees.|树中间摆着一张长桌。
meadow|Daisies grew there as far as one could see.|一眼望去，到处都是雏菊。
meadow|A butterfly flew from flower to flower.|一只蝴蝶从这朵花飞到那朵花。
meadow|The grass came up to the knees.|草长得齐膝高。
library|Nobody spoke above a whisper.|大家说话都轻声细语。
library|The shelves reached up to the ceiling.|书架一直顶到天花板。
library|It smelled of old paper.|屋里有旧纸的气味。
workshop|Shavings of wood covered the floor.|地上铺满了木屑。
workshop|Glue was bubbling in a pot.|锅里的胶咕嘟咕嘟地冒泡。
workshop|Nails of all sizes lay in little boxes.|小盒子里装着大大小小的钉子。
well|The stones around it were worn and smooth.|井边的石头磨得光光的。
well|A bucket hung from the chain.|链子上挂着一只水桶。
well|Far below, the water was black and cool.|井水深深的，又黑又凉。
tower|The great clock went tick, tock.|大钟滴答滴答地走着。
tower|Stairs without end led up into the dark.|楼梯一级一级通向黑暗的高处。
tower|Bats lived between the beams.|房梁之间住着蝙蝠。
harbor|It smelled of salt and tar.|空气里有盐和柏油的味道。
harbor|Nets were spread out to dry.|渔网摊开晾着。
harbor|Seagulls quarrelled over a crust.|海鸥为一块面包皮争个不停。
temple|Thin smoke rose from the incense.|香火升起淡淡的青烟。
temple|Stone lions watched over the door.|石狮子守在门口。
temple|The wooden floor shone like water.|木地板亮得像水面。
teahouse|Steam rose from many cups.|一杯杯热茶冒着白气。
teahouse|Someone was telling an old tale in the corner.|角落里有人在讲古老的传说。
teahouse|There were dishes of nuts on every table.|每张桌上都有一碟坚果。
"""
DETAILS: dict[str, dict[str, list[str]]] = {"en": {}, "zh": {}}
for _row in _DETAILS.strip().splitlines():
    _place, _en, _zh = _row.split("|")
    DETAILS["en"].setdefault(_place, []).append(_en)
    DETAILS["zh"].setdefault(_place, []).append(_zh)
