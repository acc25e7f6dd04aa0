"""The programs of simulated containers that have to do with text, time and the environment.

Each does what its namesake of busybox does, for the options it knows; others are UnknownProgram.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import Final

from controllers.fleet.archives import tar
from controllers.fleet.command_conditions import compare, reckon
from controllers.fleet.command_files import FILE_ACTIONS
from controllers.fleet.machine import Action, Call, Reply, UnknownProgram

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SLEEP: Final = re.compile(r"([0-9]{0,12}(?:\.[0-9]{1,9})?)([smhd]?)")
_SEQUENCE_MAX: Final = 10_000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPE: Final = re.compile(
    r"\\(?:(0[0-7]{0,3}|[1-7][0-7]{0,2})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL
)
_ESCAPES: Final = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b",
    "\\": "\\", '"': '"',
}  # fmt: skip
_DIRECTIVE: Final = re.compile(r"%([-0 ]?)([0-9]{0,3})(?:\.([0-9]{1,3}))?([sdiuxXoc%b])")
_DATE: Final = re.compile(r"%[-]?[YmdHMSsFTZzaAbBjNeDRuyIpnt%]")


def _unescape(text: str) -> str:
    """Return a text with its backslashes taken for what they stand for."""

    def replace(found: re.Match[str]) -> str:
        octal, hexadecimal, letter = found.groups()
        if octal:
            return chr(int(octal, 8) & 255)
        if hexadecimal:
            return chr(int(hexadecimal, 16))
        return _ESCAPES.get(letter, f"\\{letter}")

    return _ESCAPE.sub(replace, text)


def _echo(call: Call) -> Reply:
    words, flags = call.arguments, set[str]()
    while words and re.fullmatch(r"-[neE]+", words[0]):
        flags |= set(words[0][1:])
        words = words[1:]
    text = " ".join(words)
    if "e" in flags:
        text, cut, _ = text.partition("\\c")
        text = _unescape(text)
        flags |= {"n"} if cut else set()
    return Reply(0, f"{text}{'' if 'n' in flags else chr(10)}".encode())


def _printf(call: Call) -> Reply:
    if not call.arguments:
        return Reply(2, b"", b"usage: printf FORMAT [ARG...]\n")
    layout, rest = _unescape(call.arguments[0]), call.arguments[1:]
    if layout.count("%") != sum(one.count("%") for one in _directives(layout)):
        raise UnknownProgram(f"printf {call.arguments[0]}")
    made = []
    while True:
        before = len(rest)
        made.append(_DIRECTIVE.sub(lambda found: _filled(found, rest), layout))
        if not rest or len(rest) == before:
            return Reply(0, "".join(made).encode())


def _directives(layout: str) -> list[str]:
    return [found.group() for found in _DIRECTIVE.finditer(layout)]


def _filled(found: re.Match[str], rest: list[str]) -> str:
    flag, width, precision, kind = found.groups()
    if kind == "%":
        return "%"
    value = rest.pop(0) if rest else ""
    if kind in "sbc":
        text = _unescape(value) if kind == "b" else value[:1] if kind == "c" else value
        text = text[: int(precision)] if precision else text
    else:
        try:
            number = int(value or "0", 0)
        except ValueError as error:
            raise UnknownProgram(f"printf %{kind} {value}") from error
        text = format(number, {"x": "x", "X": "X", "o": "o"}.get(kind, "d"))
        if flag == "0":
            text = text.zfill(int(width or 0))
    return text.ljust(int(width or 0)) if flag == "-" else text.rjust(int(width or 0))


def _sleep(call: Call) -> Reply:
    seconds = 0.0
    for one in call.arguments:
        if one in ("infinity", "inf"):
            seconds = math.inf
            continue
        found = _SLEEP.fullmatch(one)
        if found is None or not found.group(1).strip("."):
            return Reply(1, b"", f"sleep: invalid number '{one}'\n".encode())
        seconds += float(found.group(1)) * _SECONDS[found.group(2) or "s"]
    if not call.arguments:
        return Reply(1, b"", b"sleep: missing operand\n")
    return Reply(seconds=seconds)


def _for_ever(_call: Call) -> Reply:
    return Reply(seconds=math.inf)


def _succeed(_call: Call) -> Reply:
    return Reply()


def _fail(_call: Call) -> Reply:
    return Reply(1)


def _env(call: Call) -> Reply:
    machine = call.machine
    if call.arguments:
        raise UnknownProgram("env with arguments")
    lines = [
        f"{name}={value}\n" for name, value in machine.variables.items() if name in machine.exported
    ]
    return Reply(0, "".join(lines).encode())


def _printenv(call: Call) -> Reply:
    machine = call.machine
    if not call.arguments:
        return _env(call)
    found = [machine.variables.get(one) for one in call.arguments if one in machine.exported]
    text = "".join(f"{value}\n" for value in found if value is not None)
    return Reply(int(len(found) < len(call.arguments)), text.encode())


def _export(call: Call) -> Reply:
    machine = call.machine
    for one in call.arguments:
        name, sign, value = one.partition("=")
        if not _NAME.fullmatch(name):
            raise UnknownProgram(f"export {one}")
        if sign:
            machine.variables[name] = value
        machine.exported.add(name)
    return Reply() if call.arguments else _env(call)


def _unset(call: Call) -> Reply:
    for one in call.arguments:
        call.machine.variables.pop(one, None)
        call.machine.exported.discard(one)
    return Reply()


def _shift(call: Call) -> Reply:
    text = call.arguments[0] if call.arguments else "1"
    count = int(text) if text.isdecimal() else 1
    call.machine.arguments = call.machine.arguments[count:]
    return Reply()


def _read(call: Call) -> Reply:
    names = [one for one in call.arguments if one != "-r"] or ["REPLY"]
    if any(not _NAME.fullmatch(one) for one in names):
        raise UnknownProgram("read with options")
    if not call.input.rest:
        if call.input.is_open:
            return Reply(1, seconds=math.inf)
        return Reply(1)
    line, _, call.input.rest = call.input.rest.partition(b"\n")
    pieces = line.decode(errors="replace").strip().split(None, len(names) - 1)
    pieces += [""] * (len(names) - len(pieces))
    call.machine.variables.update(zip(names, pieces, strict=True))
    return Reply()


def _hostname(call: Call) -> Reply:
    if call.arguments in (["-i"], ["-I"]):
        address = call.machine.world.address
        return Reply(0, f"{address}\n".encode())
    if call.arguments not in ([], ["-s"], ["-f"]):
        raise UnknownProgram("hostname with options")
    return Reply(0, f"{call.machine.world.hostname}\n".encode())


def _date(call: Call) -> Reply:
    now_s = call.machine.now_s
    now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    layout = "+%a %b %e %H:%M:%S UTC %Y"
    for one in call.arguments:
        if one.startswith("+"):
            layout = one
        elif one in ("-Iseconds", "-Is", "--iso-8601=seconds"):
            layout = "+%Y-%m-%dT%H:%M:%S+00:00"
        elif one not in ("-u", "--utc"):
            raise UnknownProgram(f"date {one}")
    if layout.count("%") != sum(one.count("%") for one in _DATE.findall(layout)):
        raise UnknownProgram(f"date {layout}")
    text = layout[1:].replace("%N", f"{round(now_s % 1 * 1e6):06d}000")
    text = text.replace("%s", str(int(now_s)))
    return Reply(0, f"{now.strftime(text)}\n".encode())


def _seq(call: Call) -> Reply:
    try:
        numbers = [int(one) for one in call.arguments]
    except ValueError as error:
        raise UnknownProgram("seq of no integers") from error
    match numbers:
        case [last]:
            span = range(1, last + 1)
        case [first, last]:
            span = range(first, last + 1)
        case [first, step, last] if step:
            span = range(first, last + (1 if step > 0 else -1), step)
        case _:
            return Reply(1, b"", b"usage: seq [FIRST [INC]] LAST\n")
    if span[_SEQUENCE_MAX:]:
        raise UnknownProgram("seq of so many")
    return Reply(0, "".join(f"{one}\n" for one in span).encode())


def _which(call: Call) -> Reply:
    names = [one for one in call.arguments if not one.startswith("-")]
    if call.name == "command" and not {"-v", "-V"} & set(call.arguments):
        raise UnknownProgram("command")
    found = [one for one in names if one in call.machine.actions or one in ("sh", "exit", "set")]
    if len(found) < len(names) and not call.machine.goes_on:
        # Its image may have it.
        raise UnknownProgram(next(one for one in names if one not in found))
    return Reply(int(not found), "".join(f"/bin/{one}\n" for one in found).encode())


def _id(call: Call) -> Reply:
    if call.name == "whoami":
        return Reply(0, b"root\n")
    if call.arguments not in ([], ["-u"], ["-g"]):
        raise UnknownProgram("id with options")
    text = "0" if call.arguments else "uid=0(root) gid=0(root) groups=0(root)"
    return Reply(0, f"{text}\n".encode())


ACTIONS: Final[dict[str, Action]] = {
    "echo": _echo,
    "printf": _printf,
    "sleep": _sleep,
    "pause": _for_ever,
    "wait": _succeed,
    "env": _env,
    "printenv": _printenv,
    "export": _export,
    "unset": _unset,
    "shift": _shift,
    "read": _read,
    "hostname": _hostname,
    "date": _date,
    "seq": _seq,
    "expr": reckon,
    "id": _id,
    "whoami": _id,
    "false": _fail,
    **dict.fromkeys(("true", ":", "sync", "trap", "umask", "ulimit"), _succeed),
    **dict.fromkeys(("test", "[", "[["), compare),
    **dict.fromkeys(("which", "command"), _which),
    **FILE_ACTIONS,
    "tar": tar,
}
