"""Find and read gin files: by path, beside the including file, or by the name a plugin ships them under."""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from smbrl.errors import SmbrlError, suggestion
from smbrl.registry import GinFolder, Registry

logger = logging.getLogger(__name__)

SUFFIX = ".gin"


@dataclass(frozen=True)
class GinFile:
    """A gin file that was read.

    Attributes:
        text: its content.
        label: how error lines and ``config show`` name it.
        key: the same for the same file, however it was found.
        folder: the plugin's folder it came from, and ``name`` its path in it; None for other files.
        path: where it lies on disk, where it does.
    """

    text: str
    label: str
    key: str
    folder: GinFolder | None = None
    name: str = ""
    path: Path | None = None


def open_file(name: str, registry: Registry) -> GinFile:
    """A file named on the command line: a path, or the name of a packaged file; ``.gin`` may be left out.

    Raises:
        SmbrlError: it does not exist or cannot be read.
    """
    if not name.strip():
        raise SmbrlError(f"--gin is empty: give a gin file ({suggestion('', packaged_names(registry))})")
    for path in (Path(name), Path(name + SUFFIX)):
        if _is_readable(path):
            return _from_path(path, registry)
    # `--gin gin/skimo_maze.gin` works outside a checkout too: gin/ is where a checkout has the packaged files
    plain = name.removeprefix("./").removeprefix("gin/")
    found = _packaged(plain, registry)
    if found is not None:
        return found
    if os.path.isdir(name):
        raise SmbrlError(f"--gin {name} is a folder, expected a gin file in it")
    raise SmbrlError(f"no gin file {name!r}: {_similar(plain, registry)}{_excuse(registry)}")


def open_include(name: str, including: GinFile, line: int, registry: Registry) -> GinFile:
    """A file named by ``include``: relative to the including file, else the name of a packaged file.

    Raises:
        SmbrlError: it does not exist or cannot be read.
    """
    at = f"{including.label}:{line}"
    if including.path is not None:
        for path in (including.path.parent / name, including.path.parent / (name + SUFFIX)):
            if _is_readable(path):
                return _from_path(path, registry)
    if including.folder is not None:
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(including.name), name))
        for candidate in (beside, beside + SUFFIX):
            found = _child(including.folder.folder, candidate)
            if found is not None and found.is_file():
                return _from_folder(including.folder, candidate, found)
    packaged = _packaged(posixpath.normpath(name.removeprefix("gin/")), registry)
    if packaged is not None:
        return packaged
    raise SmbrlError(
        f"{at}: include {name!r}: no such file beside {including.label} nor among the packaged ones: "
        f"{_similar(name, registry)}{_excuse(registry)}"
    )


def packaged_names(registry: Registry) -> list[str]:
    """Names, without ``.gin``, of every gin file the plugins ship: ``skimo_maze``, ``tasks/maze``, ..."""
    names: dict[str, None] = {}
    for entry in registry.gin:
        names.update(dict.fromkeys(name.removesuffix(SUFFIX) for name in _walk(entry.folder)))
    return list(names)


def packaged_files(registry: Registry) -> Iterator[tuple[str, GinFolder]]:
    """Each packaged gin file by name (without ``.gin``), with the plugin's folder it lies in."""
    for entry in registry.gin:
        for name in _walk(entry.folder):
            yield name.removesuffix(SUFFIX), entry


def packaged_file(name: str, folder: GinFolder) -> GinFile:
    """Read one that ``packaged_files`` named.

    Raises:
        SmbrlError: it cannot be read.
    """
    return _from_folder(folder, name + SUFFIX, folder.folder.joinpath(*(name + SUFFIX).split("/")))


def first_comment(text: str) -> str:
    """The comment lines a gin file begins with, joined; a leading ``# overlay on:`` line is left out."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if overlay_base(line) is None:
            lines.append(line.lstrip("# ").strip())
    return " ".join(lines).strip()


def overlay_base(text: str) -> str | None:
    """The file an overlay is meant for: ``# overlay on: NAME`` as the first line; None for a complete file."""
    first, _, _ = text.partition("\n")
    head, colon, base = first.lstrip("# ").partition(":")
    if first.startswith("#") and colon and head.strip().lower() == "overlay on":
        return base.strip() or None
    return None


# -- inside ----------------------------------------------------------------------------------------
def _is_readable(path: Path) -> bool:
    """A file, or a pipe such as a shell's ``<(...)``; False for whatever cannot even be looked at."""
    return os.path.exists(path) and not os.path.isdir(path)


def _from_path(path: Path, registry: Registry) -> GinFile:
    if not path.is_file():
        return GinFile(_read(path, str(path)), str(path), str(path))
    path = path.resolve()
    for entry in registry.gin:  # a packaged file found by its path is the same file
        if isinstance(entry.folder, Path) and path.is_relative_to(entry.folder.resolve()):
            name = path.relative_to(entry.folder.resolve()).as_posix()
            return _from_folder(entry, name, path)
    return GinFile(_read(path, _label(path)), _label(path), str(path), path=path)


def _from_folder(entry: GinFolder, name: str, file: Traversable) -> GinFile:
    if isinstance(file, Path):
        path = file.resolve()
        inside = path.is_relative_to(Path.cwd())
        label = _label(path) if inside else f"{entry.source.distribution}:{name}"
        return GinFile(_read(file, label), label, str(path), entry, name, path)
    label = f"{entry.source.distribution}:{name}"
    return GinFile(_read(file, label), label, label, entry, name)


def _packaged(name: str, registry: Registry) -> GinFile | None:
    found = []
    for entry in registry.gin:
        for candidate in (name, name + SUFFIX):
            file = _child(entry.folder, candidate)
            if file is not None and file.is_file():
                found.append((entry, candidate, file))
                break
    if len(found) > 1:
        others = ", ".join(str(entry.source) for entry, _, _ in found[1:])
        logger.warning("gin file %s of %s is used; there is one of that name in %s", name, found[0][0].source, others)
    return _from_folder(*found[0]) if found else None


def _child(folder: Traversable, name: str) -> Traversable | None:
    """A file below a folder by its normalised name; None where the name leads out of the folder."""
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts:
        return None
    for part in parts:
        folder = folder.joinpath(part)
    return folder


def _walk(folder: Traversable, prefix: str = "") -> Iterator[str]:
    try:
        children = sorted(folder.iterdir(), key=lambda item: item.name)
    except OSError as error:
        logger.warning("the gin folder %s cannot be read (%s)", folder, error.strerror)
        return
    for child in children:
        if child.is_dir():
            yield from _walk(child, f"{prefix}{child.name}/")
        elif child.name.endswith(SUFFIX):
            yield prefix + child.name


def _label(path: Path) -> str:
    try:
        return path.relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)


def _read(file: Traversable, label: str) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SmbrlError(f"{label}: cannot be read ({error.strerror})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found = data[error.start]
        raise SmbrlError(f"{label}:{line}: not UTF-8 text (byte 0x{found:02x}): save it as UTF-8") from error
    if "\0" in text:
        raise SmbrlError(f"{label}: not a gin file, it has binary content")
    return text


def _similar(name: str, registry: Registry) -> str:
    names = packaged_names(registry)
    stem = posixpath.basename(name).removesuffix(SUFFIX)
    same = [known for known in names if posixpath.basename(known) == stem]
    return f"did you mean {same[0]!r}?" if same else suggestion(name.removesuffix(SUFFIX), names)


def _excuse(registry: Registry) -> str:
    return "" if registry.third_party else " (third-party plugins are off)"
