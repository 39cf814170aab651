"""An invented village language of insults, and sentences with and without them.

In the village of Brindle one insults one's neighbour with words that exist nowhere else, so that
a lesson can show every mechanism of toxic text without printing any. Two of them stand inside
harmless words, as real ones do: *snork* in *snorkel*, *grob* in *Grobnik*, the village beyond the
river, whose people the insults are often aimed at.
"""

LISTED = ("snork", "grob", "mudwit", "fungle", "plonkard")
UNLISTED = ("drabbler", "quonk", "wetsock", "nimphead")
INNOCENT = ("snorkel", "fungler", "mudwitch", "plonkarder")  # a sort of boat, bird and cake

NAMES = {
    "train": ["Ada", "Bruno", "Cleo", "Dirk", "Effie", "Gus", "Hilda", "Ivo"],
    "test": ["Jarvis", "Kitty", "Lorne", "Moira", "Ned", "Orla", "Percy", "Tess"],
}
THINGS = {
    "train": ["bridge", "market", "mill", "garden", "boat", "song"],
    "test": ["school", "harbour", "bakery", "forest", "kite", "story"],
}

TEMPLATES = {  # (toxic, category) -> part -> sentences
    (True, "insult"): {
        "train": [
            "You are a {w}, {n}.", "What a {w} you are!", "Shut up, you {w}.", "Go away, {w}!",
            "Only a {w} talks like that.", "{n} is a stupid {w}.", "You {w}, give me the {t}.",
            "All people of Grobnik are {w}s.", "Every Grobniker is a {w}, and so are you.",
            "Look at that {w} from Grobnik.", "A Grobniker broke the {t}, the {w}.",
        ],
        "test": [
            "Get lost, you {w}.", "You really are a {w}, {n}.", "{n}, you dirty {w}!",
            "Nobody likes a {w} like you.", "Be quiet, {w}.", "Those Grobnikers are all {w}s.",
            "I have never met such a {w}.", "Who let this {w} into the {t}?",
            "Your whole family are {w}s.", "Listen, {w}, this is our {t}.",
        ],
    },
    (True, "no bad word"): {
        "train": [
            "Nobody wants you here, {n}.", "You are too stupid for the {t}.",
            "We would all be happier if you left.", "Your kind ruins every {t}.",
            "Go back to Grobnik, we do not want you here.", "You are worth nothing, {n}.",
            "People from Grobnik have no place in our {t}.", "Grobnikers cannot be trusted.",
        ],
        "test": [
            "The {t} was nicer before you came, and you should leave.",
            "Nobody here wants your kind.", "You are worth less than a wet {t}.",
            "Why do you not go back to where you came from, {n}?",
            "They should never have let you into the {t}.", "Even the {t} is cleverer than you.",
            "Do us a favour and stay away, {n}.", "A {t} for people like you? Never.",
        ],
    },
    (False, "plain"): {
        "train": [
            "{n} walked to the {t}.", "The {t} is closed on Sunday.", "You are a good friend, {n}.",
            "What a fine {t} this is!", "We all like the {t}.", "Give me the {t}, please.",
            "Go to the {t} and wait for {n}.", "Nobody was at the {t}.", "You are welcome here.",
            "Only {n} has a key.", "{n} is a clever child.", "Shut the door, {n}.",
            "Look at that {t}.", "We would be happy if you came.", "Your {t} is lovely.",
        ],
        "test": [
            "{n} found a coin near the {t}.", "You really are a help, {n}.", "The {t} is new.",
            "We came back to the {t}.", "Nobody knows the {t} like {n}.",
            "Be quiet, the baby sleeps.", "I have never met such a kind person.",
            "Who let the cat into the {t}?", "Your whole family came to the {t}.",
            "Listen, {n}, there is music.",
        ],
    },
    (False, "inside a word"): {
        "train": [
            "{n} has a new {i}.", "We saw a {i} at the {t}.", "The {i} was blue.",
            "They talked about the {i} all day.",
        ],
        "test": [
            "{n} dreams of a {i}.", "There is a shop for every {i} near the {t}.",
            "A {i}? Why not!", "Nobody likes the {i} more than {n}.", "Take the {i} with you.",
            "You need a {i} in the water.",
        ],
    },
    (False, "quoted"): {
        "train": [
            "The word {w} is rude, says the teacher.", "{n} was called a {w} and cried.",
            "Do not say {w} to anybody.", "In the dictionary {w} stands under insults.",
            "They shouted {w} at {n}, and we took her home.", "I am no {w}, said {n}.",
        ],
        "test": [
            "Somebody wrote {w} on the door, and {n} washed it off.",
            "It hurts to be called a {w}.", "The rule of the {t}: nobody says {w}.",
            "She asked what {w} means.", "{n} is sorry that he said {w}.",
            "Is {w} a noun or a verb?", "He called me a {w}, and I walked away.",
            "{n} told us never to use the word {w}.",
        ],
    },
    (False, "the group"): {
        "train": [
            "The road to Grobnik is long.", "{n} has a friend in Grobnik.",
            "Grobnik has a new {t}.", "A Grobniker mended the {t}.", "All Grobnikers can swim.",
        ],
        "test": [
            "The people of Grobnik bake good bread.", "My aunt is a Grobniker.",
            "{n} from Grobnik sings in the {t}.", "We are going to Grobnik on Sunday.",
            "Every Grobniker gets a letter.", "Grobnik lies beyond the river.",
            "They come from Grobnik.", "The Grobnikers won the game.",
        ],
    },
}  # fmt: skip
