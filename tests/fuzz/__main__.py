"""`make fuzz`: coverage-guided fuzzing of every reader, each for a bounded time; what it finds goes to `found/`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WORDS = (
    "---", "title: ", "date: 2022-01-01 10:00:00 +0800", "infoCode: NW", "categories:", "tags: [", "|", ">", "&a", "*a",
    "!!python/object", "2025年3月14日 10:00", "24:00", "+25:00", "GMT+8", "<p>", "</p>", "<img src=", "onerror=", "<a href=",
    "javascript:", "<svg>", "<math>", "<style>", "<!--", "-->", "<![CDATA[", "]]>", "&#x1F;", "&lt;", "来源：", "（文章来源：",
    "EM_StockImg_Start", "em_media", "bk_", "keytip", "[返回", "<table>", "<script>", "display:none",
)  # fmt: skip


def fuzz(target: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["feedsync.parse", "feedsync.text"]):
        import feedsync.parse.clean
        import feedsync.parse.dates
        import feedsync.parse.frontmatter
        import feedsync.parse.plain

    assert feedsync.parse
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name) / "corpus"
        corpus.mkdir()
        (HERE / "found").mkdir(exist_ok=True)
        seeds = [*(HERE.parent.parent / "seeds").rglob("*.*"), *(HERE / "found").glob("*")]
        for number, seed in enumerate(path for path in seeds if path.is_file()):
            (corpus / str(number)).write_bytes(seed.read_bytes()[:20000])
        for number, line in enumerate((HERE.parent / "hostile/payloads.txt").read_text(encoding="utf-8").splitlines()):
            (corpus / f"payload-{number}").write_text(line, encoding="utf-8")
        dictionary = Path(name) / "words"
        escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in WORDS)
        dictionary.write_text("".join(f'"{word}"\n' for word in escaped), encoding="ascii")
        options = [f"-max_total_time={seconds}", f"-dict={dictionary}", "-timeout=10", "-rss_limit_mb=2048",
                   "-max_len=20000", f"-artifact_prefix={HERE}/found/{target}-", "-print_final_stats=1"]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[target])
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="one reader only")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        print("skipped: atheris is not installed, and may not be had for this Python")
        return 0
    assert atheris
    if options.target:
        fuzz(options.target, options.seconds)
        return 0
    from tests.fuzz.targets import TARGETS

    failed = []
    for target in TARGETS:
        print(f"{target}: {options.seconds} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", target, "--seconds", str(options.seconds)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        told = [
            line for line in done.stderr.splitlines() if "executed_units" in line or "ERROR" in line or "Error" in line
        ]
        print("\n".join(told[-6:]), flush=True)
        if done.returncode:
            failed.append(target)
    print(f"found something in: {', '.join(failed)}; see {HERE}/found" if failed else "found nothing")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
