"""`make diff`: what a change does to events, features and factors of recorded trips.

    base: files of a revision, in a folder that is thrown away --+
    head: the files as they are here ----------------------------+-> snapshots of the same recordings -> difference

Both sides read the same recordings and run in the same environment. Base needs to be a revision that has
tests/golden/snapshot.py. `--base golden` compares with the committed references instead, which have all but factors.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from replay_data.importers import recognise
from tests.golden import replay
from tests.golden.compare import compare
from tests.golden.snapshot import FORMAT, keep_quiet
from tests.golden.tell import render

ROOT: Final = Path(__file__).resolve().parents[2]
SHARED: Final = Path(os.environ.get("UBI_SHARED_DATA", ROOT.parent / "shared" / "data"))
GOLDEN: Final = "golden"
SNAPSHOT: Final = "tests/golden/snapshot.py"
NOTE: Final = "Factors are by a model of simulated drivers, for a year of each recording: they are the price of nobody."


class Base(NamedTuple):
    """A revision, and why it."""

    revision: str
    why: str


def main(argv: list[str]) -> int:
    """Return 0 where nothing changed, 1 where something did."""
    options = _parser().parse_args(argv)
    files = [path.resolve() for path in options.files] or recordings()
    cache = ROOT / ".pytest_cache" / "d" / "reference-model"
    with tempfile.TemporaryDirectory(prefix="ubi-diff-") as name:
        folder = Path(name)
        if options.base == GOLDEN:
            print("base: the committed references", flush=True)
            head: dict[str, Any] = {"recordings": replay.recordings(options.files or None)}
            base: dict[str, Any] = {"recordings": replay.references(head["recordings"])}
        else:
            chosen = Base(options.base, "as asked") if options.base else pick_base(ROOT)
            print(f"base: {chosen.revision} ({_subject(ROOT, chosen.revision)}), {chosen.why}", flush=True)
            print(f"head: the files in {ROOT.name} as they are; {len(files)} recordings", flush=True)
            unpack(ROOT, chosen.revision, folder / "base")
            base = snapshot_of(folder / "base", folder / "base.json", files, cache)
            head = snapshot_of(ROOT, folder / "head.json", files, cache, base["model"])
    differences = compare(base["recordings"], head["recordings"])
    if not differences:
        print(f"Nothing changed in {len(head['recordings'])} recordings: no event, no feature, no factor.")
        return 0
    one_model = head.get("rated_by") == base.get("rated_by")
    print(render(differences, everything=options.all, one_model=one_model))
    if "model" in head:
        print(NOTE)
    return 1


def pick_base(root: Path) -> Base:
    """Choose what to compare with: HEAD if files are changed, else where the branch left origin/main, else HEAD~1."""
    if _git(root, "status", "--porcelain", "--untracked-files=no"):
        return Base(_git(root, "rev-parse", "--short", "HEAD"), "the last commit, since files here are changed")
    head = _git(root, "rev-parse", "HEAD")
    fork = _git(root, "merge-base", "HEAD", "origin/main", check=False)
    if fork and fork != head:
        return Base(fork[:10], "where this branch left origin/main")
    return Base(_git(root, "rev-parse", "--short", "HEAD~1"), "the commit before the last, since no file is changed")


def recordings() -> list[Path]:
    """Recordings of this project, and of the shared data where they are; what cannot be read is compared as such."""
    own = sorted((ROOT / "replay_data" / "trips").iterdir())
    others = sorted(path for path in SHARED.rglob("*") if path.is_file()) if SHARED.is_dir() else []
    return own + [path for path in others if path.stat().st_size and recognise(path) is not None]


def snapshot_of(
    folder: Path, out: Path, files: Sequence[Path], cache: Path, model: str | None = None
) -> dict[str, Any]:
    """Run the snapshot of the code in a folder, in a process of its own; `model` is what to rate by."""
    words = [sys.executable, "-m", "tests.golden.snapshot", str(out), "--cache", str(cache)]
    words += [*(("--model", model) if model else ()), *map(str, files)]
    done = subprocess.run(words, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, check=False)
    if done.returncode:
        raise SystemExit(f"make diff: the snapshot of {folder.name} ended with {done.returncode}")
    made: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if made["format"] != FORMAT:
        told = f"the snapshot of {folder.name} is of format {made['format']}, not {FORMAT}"
        raise SystemExit(f"make diff: {told}; name a later revision with BASE=")
    return made


def unpack(root: Path, revision: str, folder: Path) -> None:
    """Write the files of a revision into a folder; nothing of the repository changes."""
    done = subprocess.run(["git", "-C", str(root), "archive", revision], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"make diff: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    if not (folder / SNAPSHOT).exists():
        raise SystemExit(f"make diff: {revision} has no {SNAPSHOT}; name a later revision with BASE=")


def _subject(root: Path, revision: str) -> str:
    return _git(root, "log", "-1", "--format=%s", revision, check=False)


def _git(root: Path, *words: str, check: bool = True) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise SystemExit(f"make diff: git {words[0]}: {done.stderr.strip()}")
    return "" if done.returncode else done.stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make diff", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--base",
        metavar="REF",
        help="revision to compare with, or 'golden'; default: HEAD where files are changed, else where the branch left "
        "origin/main, else the commit before",
    )
    parser.add_argument("--all", action="store_true", help="show every event and feature")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="recordings; default: all there are")
    return parser


if __name__ == "__main__":
    keep_quiet()
    sys.exit(main(sys.argv[1:]))
