"""The programs of simulated containers that have to do with files."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from controllers.fleet.machine import Action, Call, Reply, UnknownProgram

_LINES: Final = 10
_BYTES_MAX: Final = 1 << 20


def _options(call: Call, known: str) -> tuple[set[str], list[str]]:
    """Return which options of one letter are given, and what else there is."""
    flags: set[str] = set()
    words = []
    for at, one in enumerate(call.arguments):
        if one == "--":
            words += call.arguments[at + 1 :]
            break
        if one[:1] == "-" and len(one) > 1:
            flags |= set(one[1:])
        else:
            words.append(one)
    if not flags <= set(known):
        raise UnknownProgram(f"{call.name} {' '.join(call.arguments)}"[:80])
    return flags, words


def _contents(call: Call, paths: list[str]) -> tuple[list[bytes], bytes]:
    """Return what files, or the standard input, hold, and what is wrong with others."""
    found, errors = [], ""
    for path in paths or ["-"]:
        if path == "-":
            rest, call.input.rest = call.input.rest, b""
            found.append(rest)
        elif (content := call.machine.read(path)) is not None:
            found.append(content)
        elif call.machine.names(path) is not None:
            errors += f"{call.name}: {path}: Is a directory\n"
        else:
            errors += f"{call.name}: can't open '{path}': No such file or directory\n"
        if sum(map(len, found)) > _BYTES_MAX:
            raise UnknownProgram(f"{call.name} of so much")
    return found, errors.encode()


def _seconds(call: Call, paths: list[str]) -> float:
    """Return how long is waited for what comes: for ever, where nobody knows what will."""
    reads = not paths or "-" in paths
    return math.inf if reads and call.input.is_open and not call.input.rest else 0.0


def _cat(call: Call) -> Reply:
    _, paths = _options(call, "u")
    seconds = _seconds(call, paths)
    found, errors = _contents(call, paths)
    return Reply(int(bool(errors)), b"".join(found), errors, seconds)


def _first_lines(content: bytes, count: int) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:count])


def _last_lines(content: bytes, count: int) -> bytes:
    return b"".join(content.splitlines(keepends=True)[-count:] if count else [])


def _part(cut: Callable[[bytes, int], bytes], call: Call) -> Reply:
    words, count, follows = list(call.arguments), _LINES, False
    paths = []
    while words:
        word = words.pop(0)
        if word in ("-f", "-F") and call.name == "tail":
            follows = True
        elif word == "-n" and words and words[0].isdecimal():
            count = int(words.pop(0)[:9])
        elif word[:1] == "-" and word.lstrip("-n").isdecimal():
            count = int(word.lstrip("-n")[:9])
        elif word[:1] == "-" and len(word) > 1:
            raise UnknownProgram(f"{call.name} {word}")
        else:
            paths.append(word)
    if follows and paths == ["/dev/null"]:
        return Reply(seconds=math.inf)
    found, errors = _contents(call, paths)
    if follows and found:
        raise UnknownProgram("tail -f of what may change")
    text = b"".join(cut(content, count) for content in found)
    return Reply(int(bool(errors)), text, errors, _seconds(call, paths) if not found else 0.0)


def _head(call: Call) -> Reply:
    return _part(_first_lines, call)


def _tail(call: Call) -> Reply:
    return _part(_last_lines, call)


def _wc(call: Call) -> Reply:
    flags, paths = _options(call, "lwc")
    found, errors = _contents(call, paths)
    lines = []
    for number, content in enumerate(found):
        counts = {"l": content.count(b"\n"), "w": len(content.split()), "c": len(content)}
        shown = [str(counts[one]) for one in "lwc" if one in (flags or "lwc")]
        name = paths[number : number + 1] if len(found) == len(paths) else []
        lines.append(" ".join([*shown, *name]) + "\n")
    return Reply(int(bool(errors)), "".join(lines).encode(), errors)


def _tee(call: Call) -> Reply:
    flags, paths = _options(call, "a")
    (content,), _ = _contents(call, [])
    for path in paths:
        before = call.machine.read(path) or b"" if "a" in flags else b""
        call.machine.write(path, before + content)
    return Reply(0, content)


def _ls(call: Call) -> Reply:
    flags, paths = _options(call, "1aA")
    shown, errors = [], ""
    for path in paths or ["."]:
        names = call.machine.names(path)
        if names is not None:
            shown += [one for one in names if flags & set("aA") or not one.startswith(".")]
        elif call.machine.read(path) is not None:
            shown.append(path)
        else:
            errors += f"ls: {path}: No such file or directory\n"
    return Reply(int(bool(errors)), "".join(f"{one}\n" for one in shown).encode(), errors.encode())


def _touch(call: Call) -> Reply:
    _, paths = _options(call, "c")
    for path in paths:
        if call.machine.read(path) is None:
            call.machine.write(path, b"")
    return Reply()


def _rm(call: Call) -> Reply:
    flags, paths = _options(call, "rRf")
    errors = ""
    for path in paths:
        whole = call.machine.path(path)
        written = [one for one in call.machine.files if one.startswith(f"{whole}/")]
        if flags & set("rR") and written:
            for one in written:
                call.machine.write(one, None)
        if call.machine.read(path) is not None:
            call.machine.write(path, None)
        elif not written and "f" not in flags:
            errors += f"rm: can't remove '{path}': No such file or directory\n"
    return Reply(int(bool(errors)), b"", errors.encode())


def _mkdir(call: Call) -> Reply:
    _, paths = _options(call, "p")
    for path in paths:
        call.machine.write(f"{call.machine.path(path)}/.", b"")
    return Reply()


def _cp(call: Call) -> Reply:
    _, paths = _options(call, "f")
    if len(paths) != 2 or (content := call.machine.read(paths[0])) is None:
        raise UnknownProgram(f"{call.name} {' '.join(call.arguments)}"[:80])
    target = paths[1]
    if call.machine.names(target) is not None:
        target = f"{target}/{paths[0].rpartition('/')[2]}"
    call.machine.write(target, content)
    if call.name == "mv":
        call.machine.write(paths[0], None)
    return Reply()


def _chmod(call: Call) -> Reply:
    if any(call.machine.read(one) is None for one in call.arguments[1:] if one[:1] == "/"):
        raise UnknownProgram(call.name)
    return Reply()


def _cd(call: Call) -> Reply:
    machine = call.machine
    path = machine.path(call.arguments[0] if call.arguments else machine.lookup("HOME") or "/")
    if path != "/" and machine.names(path) is None:
        text = f"{machine.name}: cd: can't cd to {path}: No such file or directory\n"
        return Reply(2, b"", text.encode())
    machine.directory = machine.variables["PWD"] = path
    return Reply()


def _pwd(call: Call) -> Reply:
    return Reply(0, f"{call.machine.directory}\n".encode())


def _basename(call: Call) -> Reply:
    if not call.arguments:
        return Reply(1, b"", b"usage: basename FILE [SUFFIX]\n")
    head, _, tail = call.arguments[0].rstrip("/").rpartition("/")
    if call.name == "dirname":
        return Reply(0, f"{head or ('/' if call.arguments[0].startswith('/') else '.')}\n".encode())
    for suffix in call.arguments[1:]:
        tail = tail.removesuffix(suffix)
    return Reply(0, f"{tail or '/'}\n".encode())


FILE_ACTIONS: Final[dict[str, Action]] = {
    "cat": _cat,
    "head": _head,
    "tail": _tail,
    "wc": _wc,
    "tee": _tee,
    "ls": _ls,
    "touch": _touch,
    "rm": _rm,
    "mkdir": _mkdir,
    "cp": _cp,
    "mv": _cp,
    "chmod": _chmod,
    "chown": _chmod,
    "cd": _cd,
    "pwd": _pwd,
    "basename": _basename,
    "dirname": _basename,
}
