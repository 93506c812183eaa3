"""Downloads from a server on this machine, whose connections die."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from smbrl.data import download, hub, store
from smbrl.data.importing import import_data
from smbrl.errors import SmbrlError


class Server(ThreadingHTTPServer):
    """Serves files by path; ``dies`` bytes after which each of the next connections ends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.dies: list[int] = []
        self.errors: list[int] = []
        self.ranges = True
        self.tag = True
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append((self.path, wanted))
        data = server.files.get(self.path)
        if server.errors or data is None:
            self.send_error(server.errors.pop(0) if server.errors else 404)
            return
        tag = '"' + hashlib.sha256(data).hexdigest()[:8] + '"'
        start = 0
        if wanted and server.ranges and self.headers.get("If-Range") == tag:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if server.tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if server.dies:
            self.wfile.write(body[: server.dies.pop(0)])
            self.wfile.flush()
            self.close_connection = True
        else:
            self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


DATA = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Iterator[object]:
    server.files["/a"] = DATA

    def get(*addresses: str, **settings: object) -> dict[str, str | int]:
        found = addresses or (server.address + "/a",)
        return download.fetch(found, tmp_path / "cache" / "a", pause=0.0, **settings)  # type: ignore[arg-type]

    return get  # type: ignore[return-value]


def test_a_file_is_fetched_once_and_recorded(server: Server, fetch: object, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    record = fetch(progress=lambda *at: seen.append(at))  # type: ignore[operator]
    assert record == {"url": server.address + "/a", "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}
    assert (tmp_path / "cache" / "a").read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert fetch() == record  # type: ignore[operator]
    assert len(server.asked) == 1
    assert sorted(f.name for f in (tmp_path / "cache").iterdir() if not f.name.startswith(".")) == ["a", "a.json"]


def test_a_connection_that_dies_is_gone_on_with(server: Server, fetch: object, tmp_path: Path) -> None:
    server.dies = [100_000, 50_000]
    fetch()  # type: ignore[operator]
    assert [wanted for _, wanted in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert (tmp_path / "cache" / "a").read_bytes() == DATA


def test_what_arrived_before_the_program_gave_up_is_kept(server: Server, fetch: object, tmp_path: Path) -> None:
    server.dies = [60_000, 0, 0, 0]
    with pytest.raises(SmbrlError, match="cannot be had"):
        fetch()  # type: ignore[operator]
    assert (tmp_path / "cache" / "a.part").stat().st_size == 60_000
    assert not (tmp_path / "cache" / "a").exists()
    fetch()  # type: ignore[operator]
    assert server.asked[-1][1] == "bytes=60000-"
    assert (tmp_path / "cache" / "a").read_bytes() == DATA


@pytest.mark.parametrize("kind", ["changed", "no ranges", "no tag", "longer"])
def test_a_beginning_that_does_not_fit_is_thrown_away(kind: str, server: Server, fetch: object, tmp_path: Path) -> None:
    expected = DATA
    if kind == "no tag":
        server.tag = False
    server.dies = [60_000, 0, 0, 0]
    with pytest.raises(SmbrlError, match="cannot be had"):
        fetch()  # type: ignore[operator]
    if kind == "changed":
        expected = server.files["/a"] = DATA[::-1]
    elif kind == "no ranges":
        server.ranges = False
    elif kind == "longer":
        with (tmp_path / "cache" / "a.part").open("ab") as part:
            part.write(DATA)
    fetch()  # type: ignore[operator]
    assert (tmp_path / "cache" / "a").read_bytes() == expected


def test_busy_servers_are_asked_again_and_wrong_addresses_are_not(server: Server, fetch: object) -> None:
    server.errors = [503, 500]
    fetch()  # type: ignore[operator]
    assert len(server.asked) == 3


def test_mirrors_are_asked_in_order(server: Server, fetch: object) -> None:
    record = fetch(server.address + "/gone", server.address + "/a")  # type: ignore[operator]
    assert record["url"] == server.address + "/a"
    assert [path for path, _ in server.asked] == ["/gone", "/a"]


def test_nothing_to_be_had_is_one_line(server: Server, fetch: object, tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=r"/gone: HTTP 404 .*name a mirror") as caught:
        fetch(server.address + "/gone", "http://127.0.0.1:1/a", "nonsense")  # type: ignore[operator]
    assert "Connection refused" in str(caught.value)
    assert "no address" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_changed_on_disk_is_noticed(fetch: object, tmp_path: Path) -> None:
    fetch()  # type: ignore[operator]
    (tmp_path / "cache" / "a").write_bytes(DATA[:-1])
    with pytest.raises(SmbrlError, match="has changed since it was downloaded"):
        fetch()  # type: ignore[operator]


@pytest.fixture
def kitchen(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with one of D4RL's files, where a mirror would have it."""
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("D4RL_DATASET_DIR", raising=False)
    with h5py.File(tmp_path / "made.hdf5", "w") as file:
        file["observations"], file["actions"] = np.ones((40, 60), "f4"), np.zeros((40, 9), "f4")
        file["terminals"] = np.arange(40) % 20 == 19
    server.files["/mirror/" + hub.FILES["kitchen-mixed-v0"]] = (tmp_path / "made.hdf5").read_bytes()
    monkeypatch.setattr(hub, "BASE", "http://127.0.0.1:1/")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    return server


def test_names_of_d4rl_are_downloaded_imported_and_kept(kitchen: Server, tmp_path: Path) -> None:
    kitchen.dies = [3000]
    dataset = import_data("kitchen-mixed-v0", mirrors=[kitchen.address + "/mirror/"])
    assert dataset.id == "d4rl/kitchen-mixed-v0"
    assert (dataset.provenance["episodes"], dataset.provenance["steps"]) == (2, 40)
    origin = dataset.provenance["origin"]
    file = tmp_path / "home" / "downloads" / "d4rl" / Path(hub.FILES["kitchen-mixed-v0"]).name
    assert origin["d4rl"] == "kitchen-mixed-v0"
    assert origin["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    asked = len(kitchen.asked)
    import_data("kitchen-mixed-v0", name="lab/again-v0")
    assert len(kitchen.asked) == asked


def test_d4rls_own_cache_is_used(kitchen: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".d4rl" / "datasets" / Path(hub.FILES["kitchen-mixed-v0"]).name
    file.parent.mkdir(parents=True)
    file.write_bytes((tmp_path / "made.hdf5").read_bytes())
    assert import_data("kitchen-mixed-v0").provenance["steps"] == 40
    assert kitchen.asked == []
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "chosen"))
    monkeypatch.setenv(hub.MIRRORS, f"http://127.0.0.1:1, {kitchen.address}/mirror")
    import_data("kitchen-mixed-v0", name="lab/b-v0")
    assert (tmp_path / "chosen" / file.name).read_bytes() == file.read_bytes()
    record = json.loads((tmp_path / "chosen" / (file.name + ".json")).read_text())
    assert record["url"].startswith(kitchen.address)


def test_without_a_network_the_store_stays_as_it_was(kitchen: Server) -> None:
    with pytest.raises(SmbrlError, match=r"cannot be had .*import it by its path"):
        import_data("kitchen-complete-v0", mirrors=[kitchen.address])
    assert store.names() == []


def test_more_names_are_known_where_d4rls_package_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.d4rl_files() == hub.FILES

    urls = {
        "hopper-medium-v2": hub.BASE + "gym_mujoco_v2/hopper_medium-v2.hdf5",
        "flow-x-v0": "http://127.0.0.1:1/flow.hdf5",
    }
    monkeypatch.setattr(hub.importlib, "import_module", lambda name: SimpleNamespace(DATASET_URLS=urls))
    found = hub.d4rl_files()
    assert found["hopper-medium-v2"] == "gym_mujoco_v2/hopper_medium-v2.hdf5"
    assert found["flow-x-v0"] == "http://127.0.0.1:1/flow.hdf5"
    assert set(hub.FILES) < set(found)
