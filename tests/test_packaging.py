"""The checkout, the wheel and the README hold together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The two commands of the README."""
    return re.findall(r"^    (\.ci/setup && .*)$", README, flags=re.MULTILINE)


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_readme_has_the_two_commands_and_ci_runs_the_second() -> None:
    main_job, tests = commands()
    assert "groundbreak compare" in main_job
    assert main_job.count("-") >= 3
    assert "pytest" in tests
    script = (ROOT / ".ci/run").read_text()
    found = subprocess.run(
        ["bash", "-c", "sed -n 's/^    \\(.*pytest.*\\)$/\\1/p' README.md | head -1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == tests
    assert "sed -n 's/^    \\(.*pytest.*\\)$/\\1/p' README.md" in script


def test_scenarios_and_options_named_in_the_main_command_exist() -> None:
    from simulator.scenario import shipped_scenarios

    words = commands()[0].split("groundbreak compare ")[1].split(" --")[0].split()
    assert len(words) >= 3
    assert set(words) <= set(shipped_scenarios())


def test_every_shipped_scenario_is_in_the_readme() -> None:
    from simulator.scenario import shipped_scenarios

    assert [name for name in shipped_scenarios() if f"`{name}`" not in README] == []


def test_the_lock_pins_every_dependency_with_hashes_and_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in lock
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\$", lock, flags=re.MULTILINE))
    hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}", lock))
    assert hashes >= len(pinned)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["test"],
        *project["build-system"]["requires"],
    ]
    names = {re.split(r"[<>=\[ ]", need)[0].lower().replace("_", "-").replace(".", "-") for need in wanted}
    assert names - set(pinned) == {"groundbreak"}  # its own extras


def test_one_version() -> None:
    from importlib.metadata import version

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version("groundbreak") == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    assert len(tracked) > 50
    pattern = re.compile(rb"/(?:work|root|farm|home/[a-z]+)/|[.]pyenv|index" + rb"-url\s*[=:]")
    found = [
        name.decode()
        for name in tracked
        if name and (ROOT / name.decode()).is_file() and pattern.search((ROOT / name.decode()).read_bytes())
    ]
    assert found == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from this checkout and unpacked into an otherwise empty folder."""
    folder = tmp_path_factory.mktemp("wheel")
    built = python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT), cwd=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("groundbreak-*.whl")
    target = folder / "site"
    put = python("-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel), cwd=folder)
    assert put.returncode == 0, put.stderr
    return target


def test_the_wheel_carries_data_and_scenarios_and_works_from_another_folder(installed: Path, tmp_path: Path) -> None:
    where = python(
        "-c",
        "import simulator.resources as r; print(r.__file__); print(r.shipped('data'))",
        cwd=tmp_path,
        PYTHONPATH=str(installed),
    )
    module, shipped = where.stdout.split()
    assert Path(module).is_relative_to(installed)
    assert Path(shipped).is_relative_to(installed)
    for folder in ("data", "scenarios"):
        ours = {p.relative_to(ROOT / folder): p.read_bytes() for p in (ROOT / folder).rglob("*") if p.is_file()}
        packed = installed / "simulator/_shipped" / folder
        assert {p.relative_to(packed): p.read_bytes() for p in packed.rglob("*") if p.is_file()} == ours
    ran = python("-m", "simulator", "run", "history", "--set", "end=2024-06-30", cwd=tmp_path, PYTHONPATH=str(installed))
    assert ran.returncode == 0, ran.stderr
    assert "IT capacity online" in ran.stdout


def example(language: str, holds: str) -> str:
    """The one code block of the README in a language that holds a text."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL) if holds in text]
    return str(found)


def test_readmes_sweep_file_is_valid(tmp_path: Path) -> None:
    from simulator.sweepfile import load_sweep

    file = tmp_path / "my-sweep.yaml"
    file.write_text(example("yaml", "name: my-sweep"), encoding="utf-8")
    names = load_sweep(file).names
    assert len(names) == 14
    assert "fw-half-2025-without-lpp" in names
    for shipped in re.findall(r"groundbreak sweep ([a-z-]+) ", README):
        if shipped not in ("history",):
            assert load_sweep(shipped).names


def test_readmes_python_example_works(tmp_path: Path) -> None:
    code = example("python", "from simulator import compare")
    short = code.replace("replications=20", "replications=2")
    assert short != code
    ran = python("-c", short, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "MW in tier 2" in ran.stdout


def test_readmes_scenario_example_is_valid(tmp_path: Path) -> None:
    text = example("yaml", "slow-grid-framework")
    file = tmp_path / "slow-grid-framework.yaml"
    file.write_text(text, encoding="utf-8")
    ran = python("-m", "simulator", "validate", str(file), cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "slow-grid-framework: valid" in ran.stdout


def test_ruff_and_mypy_have_nothing_to_say() -> None:
    for tool in (("ruff", "check", "-q", "."), ("ruff", "format", "--check", "-q", "simulator", "dashboard", "tests"), ("mypy",)):
        said = python("-m", *tool, cwd=ROOT)
        assert said.returncode == 0, said.stdout + said.stderr
