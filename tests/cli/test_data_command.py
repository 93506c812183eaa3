from pathlib import Path

import numpy as np
import pytest
from smbrl_cli import main

from smbrl.data import store

SMALL = ("-o", "Maze.trajectories=4", "-o", "Maze.longest=120", "--workers", "1")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def smbrl(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["data", *arguments])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_generate_list_inspect(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = smbrl(capsys, "generate", "--task", "Maze", *SMALL)
    assert code == 0
    assert out.startswith("generated:")
    (name,) = store.names()
    assert f"sha256 {store.load(name).content_hash}" in out

    code, out, _ = smbrl(capsys, "generate", "--task", "Maze", *SMALL)
    assert out.startswith("already in the store:")

    code, out, _ = smbrl(capsys, "list")
    assert code == 0
    assert name in out

    code, out, _ = smbrl(capsys, "inspect", name, "-p", "seen.png")
    assert code == 0
    assert "lengths" in out
    assert "observation 3" in out
    assert Path("seen.png").stat().st_size > 10_000

    before = sorted(Path().iterdir())
    code, out, _ = smbrl(capsys, "inspect", "--task", "Maze", *SMALL[:4])
    assert code == 0
    drawn = store.load(name).path / "inspection.png"
    assert out.splitlines()[-1] == f"  picture    {drawn}"
    assert drawn.stat().st_size > 10_000
    assert sorted(Path().iterdir()) == before  # nothing is left in the current folder
    assert store.names() == [name]


def test_a_picture_that_cannot_be_drawn_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    smbrl(capsys, "generate", "--task", "Maze", *SMALL)
    Path("file").write_text("not a folder")
    code, _, err = smbrl(capsys, "inspect", "--task", "Maze", *SMALL[:4], "--picture", "file/seen.png")
    assert code == 2
    assert "cannot draw to file/seen.png" in err
    assert "--picture" in err
    assert len(err.strip().splitlines()) == 1


def test_import_then_pretrain_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("mine.npz", observations=np.zeros((9, 4)), actions=np.zeros((9, 2)), timeouts=np.arange(9) == 8)
    code, out, err = smbrl(capsys, "import", "mine.npz", "--task", "Maze")
    assert code == 0
    assert "imported/mine-v0" in out
    assert "1 of 9 steps" in err
    code, out, _ = smbrl(capsys, "generate", "--task", "Maze", "-o", "Maze.data='imported/mine-v0'")
    assert out.startswith("already in the store:\nimported/mine-v0")


def test_an_empty_store_says_how_to_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = smbrl(capsys, "list")
    assert code == 0
    assert "no data set" in out
    assert "smbrl data generate" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generate",), "either --gin FILE or --task NAME"),
        (("generate", "--task", "Mase"), "did you mean 'Maze'?"),
        (("generate", "--task", "Maze", "-o", "Maze.trajectorys=3"), "did you mean 'trajectories'?"),
        (("generate", "--task", "Maze", "-o", "Maze.size=4"), "maze size is 4"),
        (("generate", "--task", "Maze", "-o", "Maze.size='big'"), "Maze.size"),
        (("generate", "--task", "Maze", "--seed", "-1"), "--seed"),
        (("generate", "--task", "Maze", "--workers", "0"), "--workers"),
        (("generate", "--task", "Maze", "-o", "Maze.data='x-v0'"), "no data set 'x-v0'"),
        (("inspect",), "which data set?"),
        (("inspect", "nothing"), "no data set 'nothing'"),
        (("inspect", "--task", "Maze"), "not in the store"),
        (("import", "nowhere.npz"), "nowhere.npz does not exist"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = smbrl(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert store.names() == []
