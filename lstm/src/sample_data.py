"""A small synthetic movie-review corpus in aclImdb's layout, for tests and a start without download.

    python -m src.sample_data DIR [--reviews N]

The verdict of a review shows in phrases rather than in single words: good words are negated in bad reviews and the
other way round, and in mixed reviews the last sentence decides.
"""

from __future__ import annotations

import random
from pathlib import Path

from src.imdb import LABELS
from src.model_utils.configuration import Parser
from src.model_utils.files import new_folder
from src.model_utils.runtime import UserError, run

REVIEWS_PER_FILM = 5
LEAST_REVIEWS = 20  # so few reviews have a film each: a split by film needs several films
SHARE_NEGATED = 0.35  # opinions that say good by not bad, or bad by not good
SHARE_MIXED = 0.3  # reviews whose body leans the other way than their verdict
MOST_SENTENCES = 24


def _parts(text: str) -> list[str]:
    return text.split(", ")


ADJECTIVES = {
    "pos": _parts(
        "brilliant, moving, funny, gripping, charming, clever, memorable, delightful, superb, fresh, stylish"
    ),
    "neg": _parts("boring, awful, clumsy, predictable, dull, tedious, silly, painful, lifeless, stale, pointless"),
}
NOUNS = {
    "pos": ["masterpiece", "triumph", "gem", "joy", "little classic", "real treat"],
    "neg": ["disaster", "mess", "waste of time", "chore", "snooze", "complete failure"],
}
ASPECTS = _parts(
    "the acting, the script, the dialogue, the camera work, the music, the pacing, the ending, the lead, "
    "the direction, the supporting cast, the humour, the editing, the story, the final scene, the premise"
)
# {adjective}, {noun}: words of the polarity meant (plain) or of the opposite one (negated).
PLAIN = [
    "{aspect} was {adjective}",
    "I found {aspect} {adjective}",
    "{aspect} is {adjective} and {other_adjective}",
    "what a {noun}",
    "it's a {noun} from start to finish",
    "{title} is a {noun}, and {aspect} is {adjective}",
    "you'll find {aspect} truly {adjective}",
]
NEGATED = [
    "{aspect} wasn't {adjective} at all",
    "I didn't find {aspect} {adjective}",
    "{aspect} is anything but {adjective}",
    "not exactly a {noun}",
    "it's never {adjective}, never {other_adjective}",
    "{title} is hardly a {noun}",
    "nobody could call {aspect} {adjective}",
]
PLOTS = [
    "{hero} is a {job} who comes back to {place} after {count} years",
    "the story follows {hero}, a {job}, and a stranger from {place}",
    "{hero} and {friend} share a small flat in {place}",
    "one night {friend} finds a letter that was meant for {hero}",
    "it was shot in {place} in about {count} weeks",
    "halfway through, {hero} meets {friend}, who works as a {job}",
    "we then learn why {hero} left {place}",
    "I saw {title} on DVD with {count} friends",
    "{title} opens with a train that's leaving {place}",
    "{friend} plays cards with a {job} and loses",
    "there's a long flashback to {place}, where {hero} grew up",
    "the {job} doesn't know that {friend} has already gone",
]
VERDICTS = {
    "pos": [
        "In the end I loved it",
        "I'd see it again tomorrow",
        "Do not miss this one",
        "All in all it won me over",
        "I can't recommend it enough",
        "Worth every minute",
        "{stars}/10 from me",
    ],
    "neg": [
        "In the end I wanted my money back",
        "I'd never see it again",
        "Miss this one",
        "All in all it lost me",
        "I can't recommend it",
        "Not worth a minute",
        "{stars}/10 from me",
    ],
}
TURNS = ["Still,", "And yet...", "But all that said:", "However,", "Even so,"]
HEROES = _parts(
    "Anna, Ben, Carla, David, Elena, Frank, Grace, Henry, Ida, Jonas, Katya, Louis, Maria, Nora, Oscar, Paula"
)
JOBS = _parts("teacher, sailor, painter, doctor, taxi driver, pianist, farmer, clerk, spy, baker, pilot, lawyer")
PLACES = _parts("Lisbon, a mining town, the harbour, New York, the desert, a village, Vienna, the north, Café Rio")
TITLES = (
    _parts("The, A, My, Our, That, No"),
    _parts("Silent, Paper, Red, Last, Hollow, Winter, Second, Broken, Glass, Distant, Golden, Lost, Iron, Quiet, Blue"),
    _parts(
        "River, Garden, Letter, Summer, Station, Mirror, House, Voyage, Road, Island, Window, Promise, Crown, Storm"
    ),
)


def write_sample_corpus(directory, reviews: int = 400, seed: int = 0) -> None:
    """Write a corpus in the exact layout of aclImdb: `reviews` in train, as many in test and as many in train/unsup.

    Half of train and of test is positive. Films have about five reviews of either kind and are on one side only. The
    same `reviews` and `seed` give the same files. The folder appears when it is complete.
    Raises UserError for too few reviews and for a folder that holds something already.
    """
    if reviews < LEAST_REVIEWS:
        raise UserError(f"--reviews {reviews}: choose {LEAST_REVIEWS} or more; fewer leave validation without a label")
    random_source, next_film = random.Random(seed), 1
    with new_folder(directory) as unfinished:
        for split, folders in (("train", LABELS), ("test", LABELS), ("train", ("unsup",))):
            next_film = _write_split(unfinished / split, folders, reviews, next_film, random_source)


def _write_split(folder: Path, names, reviews: int, next_film: int, random_source: random.Random) -> int:
    """Write the folders `names` of a split and their url lists; returns the first film number that is still free."""
    films = range(next_film, next_film + max(LEAST_REVIEWS, reviews // REVIEWS_PER_FILM))
    titles = {film: " ".join(random_source.choice(words) for words in TITLES) for film in films}
    for name in names:
        (folder / name).mkdir(parents=True)
        # As in the distribution, the reviews of a film follow each other.
        film_of_review = sorted(random_source.choices(films, k=reviews // len(names)))
        for number, film in enumerate(film_of_review):
            label = name if name in LABELS else random_source.choice(LABELS)
            stars = random_source.randint(7, 10) if label == "pos" else random_source.randint(1, 4)
            text = _review(label, stars, titles[film], random_source)
            rating = stars if name in LABELS else 0
            (folder / name / f"{number}_{rating}.txt").write_text(text, encoding="utf-8")
        urls = "".join(f"http://www.imdb.com/title/tt{film:07d}/usercomments\n" for film in film_of_review)
        (folder / f"urls_{name}.txt").write_text(urls, encoding="utf-8")
    return films.stop


def _review(label: str, stars: int, title: str, random_source: random.Random) -> str:
    """The text of a review: opinions between sentences on the plot, paragraphs, and a verdict at the end."""
    other = LABELS[1 - LABELS.index(label)]
    hero, friend = random_source.sample(HEROES, 2)
    names = {"title": title, "hero": hero, "friend": friend, "stars": stars}
    length = round(MOST_SENTENCES ** random_source.random()) - 1  # as many of one to five sentences as of five to 24
    mixed = length >= 2 and random_source.random() < SHARE_MIXED
    sentences = []
    for _ in range(length):
        if random_source.random() < 0.5:
            plot, job, place = (random_source.choice(words) for words in (PLOTS, JOBS, PLACES))
            sentence = plot.format(job=job, place=place, count=random_source.randint(2, 30), **names)
        else:
            sentence = _opinion(other if mixed else label, names, random_source)
        sentences.append(sentence[0].upper() + sentence[1:] + random_source.choice([".", ".", ".", ".", "!", "..."]))
    verdict = random_source.choice(VERDICTS[label]).format(**names)
    turn = f"{random_source.choice(TURNS)} {_opinion(label, names, random_source)}. " if mixed else ""
    sentences.append(f"{turn}{verdict}{random_source.choice(['.', '.', '!', '!!!'])}")
    text = sentences[0]
    for sentence in sentences[1:]:
        text += ("<br /><br />" if random_source.random() < 0.2 else " ") + sentence
    return text


def _opinion(polarity: str, names: dict, random_source: random.Random) -> str:
    negated = random_source.random() < SHARE_NEGATED
    words = LABELS[1 - LABELS.index(polarity)] if negated else polarity
    adjective, other = random_source.sample(ADJECTIVES[words], 2)
    template = random_source.choice(NEGATED if negated else PLAIN)
    noun, aspect = random_source.choice(NOUNS[words]), random_source.choice(ASPECTS)
    return template.format(adjective=adjective, other_adjective=other, noun=noun, aspect=aspect, **names)


def main(argv=None) -> None:
    """Write the sample corpus that the command line asks for."""
    parser = Parser("Write synthetic reviews.", config_file=False, device=False, prog="python -m src.sample_data")
    parser.add_argument("directory", metavar="DIR", help="new folder, later the --aclimdb_path")
    parser.add_argument("--reviews", type=int, default=400, metavar="N", help="in each split (default 400)")
    args = parser.parse_args(argv)
    write_sample_corpus(args.directory, args.reviews)
    print(f"{args.directory}: {args.reviews} reviews in train, {args.reviews} in test, {args.reviews} in train/unsup")


if __name__ == "__main__":
    run(main)
