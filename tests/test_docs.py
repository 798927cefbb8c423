"""The documents against the code they speak of."""

import dataclasses
import re
import subprocess
from pathlib import Path

import feedsync
from feedsync import config
from feedsync.cli import command
from feedsync.kinds import KINDS
from feedsync.sources import FileSource
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def words_in_code(path: Path) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8")))


def test_every_module_has_its_room_in_the_architecture() -> None:
    package = ROOT / "feedsync"
    modules = {
        ".".join(path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
        if not path.name.startswith("__") and "migrations" not in path.parts
    }
    table = re.findall(r"^\| (`.+?) \|", (DOCS / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    rooms = {name for cell in table for name in re.findall(r"`([a-z.]+)`", cell)} - {"store.migrations"}
    assert rooms == modules


def test_every_key_of_the_configuration_is_described() -> None:
    described = {w for w in words_in_code(DOCS / "reference/configuration.md") if re.fullmatch(r"[a-z]+\.[a-z_]+", w)}
    described -= {"data.list"}
    tables = [*config.TABLES.items(), *(("sources", kind) for kind in KINDS.values())]
    assert described == {f"{table}.{field.name}" for table, kind in tables for field in dataclasses.fields(kind)}
    text = (DOCS / "reference/configuration.md").read_text(encoding="utf-8")
    for table, kind in tables:
        for field in dataclasses.fields(kind):
            if isinstance(field.default, str | int | float) and not isinstance(field.default, bool) and field.default:
                rows = [line for line in text.splitlines() if line.startswith(f"| `{table}.{field.name}`")]
                assert any(str(field.default) in row for row in rows), (field.name, rows)


def test_every_key_of_a_custom_feed_is_described() -> None:
    keys = {field.name for field in dataclasses.fields(config.CustomTable)}
    words = words_in_code(DOCS / "reference/configuration.md")
    assert {word.removeprefix("feeds.custom.") for word in words if word.startswith("feeds.custom.")} == keys


def test_the_examples_of_custom_feeds_can_be(tmp_path: Path) -> None:
    howto = (DOCS / "howto/custom-feeds.md").read_text(encoding="utf-8")
    sample = (ROOT / "config/feedsync.toml").read_text(encoding="utf-8")
    told = re.search(r"(?:^# .*\n)+", sample[sample.index("# [[feeds.custom]]") :], re.MULTILINE)
    assert told
    uncommented = re.sub(r"^# ", "", told[0], flags=re.MULTILINE)
    for number, example in enumerate([*re.findall(r"```toml\n(.*?)```", howto, re.DOTALL), uncommented]):
        path = tmp_path / f"{number}.toml"
        path.write_text(f"{sample}\n{example}", encoding="utf-8")
        assert config.load(path).presentation.custom


def test_the_sample_configuration_is_valid_and_complete() -> None:
    loaded = config.load(ROOT / "config/feedsync.toml")
    assert [str(s.path) for s in loaded.sources if isinstance(s, FileSource)] == ["seeds"]
    text = (ROOT / "config/feedsync.toml").read_text(encoding="utf-8")
    for kind in (*config.TABLES.values(), config.CustomTable, *KINDS.values()):
        for field in dataclasses.fields(kind):
            pattern = rf"^(?:# )?(?:{field.name} = |\[\[\w+\.{field.name}\]\])"
            assert re.search(pattern, text, re.MULTILINE), field.name


def test_every_command_and_option_is_described() -> None:
    text = (DOCS / "reference/commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\S+)", text, re.MULTILINE)) == set(command.commands)
    for name, sub in command.commands.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for parameter in sub.params:
            for option in parameter.opts:
                assert not option.startswith("--") or option in section, (name, option)


def test_every_refusal_is_described() -> None:
    sources = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "feedsync").rglob("*.py"))
    raised = set(re.findall(r"Refus(?:ed|al)\(\s*\"([a-z-]+)\"", sources))
    section = (DOCS / "reference/commands.md").read_text(encoding="utf-8").split("## quarantine")[1].split("## show")[0]
    described = {
        code for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for code in re.findall(r"`([a-z-]+)`", row)
    }
    assert described == raised


def test_both_readmes_say_the_same() -> None:
    english, chinese = (p.read_text(encoding="utf-8") for p in (ROOT / "README.md", ROOT / "README.zh-CN.md"))
    for pattern in (r"```sh\n(?:.*\n)*?```", r"\]\(([^)#]+)\)"):
        commands = [re.sub(r" +#.*", "", block) for block in re.findall(pattern, english)]
        assert sorted(commands) == sorted(
            c.replace("README.md", "README.zh-CN.md") if c == "README.md" else c
            for c in (re.sub(r" +#.*", "", block) for block in re.findall(pattern, chinese))
        )
    assert english.count("\n## ") == chinese.count("\n## ")


def test_every_proof_of_reliability_exists() -> None:
    named = {word for word in words_in_code(DOCS / "explanation/reliability.md") if word.startswith("test_")}
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 40
    assert named <= set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))


def test_links_lead_somewhere() -> None:
    for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), (path, target)


def test_the_changelog_knows_this_version() -> None:
    assert f"## {feedsync.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_nothing_names_a_registry_or_this_machine() -> None:
    words = ["py" + "pi.org", "python" + "hosted", "/ro" + "ot/", "/wo" + "rk/"]
    # What is committed is what counts: coverage leaves files beside it while this runs.
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    assert len(paths) > 100
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        assert not [word for word in words if word in text], path
