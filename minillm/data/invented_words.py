"""The parts of which invented personal data are made, and the sentences they are put in.

Names of people and places are put together from syllables and ordinary words; that somebody is
called so all the same cannot be excluded, and nobody is meant.
"""

FIRST_EN = [
    "Mara",
    "Ilse",
    "Tomas",
    "Edwin",
    "Petra",
    "Noel",
    "Greta",
    "Silas",
    "Hanna",
    "Oscar",
    "Vera",
    "Linus",
    "Clara",
    "Anton",
    "Ruth",
    "Felix",
    "Agnes",
    "Hugo",
    "Irma",
    "Konrad",
    "Lydia",
    "Marcus",
    "Nadia",
    "Otto",
    "Paula",
    "Quentin",
    "Rosa",
    "Simon",
    "Tilda",
    "Victor",
]
LAST_HEADS = [
    "Tol",
    "Bram",
    "Quill",
    "Hask",
    "Ver",
    "Wim",
    "Dun",
    "Fen",
    "Gral",
    "Osk",
    "Pel",
    "Rud",
    "Sten",
    "Thal",
    "Ulm",
    "Yar",
]
LAST_TAILS = [
    "vane",
    "mere",
    "wick",
    "ley",
    "by",
    "ford",
    "stone",
    "ridge",
    "combe",
    "worth",
    "lund",
    "ander",
]
FAMILY_ZH = [
    "陈",
    "林",
    "黄",
    "周",
    "吴",
    "徐",
    "孙",
    "马",
    "朱",
    "胡",
    "郭",
    "何",
    "高",
    "罗",
    "郑",
    "梁",
]
GIVEN_ZH = list("安柏初丹尔帆格禾嘉可岚铭宁沛清然书棠文溪言雨泽")

MAIL_WORDS = [
    "quiet",
    "amber",
    "north",
    "maple",
    "paper",
    "river",
    "lantern",
    "garden",
    "copper",
    "winter",
]
MAIL_HOSTS = [
    "example.com",
    "example.org",
    "example.net",
    "mail.example.com",
    "post.example.org",
    "team.example",
    "office.example.net",
    "school.example",
]

STREET_WORDS = [
    "Alder",
    "Bellwether",
    "Cobbler",
    "Dovecote",
    "Elderflower",
    "Foxglove",
    "Gosling",
    "Heron",
    "Inkwell",
    "Juniper",
    "Kestrel",
    "Larkspur",
    "Millwheel",
    "Nettle",
    "Orchard",
    "Pebble",
]
STREET_KINDS = ["Street", "Lane", "Road", "Avenue", "Drive", "Court", "St.", "Rd.", "Ave."]
TOWN_HEADS = [
    "Bram",
    "Cold",
    "East",
    "Fair",
    "Glen",
    "Hazel",
    "King",
    "Low",
    "Mill",
    "North",
    "Oak",
    "Quill",
]
TOWN_TAILS = ["ford", "wick", "haven", "bridge", "mouth", "stead", "water", "field"]
STATES = ["NY", "CA", "TX", "OH", "WA", "OR", "ME", "VT"]

PROVINCE_ZH = ["云溪省", "松泽省", "东泽省", "白河省"]
CITY_ZH = ["青石市", "柳江口市", "安澜市", "望川市", "石门岭市"]
ROAD_ZH = ["柳湖", "桂园", "书院", "长桥", "竹溪", "灯塔", "枫林", "新渡"]
ROAD_KINDS_ZH = ["路", "街", "大道", "巷"]

SENTENCES: dict[str, dict[str, list[str]]] = {
    "en": {
        "email": [
            "Write to {} before the end of the week.",
            "The list of guests was sent by {}.",
            "For a copy of the minutes ask {}.",
        ],
        "phone": [
            "Call {} after six in the evening.",
            "The number of the workshop is {}.",
            "Nobody answered at {} this morning.",
        ],
        "address": [
            "Please send the parcel to {}.",
            "They have lived at {} since the spring.",
            "The meeting is held at {}, on the first floor.",
        ],
        "ip": [
            "The request came from {} at noon.",
            "Connect to {} and try again.",
            "The log shows that {} was refused.",
        ],
        "card": [
            "She paid the bill with card {}.",
            "The card number {} is on file.",
            "Please charge {} for both nights.",
        ],
        "cn_id": [
            "The identity number {} was entered twice.",
            "Her ID card bears the number {}.",
            "Registered under {} on the same day.",
        ],
        "cn_mobile": [
            "His mobile number is {}.",
            "Send a message to {} when you arrive.",
            "The driver can be reached at {}.",
        ],
        "name": [
            "Yesterday {} came to the library.",
            "The letter was signed by {}.",
            "We asked {} about the bridge.",
        ],
    },
    "zh": {
        "email": ["请在周末之前写信到{}。", "名单是从{}发来的。", "会议记录可向{}索取。"],
        "phone": ["请在晚上六点以后拨打{}。", "作坊的电话是{}。", "今天早上{}没有人接。"],
        "address": ["请把包裹寄到{}。", "他们从春天起住在{}。", "会议在{}举行。"],
        "ip": ["请求在中午来自{}。", "请连接{}再试一次。", "日志显示{}被拒绝。"],
        "card": ["她用银行卡{}付了账。", "登记的卡号是{}。", "请从{}扣除两晚的房费。"],
        "cn_id": ["身份证号{}被登记了两次。", "她的身份证号码是{}。", "当天以{}登记。"],
        "cn_mobile": ["他的手机号是{}。", "到了以后请发短信给{}。", "可以打{}找到司机。"],
        "name": ["昨天{}来过图书馆。", "这封信由{}签名。", "我们向{}打听那座桥。"],
    },
}
