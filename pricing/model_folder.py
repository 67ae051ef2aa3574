"""The folder of a model: put in its place whole, or not at all, and never over another model unasked.

    1. all files are written to DIR's neighbour `.NAME.tmp` and synced
    2. DIR, if there is one, becomes `.NAME.old`
    3. `.NAME.tmp` becomes DIR, in one step
    4. `.NAME.old` is deleted

A training that dies before 3 leaves what stood there, one that dies between 2 and 3 leaves no DIR and both whole beside
it. What is left over is cleared by the next training to the same place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from device.contract.errors import TryAgainError, UsageError
from ingest.contract import durable
from pricing.errors import ModelError
from pricing.judgements import FILE as SET_ASIDE_FILE

MANIFEST_FILE: Final = "manifest.json"
DIAGNOSTICS: Final = "diagnostics"
_DAMAGED: Final = "damaged"


def put_model(folder: Path, model_id: str, files: Mapping[str, str], *, replace: bool = False) -> None:
    """Put a model's files into a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Missing, empty, or with a model in it.
    model_id : str
        The same model is put in place again, whatever `replace` is.
    files : mapping of str to str
        Texts by name; a name may have a folder in front.
    replace : bool
        Replace another model.

    Raises
    ------
    ModelError
        If another model stands there and may not be replaced: then the new one is in a folder beside it, which is told.
    UsageError
        If the folder holds anything else, or the disk does not let it be put there.
    TryAgainError
        If another training is writing to the same place.
    """
    folder = folder.resolve()
    check_place(folder)
    there = standing(folder)
    if there in (None, model_id) or replace:
        _put(folder, files)
        return
    beside = folder.with_name(f"{folder.name}-{model_id}")
    check_place(beside)
    _put(beside, files)
    raise ModelError(
        f"{folder}: holds another model, {there}, which stays; the new one, {model_id}, is in {beside}. Use it from "
        "there, or say --replace"
    )


def check_place(folder: Path) -> None:
    """Refuse a folder that holds anything but a model.

    Raises
    ------
    UsageError
        With the first such file or folder.
    """
    known = {MANIFEST_FILE, SET_ASIDE_FILE, DIAGNOSTICS, *_manifest(folder).get("files_sha256", ())}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in known:
            raise UsageError(f"{folder}: holds {path.name}, which is no part of a model; name a new or an empty folder")


def standing(folder: Path) -> str | None:
    """Id of the model in a folder; None where there is none."""
    if not (folder / MANIFEST_FILE).is_file():
        return None
    return str(_manifest(folder).get("model_id", _DAMAGED))


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _put(folder: Path, files: Mapping[str, str]) -> None:
    new, old = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")
    try:
        with durable.locked(new / ".lock"):
            _clear(new)
            durable.commit({new / name: text.encode() for name, text in files.items()})
            if old.exists():
                shutil.rmtree(old)
            if folder.exists():
                folder.replace(old)
            durable.delete(new / ".lock")
            new.replace(folder)
            durable.sync_folder(folder.parent)
            shutil.rmtree(old, ignore_errors=True)
    except BlockingIOError:
        raise TryAgainError(
            f"{folder}: another training is writing its model there; run again when it is done"
        ) from None
    except OSError as error:
        raise UsageError(f"{folder}: a model cannot be put there ({error.strerror}); name another folder") from error


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            durable.delete(path)
