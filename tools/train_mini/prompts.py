"""The language of `mini`: phrasings of each style, subjects, and words that mean nothing to it."""

from __future__ import annotations

import random

__all__ = ["PHRASES", "corpus", "sample_prompt", "sample_sentence", "style_words"]

#: Phrasings of each style; the first is the canonical one.
PHRASES: dict[str, list[str]] = {
    "photo": [
        "photo",
        "photograph",
        "realistic",
        "a photo",
        "natural",
        "original",
        "unchanged",
        "photorealistic",
    ],
    "pencil sketch": [
        "pencil sketch",
        "pencil drawing",
        "graphite drawing",
        "sketch",
        "pencil",
        "hand drawn sketch",
    ],
    "charcoal": ["charcoal", "charcoal drawing", "charcoal sketch", "drawn in charcoal", "coal drawing"],
    "comic": ["comic", "comic book", "cartoon", "ink comic", "graphic novel", "comic strip", "anime"],
    "pixel art": ["pixel art", "pixel", "pixelated", "8 bit", "8-bit game", "retro game", "16 bit game"],
    "oil painting": ["oil painting", "oil", "painted in oil", "oil on canvas", "thick paint", "painting"],
    "watercolour": ["watercolour", "watercolor", "watercolour painting", "watercolor painting", "aquarelle"],
    "sepia": ["sepia", "old photo", "vintage photo", "antique photograph", "sepia tone", "vintage"],
    "black and white": [
        "black and white",
        "monochrome",
        "noir",
        "grayscale",
        "greyscale",
        "black white film",
    ],
    "blueprint": ["blueprint", "technical drawing", "cyanotype", "architect plan", "blue print"],
    "night": ["night", "moonlight", "at night", "midnight", "moonlit", "dark night"],
    "neon": ["neon", "neon lights", "cyberpunk", "glowing neon", "neon glow", "synthwave"],
    "sunset": ["sunset", "warm sunset", "golden hour", "at sunset", "dusk", "sunrise"],
    "autumn": ["autumn", "fall", "autumn leaves", "in autumn", "fall colors", "october"],
    "winter": ["winter", "snow", "snowy", "in winter", "frost", "covered in snow", "ice"],
    "thermal": ["thermal", "thermal camera", "heat map", "infrared", "thermal vision", "heat vision"],
    "woodcut": ["woodcut", "linocut", "engraving", "line art", "etching", "block print", "wood engraving"],
    "pop art": ["pop art", "pop", "warhol", "screen print", "silkscreen", "poster"],
}

_TEMPLATES = [
    "{style}",
    "{style}",
    "{style}",
    "a {style}",
    "{style} style",
    "in the style of {style}",
    "{style} of {subject}",
    "a {style} of {subject}",
    "{subject}, {style}",
    "{subject} in {style} style",
    "{subject} {style}",
    "{style}, {filler}",
    "a {style} of {subject}, {filler}",
    "{subject} as a {style}",
    "turn it into {style}",
]

_THINGS = """
dog cat horse bird rabbit bunny fox wolf bear lion tiger fish cow sheep man woman girl boy child
person people face portrait crowd family friends dancer skier cyclist runner car bike bus train boat
ship plane street road city town village house castle bridge tower church garden park forest tree
trees flower flowers leaves grass field meadow mountain hill river lake sea ocean beach waves sky
clouds sun moon star stars rain storm fire room kitchen table chair window door book cup food fruit
bread game robot spaceship dragon knight wizard king queen monster hero music guitar piano ball
shoes hat dress squirrel deer panda elephant eagle butterfly bee
""".split()

_ADJECTIVES = """
big small little old young red green blue yellow happy sad running jumping sleeping flying sitting
walking beautiful quiet tall fast slow funny cute wild two three many
""".split()

_FILLERS = (
    """
highly detailed, best quality, masterpiece, trending, beautiful, 4k, hd, sharp focus, soft light,
dramatic, elegant, colorful, simple, clean, intricate, cinematic, wide angle, close up, by a great
artist, on a table, in the background, very nice, award winning, fine
""".strip()
    .replace("\n", " ")
    .split(", ")
)

_REQUESTS = """
a an the my this that it its of in on at to into with like as for and but so very more much all make
makes turn turned change convert render draw drawn give look looks looking want would should could
video clip movie film picture image frame scene effect version way style mood feel tones
""".split()

_SYLLABLES = """
ba be bi bo bu da de di do fa fe ga go ha he ka ke ki ko la le li lo ma me mi mo na ne ni no pa pe
pi po ra re ri ro sa se si so ta te ti to va ve vi wa we za zo an en in on ar er or al el il st tr
br gr
""".split()


def _subject(rng: random.Random) -> str:
    words = [rng.choice(("a", "the", "an", "my", "some", ""))]
    if rng.random() < 0.4:
        words.append(rng.choice(_ADJECTIVES))
    words.append(rng.choice(_THINGS) if rng.random() < 0.8 else _nonsense(rng))
    if rng.random() < 0.2:
        words += [rng.choice(("in", "on", "near", "with", "and")), "the", rng.choice(_THINGS)]
    return " ".join(word for word in words if word)


def _nonsense(rng: random.Random) -> str:
    """A made-up word, for what nobody taught the model."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 4)))


def sample_prompt(style: str, rng: random.Random) -> str:
    """A random prompt that asks for `style`; `photo` also gets prompts that name no style at all."""
    if style == "photo" and rng.random() < 0.5:
        kind = rng.randrange(4)
        if kind == 0:
            return ""
        if kind == 1:
            return _subject(rng)
        if kind == 2:
            return " ".join(_nonsense(rng) for _ in range(rng.randint(1, 5)))
        return f"{_subject(rng)}, {rng.choice(_FILLERS)}"
    phrases = PHRASES[style]
    phrase = phrases[0] if rng.random() < 0.4 else rng.choice(phrases)
    template = rng.choice(_TEMPLATES)
    return template.format(style=phrase, subject=_subject(rng), filler=rng.choice(_FILLERS))


def sample_sentence(style: str, rng: random.Random) -> str:
    """A random sentence that asks for `style` in its midst; for `photo` it may be one that names no style.

    Around the words for the style stand others: of subjects, of qualities, of requests, and made-up ones.
    """
    if style == "photo" and rng.random() < 0.6:
        return " ".join(_word(rng) for _ in range(rng.randint(0, 9)))
    while True:
        middle = sample_prompt(style, rng) if rng.random() < 0.3 else rng.choice(PHRASES[style])
        before = [_word(rng) for _ in range(rng.choice((0, 1, 2, 3, 4, 5, 6)))]
        after = [_word(rng) for _ in range(rng.choice((0, 0, 1, 2, 4)))]
        sentence = " ".join([*before, middle, *after])
        if not _names_another(style, middle, sentence):
            return sentence


def _names_another(style: str, middle: str, sentence: str) -> bool:
    """Whether words around `middle` make it the phrasing of another style, as `old` does before `photo`."""
    return any(
        f" {phrase} " in f" {sentence} " and phrase not in middle
        for other, phrases in PHRASES.items()
        if other != style
        for phrase in phrases
    )


def _word(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.45:
        return _nonsense(rng)
    if kind < 0.75:
        return rng.choice(_REQUESTS)
    return rng.choice(rng.choice((_THINGS, _ADJECTIVES, _FILLERS)))


def style_words() -> set[str]:
    """Every single word of every phrasing: the words by which the model recognises a style."""
    return {
        word
        for phrases in PHRASES.values()
        for phrase in phrases
        for word in phrase.replace("-", " ").split()
    }


def corpus(seed: int = 0, per_style: int = 400) -> list[str]:
    """Prompts to train the tokenizer on: every known word often enough to become one token."""
    rng = random.Random(seed)
    lines = [sample_prompt(style, rng) for style in PHRASES for _ in range(per_style)]
    known = sorted(style_words()) + _THINGS + _ADJECTIVES + [w for f in _FILLERS for w in f.split()]
    templates = [
        w for t in _TEMPLATES for w in t.replace("{", " ").replace("}", " ").replace(",", " ").split()
    ]
    return lines + [word for word in (*known, *templates) for _ in range(60)]
