"""A small synthetic corpus of Chinese résumés in ResumeNER's layout, for tests and a start without download.

    python -m src.sample_data DIR [--sentences N]

Names, organisations and titles are put together from parts, so that the network has to read what is around them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from src.model_utils.configuration import Parser
from src.model_utils.files import new_folder
from src.model_utils.runtime import UserError, run

SPLITS = {"train": 1.0, "dev": 0.2, "test": 0.2}  # share of the sentences asked for
LEAST_SENTENCES = 20
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰飞红"
PLACES = ("北京", "上海", "广州", "深圳", "杭州", "南京", "武汉", "成都", "西安", "重庆", "天津", "苏州")
TRADES = ("电子", "化工", "机械", "软件", "医药", "能源", "纺织", "食品", "建筑", "通信")
FORMS = ("有限公司", "股份有限公司", "集团", "研究院", "银行", "大学")
TITLES = ("董事长", "总经理", "副总经理", "董事", "监事", "财务总监", "总工程师", "独立董事", "部门经理", "教授")
RACES = ("汉族", "回族", "满族", "藏族", "壮族")
DEGREES = ("本科学历", "大专学历", "硕士", "博士", "硕士研究生", "学士")
MAJORS = ("会计学", "法学", "金融学", "计算机科学", "材料工程", "管理学")
# A capital letter stands for an entity of that type, the rest for itself.
ENTITIES = {"N": "NAME", "O": "ORG", "T": "TITLE", "R": "RACE", "E": "EDU", "C": "CONT", "L": "LOC", "P": "PRO"}
PARTS = {"O": (PLACES, TRADES, FORMS), "T": (TITLES,), "R": (RACES,), "E": (DEGREES,), "P": (MAJORS,)}
PARTS["L"] = (PLACES, ("", "市"))
PATTERNS = (
    "N，男，C，R，E。",
    "N先生，C，Y年出生，E，P专业。",
    "Y年至今任OT、T。",
    "曾任OT，OT，现任OT。",
    "毕业于O，获E学位，L人。",
    "N女士，现为OT，无境外永久居留权。",
    "历任O、O的T，Y年起兼任OT。",
    "本公司T，N，R，籍贯L。",
    "主要工作经历如下：",
    "上述人员均未持有股份，也没有受过处罚。",
)


def write_sample_corpus(directory: str | os.PathLike, sentences: int = 400, seed: int = 0) -> None:
    """Write {train,dev,test}.char.bmes: `sentences` for training, a fifth as many in each of the others.

    The same `sentences` and `seed` give the same files. The folder appears when it is complete. Raises UserError for
    too few sentences and for a folder that holds something already.
    """
    if sentences < LEAST_SENTENCES:
        raise UserError(f"--sentences {sentences}: choose {LEAST_SENTENCES} or more")
    random_source = random.Random(seed)
    with new_folder(directory) as unfinished:
        for split, share in SPLITS.items():
            lines = [line for _ in range(round(share * sentences)) for line in _sentence(random_source)]
            (unfinished / f"{split}.char.bmes").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sentence(random_source: random.Random) -> list[str]:
    """Return the lines of a sentence, the blank one at its end included."""
    lines = []
    for symbol in random_source.choice(PATTERNS):
        text, kind = _fill(symbol, random_source), ENTITIES.get(symbol)
        places = ["S"] if len(text) == 1 else ["B", *"M" * (len(text) - 2), "E"]
        lines += [f"{c} {p}-{kind}" if kind else f"{c} O" for c, p in zip(text, places if kind else text)]
    return [*lines, ""]


def _fill(symbol: str, random_source: random.Random) -> str:
    choose = random_source.choice
    if symbol == "N":
        return choose(SURNAMES) + "".join(random_source.sample(GIVEN, choose((0, 1, 2, 2))))
    if symbol == "C":
        return "中国国籍"
    if symbol == "Y":
        return str(random_source.randint(1945, 2012))
    return "".join(map(choose, PARTS[symbol])) if symbol in PARTS else symbol


def main(argv: Sequence[str] | None = None) -> None:
    """Write the sample corpus that the command line asks for."""
    parser = Parser("Write synthetic résumés.", config_file=False, device=False, prog="python -m src.sample_data")
    parser.add_argument("directory", metavar="DIR", help="new folder, later the --data_path")
    parser.add_argument("--sentences", type=int, default=400, metavar="N", help="for training (default 400)")
    args = parser.parse_args(argv)
    write_sample_corpus(args.directory, args.sentences)
    print(f"{args.directory}: {args.sentences} sentences in train, a fifth as many in dev and in test")


if __name__ == "__main__":
    run(main)
