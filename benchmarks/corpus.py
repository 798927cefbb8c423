"""Synthetic posts for the benchmarks: the shapes of the real ones, the same on every machine.

python benchmarks/corpus.py FOLDER --posts 10000 --characters 2500 --categories 60
"""

from __future__ import annotations

import argparse
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

_CHARACTERS = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多"
    "定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因"
    "由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解"
    "问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少"
    "图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造百规热领七"
)
_FIRST = datetime(2021, 12, 1, tzinfo=UTC)


def write_corpus(folder: Path, posts: int, characters: int = 2500, categories: int = 60, *, start: int = 0) -> None:
    """Write `posts` Jekyll posts of about so many characters of text into `folder`, numbered from `start`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + posts):
        name, text = post(number, characters, categories)
        (folder / name).write_text(text, encoding="utf-8")


def post(number: int, characters: int = 2500, categories: int = 60) -> tuple[str, str]:
    """File name and content of one post; every third is a flash of plain text, the others are HTML."""
    chance = random.Random(number)
    moment = _FIRST + timedelta(seconds=37 * number)
    local = moment + timedelta(hours=8)
    code = f"{local:%Y%m%d}{2_200_000_000 + number}"
    category = f"meiti{number % categories:02d}"
    outlet = f"样本{number % categories:02d}报"
    paragraphs = [_paragraph(chance, 180) for _ in range(max(1, characters // 180))]
    name = f"{local:%Y-%m-%d}-NW{code}.md"
    url = f"http://127.0.0.1/html_News/NewsShare.html?infoCode=NW{code}"
    if number % 3 == 0:
        body = "\n" + "".join(paragraphs) + "\n"
    else:
        body = "".join(f"<p>{text}</p>\n " for text in paragraphs) + f'<p class="em_media">（文章来源：{outlet}）</p>\n'
    front = f'---\nlayout: post\ntitle: "{_paragraph(chance, 18)[:-1]} {number}"\n'
    front += f"date: {local:%Y-%m-%d %H:%M:%S} +0800\n"
    front += f"categories: {category}\ntags: {outlet}新闻\n---\n"
    footer = f"\n<{url}>\n\n[返回{outlet}新闻](//example.org/category/{category}.html)｜[返回首页](//example.org/)"
    return name, front + body + footer


def _paragraph(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(_CHARACTERS, k=length)) + "。"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--characters", type=int, default=2500)
    parser.add_argument("--categories", type=int, default=60)
    options = parser.parse_args()
    write_corpus(options.folder, options.posts, options.characters, options.categories)


if __name__ == "__main__":
    main()
