"""Files from the network: resumed where a connection died, and never taken for whole before they are."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from smbrl.errors import SmbrlError
from smbrl.interfaces import Progress

TRIES = 4
"""How often one address is asked again after its connection died."""
TIMEOUT = 30.0  # seconds without an answer
_PAUSE = 1.0  # seconds before the second try; doubled each time
_BLOCK = 1 << 20


class _Failed(Exception):
    """This address does not have the file, or cannot be reached: try the next."""


def fetch(
    addresses: Sequence[str], target: Path, *, progress: Progress | None = None, pause: float = _PAUSE
) -> dict[str, str | int]:
    """Get a file once: the record (``url``, ``size``, ``sha256``) is kept beside it as ``NAME.json``.

    What has arrived stays in ``NAME.part`` when a connection dies or the program is stopped, and the next try asks for
    the rest only. A file that is there is checked against its record and not fetched again.

    Args:
        addresses: where the file is; the first that has it wins.
        target: where it shall be.
        progress: told (received, total) bytes.
        pause: seconds before the second try.

    Raises:
        SmbrlError: no address gives the file, the stored one is damaged, or it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            if target.is_file():
                return _checked(target, addresses)
            problems = []
            for address in addresses:
                try:
                    total = _receive(address, _part(target), progress, pause)
                except _Failed as problem:
                    problems.append(f"{address}: {problem}")
                    continue
                record: dict[str, str | int] = {"url": address, "size": total, "sha256": sha256(_part(target))}
                _record(target).write_text(json.dumps(record, indent=1))
                _part(target).rename(target)
                _tag(target).unlink(missing_ok=True)
                return record
    except OSError as error:
        raise SmbrlError(
            f"cannot write {target} ({error.strerror or error}): free space or choose another folder"
        ) from (error)
    raise SmbrlError(
        f"{target.name} cannot be had ({'; '.join(problems)}): check the connection, name a mirror, or get the file "
        "elsewhere and import it by its path"
    )


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _tag(target: Path) -> Path:
    """What the server calls this version of the file: a changed file must not be continued."""
    return target.with_name(target.name + ".part.tag")


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _checked(target: Path, addresses: Sequence[str]) -> dict[str, str | int]:
    found = sha256(target)
    try:
        record = json.loads(_record(target).read_text())
        expected = str(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):  # somebody else's download: believe it, and remember it
        return {"url": addresses[0], "size": target.stat().st_size, "sha256": found}
    if found != expected:
        raise SmbrlError(
            f"{target} has changed since it was downloaded (sha256 {found[:12]}, recorded was {expected[:12]}): "
            "remove it and ask again"
        )
    return {"url": str(record.get("url")), "size": target.stat().st_size, "sha256": found}


def _receive(address: str, part: Path, progress: Progress | None, pause: float) -> int:
    """Get the file into ``part``, going on where it ends; its size."""
    problem: Exception | str = "no answer"
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            total = _continue(address, part, progress)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what is here is not a beginning of what is there
                part.unlink(missing_ok=True)
                problem = f"HTTP {error.code}"
                continue
            if error.code < 500 and error.code not in (408, 429):
                raise _Failed(f"HTTP {error.code} {error.reason}") from error
            problem = f"HTTP {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", None) or error
            problem = str(reason) or type(reason).__name__
        except ValueError as error:
            raise _Failed(f"no address ({error})") from error
        else:
            size = part.stat().st_size
            if total is None or size == total:
                return size
            if size > total:
                part.unlink()
            problem = f"the connection ended after {size:,} of {total:,} bytes"
    raise _Failed(str(problem))


def _continue(address: str, part: Path, progress: Progress | None) -> int | None:
    """One request for what is missing; the file's whole size, where the server says it."""
    tag_file = part.with_name(part.name + ".tag")
    have = part.stat().st_size if part.exists() else 0
    tag = tag_file.read_text() if have and tag_file.exists() else ""
    if not tag:
        have = 0  # without the server's name for the version, nobody knows whether the rest would fit
    headers = {"User-Agent": "smbrl"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    total: int | None
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT) as answer:
        length = answer.headers.get("Content-Length")
        if answer.status == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
            if span is None or int(span[1]) != have:
                part.unlink()
                raise http.client.HTTPException("the server answered with another range")
            total = int(span[2])
        else:
            have, total = 0, int(length) if length else None
        tag_file.write_text(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        with part.open("ab" if have else "wb") as file:
            try:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    have += len(block)
                    if progress is not None:
                        progress(have, total or have)
            except http.client.IncompleteRead as error:
                file.write(error.partial)  # the next request begins after it
                raise
            finally:
                file.flush()
                os.fsync(file.fileno())
    return total
