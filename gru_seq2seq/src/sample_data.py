"""A small synthetic corpus in Multi30k's layout, which a tiny network can learn to translate in seconds.

python -m src.sample_data data/multi30k. The sentences follow rules: German puts the verb of a main clause second and
the infinitive or participle last, and its articles and adjectives agree in gender and case.
"""

from __future__ import annotations

import random

from src.model_utils.configuration import Parser
from src.model_utils.files import new_folder
from src.model_utils.runtime import UserError, log, run

SPLITS = ("train", "val", "test")
LEAST_PAIRS = 10
NOUNS = {  # German noun: gender, English noun
    "Mann": ("m", "man"),
    "Hund": ("m", "dog"),
    "Ball": ("m", "ball"),
    "Frau": ("f", "woman"),
    "Katze": ("f", "cat"),
    "Mütze": ("f", "cap"),
    "Kind": ("n", "child"),
    "Pferd": ("n", "horse"),
    "Buch": ("n", "book"),
}
PEOPLE = ("Mann", "Hund", "Frau", "Katze", "Kind", "Pferd")
ADJECTIVES = {"klein": "small", "groß": "big", "alt": "old", "jung": "young", "braun": "brown"}
ARTICLES = {"nominative": {"m": "ein", "f": "eine", "n": "ein"}, "accusative": {"m": "einen", "f": "eine", "n": "ein"}}
ENDINGS = {"nominative": {"m": "er", "f": "e", "n": "es"}, "accusative": {"m": "en", "f": "e", "n": "es"}}
VERBS = {  # infinitive: third person, participle, English third person, infinitive, participle
    "sehen": ("sieht", "gesehen", "sees", "see", "seen"),
    "finden": ("findet", "gefunden", "finds", "find", "found"),
    "holen": ("holt", "geholt", "fetches", "fetch", "fetched"),
    "suchen": ("sucht", "gesucht", "seeks", "seek", "sought"),
}
PLACES = {"im Park": "in the park", "am Strand": "at the beach", "auf der Straße": "on the street"}
TIMES = {"heute": "today", "jetzt": "now"}


def write_sample_corpus(directory, pairs: int = 800, seed: int = 0) -> None:
    """Write train.de and train.en with `pairs` lines, val.* and test.* with an eighth of them, at least 10.

    No pair of a split is in another one. The same arguments give the same files; the folder appears when it is
    complete. Raises UserError for too few pairs and for a folder that holds something already.
    """
    if pairs < LEAST_PAIRS:
        raise UserError(f"--pairs {pairs}: choose {LEAST_PAIRS} or more")
    draw = random.Random(seed)
    seen: dict[tuple[str, str], None] = {}
    sizes = {split: pairs if split == "train" else max(LEAST_PAIRS, pairs // 8) for split in SPLITS}
    while len(seen) < sum(sizes.values()):
        seen.setdefault(sentence(draw))
    rest = list(seen)
    draw.shuffle(rest)
    with new_folder(directory) as unfinished:
        for split, size in sizes.items():
            for side, language in enumerate(("de", "en")):
                text = "".join(f"{pair[side]}\n" for pair in rest[:size])
                (unfinished / f"{split}.{language}").write_text(text, encoding="utf-8", newline="\n")
            rest = rest[size:]


def sentence(draw: random.Random) -> tuple[str, str]:
    """Return a German sentence and its English translation."""
    subject_de, subject_en = _noun_phrase(draw, "nominative", PEOPLE)
    object_de, object_en = _noun_phrase(draw, "accusative", tuple(NOUNS))
    verb = draw.choice(list(VERBS))
    finite, participle, finite_en, infinitive_en, participle_en = VERBS[verb]
    place = draw.choice([None, None, *PLACES])
    time = None if place else draw.choice([None, *TIMES])
    form = draw.choice(("plain", "can", "has"))
    # (second place, last place) in German; all of it behind the subject in English
    second, last, verb_en = {
        "plain": (finite, "", finite_en),
        "can": ("kann", verb, f"can {infinitive_en}"),
        "has": ("hat", participle, f"has {participle_en}"),
    }[form]
    german = (time, second, subject_de, object_de, last) if time else (subject_de, second, place, object_de, last)
    english = (subject_en, verb_en, object_en, PLACES.get(place), TIMES.get(time))
    return _sentence(german), _sentence(english)


def _noun_phrase(draw: random.Random, case: str, nouns: tuple[str, ...]) -> tuple[str, str]:
    noun = draw.choice(nouns)
    gender, english = NOUNS[noun]
    adjectives = draw.sample(list(ADJECTIVES), draw.choice((0, 1, 1)))
    german = [ARTICLES[case][gender], *(adjective + ENDINGS[case][gender] for adjective in adjectives), noun]
    words = [*(ADJECTIVES[adjective] for adjective in adjectives), english]
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join(german), " ".join([article, *words])


def _sentence(parts: tuple[str | None, ...]) -> str:
    text = " ".join(filter(None, parts))
    return f"{text[0].upper()}{text[1:]}."


def main(argv=None) -> None:
    """Write the corpus that the command line asks for."""
    parser = Parser(__doc__.split("\n")[0], config_file=False, device=False, prog="python -m src.sample_data")
    parser.add_argument("directory", metavar="DIR", help="new folder, later the --data_dir")
    parser.add_argument("--pairs", type=int, default=800, metavar="N", help="of train (default: 800)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    args = parser.parse_args(argv)
    write_sample_corpus(args.directory, args.pairs, args.seed)
    log(f"{args.directory}: {args.pairs} pairs in train, {max(LEAST_PAIRS, args.pairs // 8)} in val and in test")


if __name__ == "__main__":
    run(main)
