"""Reading aclImdb, splitting it by film, tokens."""

import os
import random

import pytest

from src.imdb import LABELS, Review, read_reviews, split_by_film
from src.model_utils.files import PROBLEMS_LOGGED
from src.model_utils.runtime import UserError
from src.tokenizer import tokenize


@pytest.fixture
def corpus(tmp_path):
    """Two reviews of each label in train and test, and url lists of two lines."""
    for split in ("train", "test"):
        for label, rating in (("neg", 2), ("pos", 9)):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for number in range(2):
                (folder / f"{number}_{rating}.txt").write_text(f"{split} {label} {number} – café", encoding="utf-8")
            urls = [
                f"http://www.imdb.com/title/tt00000{number}{len(label + split)}/usercomments" for number in range(2)
            ]
            (tmp_path / split / f"urls_{label}.txt").write_text("\n".join(urls) + "\n")
    return tmp_path


def message_of(*args, **options):
    with pytest.raises(UserError) as caught:
        read_reviews(*args, **options)
    return str(caught.value)


def test_reads_text_label_film_and_path(corpus):
    reviews = read_reviews(corpus, "train")
    assert [review.label for review in reviews] == [0, 0, 1, 1]
    assert reviews[2] == Review(str(corpus / "train/pos/0_9.txt"), "train pos 0 – café", 1, "tt0000008")
    assert read_reviews(str(corpus), "test")[1].text == "test neg 1 – café"


def test_order_is_that_of_the_numbers(corpus):
    for number in (10, 100, 2, 33):
        (corpus / "train" / "pos" / f"{number}_10.txt").write_text("more")
    (corpus / "train" / "urls_pos.txt").unlink()
    names = [os.path.basename(review.path) for review in read_reviews(corpus, "train") if review.label == 1]
    assert names == ["0_9.txt", "1_9.txt", "2_10.txt", "10_10.txt", "33_10.txt", "100_10.txt"]


def test_unsup_is_unlabelled_and_may_be_absent(corpus):
    assert read_reviews(corpus, "unsup") == []
    (corpus / "train" / "unsup").mkdir()
    (corpus / "train" / "unsup" / "0_0.txt").write_text("no label")
    assert read_reviews(corpus, "unsup") == [Review(str(corpus / "train/unsup/0_0.txt"), "no label", None, None)]


def test_without_url_list_the_film_is_unknown(corpus):
    (corpus / "train" / "urls_neg.txt").unlink()
    assert [review.film is None for review in read_reviews(corpus, "train")] == [True, True, False, False]


def test_short_url_list_names_file_and_line(corpus):
    urls = corpus / "test" / "urls_pos.txt"
    urls.write_text(urls.read_text().splitlines()[0] + "\n")
    message = message_of(corpus, "test", on_bad_input="skip")
    assert message.startswith(f"{urls}:2: the file ends at line 1")
    assert str(corpus / "test/pos/1_9.txt") in message


def test_url_line_without_film_names_file_and_line(corpus):
    urls = corpus / "test" / "urls_pos.txt"
    urls.write_text("nothing\n" + urls.read_text())
    assert message_of(corpus, "test").startswith(f"{urls}:1: no film id")


def spoil(corpus):
    folder = corpus / "train" / "pos"
    (folder / "2_8.txt").write_bytes(b"")
    (folder / "3_8.txt").write_bytes(b" \n\t")
    (folder / "4_8.txt").write_bytes("café".encode("latin-1"))
    (folder / "5_8.txt").mkdir()
    (folder / "copy of 1.txt").write_text("fine text, bad name")
    (folder / ".DS_Store").write_bytes(b"\xff\xff")


def test_bad_files_are_an_error_that_names_the_first_and_the_count(corpus):
    spoil(corpus)
    message = message_of(corpus, "train")
    assert message.startswith(f"{corpus}/train/pos/copy of 1.txt: badly named, expected <number>_<rating>.txt")
    assert "bad files in train: 5;" in message and "--on_bad_input skip" in message
    (corpus / "train" / "pos" / "copy of 1.txt").unlink()
    assert message_of(corpus, "train").startswith(f"{corpus}/train/pos/2_8.txt: empty")
    (corpus / "train" / "pos" / "2_8.txt").unlink()
    (corpus / "train" / "pos" / "3_8.txt").unlink()
    assert message_of(corpus, "train").startswith(f"{corpus}/train/pos/4_8.txt: not UTF-8 at byte 3")
    (corpus / "train" / "pos" / "4_8.txt").unlink()
    assert message_of(corpus, "train").startswith(f"{corpus}/train/pos/5_8.txt: unreadable: ")


def test_carriage_return_ends_no_line_of_the_url_list(corpus):
    urls = corpus / "train" / "urls_pos.txt"
    urls.write_bytes(b"http://x/tt1/a\rb\r\n\nhttp://x/tt3/\n")
    with pytest.raises(UserError, match=r"urls_pos\.txt:2: no film id"):
        read_reviews(corpus, "train")
    urls.write_bytes(b"\xef\xbb\xbfhttp://x/tt1/a\rb\r\nhttp://x/tt2/")
    assert [review.film for review in read_reviews(corpus, "train") if review.label] == ["tt1", "tt2"]


def test_pipe_and_broken_link_among_the_reviews_are_bad_files(corpus):
    """A pipe is not opened, which would wait for ever."""
    os.mkfifo(corpus / "train" / "pos" / "2_8.txt")
    assert message_of(corpus, "train").startswith(f"{corpus}/train/pos/2_8.txt: unreadable: no regular file")
    (corpus / "train" / "pos" / "2_8.txt").unlink()
    (corpus / "train" / "pos" / "3_8.txt").symlink_to("lost.txt")
    assert message_of(corpus, "train").startswith(f"{corpus}/train/pos/3_8.txt: unreadable: no regular file")


def test_linked_folders_are_followed(corpus):
    reviews = [review.text for review in read_reviews(corpus, "train")]
    (corpus / "train" / "pos").rename(corpus / "elsewhere")
    (corpus / "train" / "pos").symlink_to(corpus / "elsewhere")
    assert [review.text for review in read_reviews(corpus, "train")] == reviews
    (corpus / "train" / "pos").unlink()
    (corpus / "train" / "pos").symlink_to("pos")  # a loop
    assert message_of(corpus, "train").startswith(f"{corpus}/train/pos: no such folder")


def test_byte_order_mark_is_no_text(corpus):
    (corpus / "train" / "neg" / "0_2.txt").write_bytes(b"\xef\xbb\xbfA film.")
    assert read_reviews(corpus, "train")[0].text == "A film."


def test_utf16_review_is_a_bad_file(corpus):
    (corpus / "train" / "neg" / "0_2.txt").write_bytes("A film.".encode("utf-16"))
    assert message_of(corpus, "train").startswith(f"{corpus}/train/neg/0_2.txt: not UTF-8 at byte 0")


def test_packed_corpus_is_called_a_file(tmp_path):
    (tmp_path / "aclImdb_v1.tar.gz").touch()
    message = message_of(tmp_path / "aclImdb_v1.tar.gz", "train")
    assert f"{tmp_path}/aclImdb_v1.tar.gz is a file: if it is the archive, unpack it" in message


def test_bad_files_can_be_left_out_and_are_listed(corpus, capsys):
    good = read_reviews(corpus, "train")
    spoil(corpus)
    for number in range(20, 30):
        (corpus / "train" / "neg" / f"{number}_1.txt").touch()
    assert read_reviews(corpus, "train", on_bad_input="skip") == good
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"warning: left out {corpus}/train/neg/20_1.txt: empty"
    assert len(lines) == PROBLEMS_LOGGED + 1
    assert lines[-1] == "warning: left out 15 bad files in train"


def test_all_files_bad_is_an_error_even_when_they_are_left_out(corpus):
    for number in range(2):
        (corpus / "train" / "neg" / f"{number}_2.txt").write_bytes(b"")
    assert message_of(corpus, "train", on_bad_input="skip").startswith(f"{corpus}/train/neg: all 2 files are bad")


def test_only_hidden_files_are_ignored_silently(corpus, capsys):
    (corpus / "train" / "pos" / ".DS_Store").write_bytes(b"\x00\xff")
    assert len(read_reviews(corpus, "train")) == 4
    assert capsys.readouterr().out == ""
    (corpus / "train" / "pos" / "notes.md").write_text("hello")
    assert "notes.md: badly named" in message_of(corpus, "train")


def test_missing_folders_say_what_is_expected(corpus, tmp_path):
    message = message_of(tmp_path / "nowhere", "train")
    assert message.startswith(f"{tmp_path}/nowhere/train/neg: no such folder") and "train/pos" in message
    assert "script/download_dataset.sh" in message
    assert message_of(tmp_path / "nowhere", "unsup").startswith(f"{tmp_path}/nowhere/train/unsup: no such folder")
    (tmp_path / "parent").mkdir()
    for part in ("train", "test"):
        (tmp_path / "parent" / "aclImdb" / part).mkdir(parents=True)
    assert f"did you mean {tmp_path}/parent/aclImdb?" in message_of(tmp_path / "parent", "train")


def test_empty_folder(corpus):
    for path in (corpus / "test" / "neg").iterdir():
        path.unlink()
    assert message_of(corpus, "test").startswith(f"{corpus}/test/neg: empty folder")


def make_reviews(films=200, seed=0):
    source = random.Random(seed)
    reviews = []
    for film in range(films):
        for _ in range(source.choice([1, 1, 2, 3, 8, 30])):
            label = source.randint(0, 1)
            path = f"train/{LABELS[label]}/{len(reviews)}_{9 if label else 2}.txt"
            reviews.append(Review(path, "text", label, f"tt{film:07d}"))
    return reviews


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3])
def test_split_keeps_films_apart_size_and_balance(fraction):
    reviews = make_reviews()
    train, valid = split_by_film(reviews, fraction, seed=1)
    assert sorted(train + valid) == list(range(len(reviews)))
    assert not {reviews[i].film for i in train} & {reviews[i].film for i in valid}
    for label in (0, 1):
        count = sum(review.label == label for review in reviews)
        assert abs(sum(reviews[i].label == label for i in valid) - fraction * count) <= 0.02 * count


def test_split_depends_on_the_seed_but_not_on_order_or_place():
    reviews = make_reviews()
    chosen = [reviews[i].path for i in split_by_film(reviews, 0.1, seed=1)[1]]
    assert chosen == [reviews[i].path for i in split_by_film(reviews, 0.1, seed=1)[1]]
    assert chosen != [reviews[i].path for i in split_by_film(reviews, 0.1, seed=2)[1]]
    moved = [Review(f"/other/{r.path}", r.text, r.label, r.film) for r in reviews]
    random.Random(3).shuffle(moved)
    assert sorted(chosen) == sorted(moved[i].path[len("/other/") :] for i in split_by_film(moved, 0.1, seed=1)[1])


def test_split_without_films_is_random_balanced_and_warned_about(capsys):
    reviews = [Review(r.path, r.text, r.label, None if i == 7 else r.film) for i, r in enumerate(make_reviews())]
    train, valid = split_by_film(reviews, 0.1, seed=1)
    assert "urls_pos.txt or urls_neg.txt is missing" in capsys.readouterr().out
    assert sorted(train + valid) == list(range(len(reviews)))
    for label in (0, 1):
        count = sum(review.label == label for review in reviews)
        assert abs(sum(reviews[i].label == label for i in valid) - 0.1 * count) <= 1
    backwards = reviews[::-1]
    again = [backwards[i].path for i in split_by_film(backwards, 0.1, seed=1)[1]]
    assert sorted(again) == sorted(reviews[i].path for i in valid)


def test_split_refuses_what_cannot_be_split():
    reviews = make_reviews()
    for fraction in (0, 1, -0.1, 1.5):
        with pytest.raises(UserError, match="between 0 and 1"):
            split_by_film(reviews, fraction, seed=0)
    same_film = [Review(r.path, r.text, r.label, "tt0000001") for r in reviews]
    with pytest.raises(UserError, match="in 1 groups cannot be split"):
        split_by_film(same_film, 0.1, seed=0)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A<br /><br />b<br>c<BR/>d", "a b c d"),
        ("<i>so</i> <SPOILER> 2 < 3", "so < spoiler > 2 < 3"),
        ("AT&amp;T &eacute;t&eacute; &#39;s", "at & t été 's"),
        ("I can't don't WON'T cannot", "i ca n't do n't wo n't can not"),
        ("It's he'll we've I'm you're she'd", "it 's he 'll we 've i 'm you 're she 'd"),
        ("O'Brien's dogs' y'all get 'em", "o'brien 's dogs ' y'all get 'em"),
        ("it’s don´t isn`t", "it 's do n't is n't"),
        ("“Best” ``film'' \x93ever\x94", '" best " " film " " ever "'),
        ("8/10 7.5/10 10/10! 1,000 3.14 1980s 20th", "8/10 7.5/10 10/10 ! 1,000 3.14 1980s 20th"),
        (":) :-( ;) :D rated (8) x", ":) :-( ;) :d rated ( 8 ) x"),
        ("see http://x.com/a", "see http : / / x . com / a"),
        (
            "wow!!!!!! what?? ?! hmm..... well---no – yes… **** ..",
            "wow !!! what ?? ?! hmm ... well -- no -- yes ... **** ..",
        ),
        ("well-made _so_ good", "well - made so good"),
        ("U.S. e.g. Mr. Smith ended. The", "u.s. e.g. mr. smith ended . the"),
        ("cafe\u0301 na\u00efve \u00c9", "café naïve é"),
        ("zero\u200bwidth soft\xadhyphen", "zerowidth softhyphen"),
        ("电影 很好", "电影 很好"),
        ("हिन्दी में film's", "हिन्दी में film 's"),  # combining marks that have no composed form
        ("x\u0302y", "x\u0302y"),
        ("ที่นี่ดี!!!!", "ที่นี่ดี !!!"),
        ("می\u200cخواهم \u200cdon't\u200d", "می\u200cخواهم do n't"),  # joiners within words only
        ("a\u200e \u2066b\u2069 \u2060c", "a b c"),  # marks of direction, a word joiner
        ("\u2764\ufe0fgood 1\ufe0f\u20e3", "\u2764 good 1\u20e3"),  # emoji with a variation selector
        ("", ""),
        (" \n\t", ""),
    ],
)
def test_tokenize(text, tokens):
    assert tokenize(text) == tokens.split()


def test_tokens_are_without_white_space_and_retokenize_to_themselves():
    text = "It's a well-made film (8/10)... I couldn't stop laughing!!! :-) U.S. Café, O'Neil's 1980s -- *** don't"
    tokens = tokenize(text)
    assert all(token == token.strip() and token for token in tokens)
    assert [again for token in tokens for again in tokenize(token)] == tokens
