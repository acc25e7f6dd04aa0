"""Scripts of simulated containers: they do what a shell would, or are not understood."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import pytest

from controllers.fleet.command_actions import ACTIONS
from controllers.fleet.commands import Interpreter
from controllers.fleet.machine import Input, Machine, UnknownProgram

_START_S: Final = 1_000_000_000.0


class _World:
    hostname = "pod-1"
    address = "10.0.0.1"
    environment: Final = {"HOME": "/root", "GREETING": "hello world", "EMPTY": ""}

    def read(self, path: str) -> bytes | None:
        return {"/etc/hostname": b"pod-1\n", "/etc/empty": b""}.get(path)

    def names(self, path: str) -> list[str] | None:
        return {"/": ["etc"], "/etc": ["empty", "hostname"]}.get(path)

    def is_shared(self, path: str) -> bool:
        return path.startswith("/shared")


class _Done(NamedTuple):
    """How a run ended; code None: it does not, or not within the steps."""

    out: str
    code: int | None
    seconds: float = 0.0


def _run(*words: str, given: Input | None = None, goes_on: bool = False) -> _Done:
    printed = bytearray()
    machine = Machine(
        *(_World(), ACTIONS, _START_S, printed.extend, printed.extend), given or Input(), goes_on
    )
    running = Interpreter(machine).run_words(list(words))
    try:
        while machine.steps < 5000:
            pause = next(running)
            if pause.repeats or math.isinf(pause.seconds):
                break
            machine.elapsed_s += pause.seconds
    except StopIteration as end:
        return _Done(printed.decode(), end.value, machine.elapsed_s)
    return _Done(printed.decode(), None, machine.elapsed_s)


def _sh(text: str) -> _Done:
    return _run("sh", "-c", text)


@pytest.mark.parametrize(
    ("script", "out"),
    [
        ("echo hi", "hi\n"),
        ("echo -n a; echo -e 'b\\tc'", "ab\tc\n"),
        ("echo '$GREETING' \"$GREETING\" $GREETING", "$GREETING hello world hello world\n"),
        ("for x in $GREETING \"$GREETING\" ''; do echo [$x]; done",
         "[hello]\n[world]\n[hello world]\n[]\n"),
        ("echo ${NO:-x y} ${EMPTY:-e} [${EMPTY-e}] ${GREETING:+yes} ${#GREETING}",
         "x y e [] yes 11\n"),
        ("false || echo or && echo and", "or\nand\n"),
        ("if [ -f /etc/hostname ]; then cat /etc/hostname; else echo no; fi", "pod-1\n"),
        ("if false; then echo 1; elif true; then echo 2; else echo 3; fi", "2\n"),
        ("i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done", "0\n1\n2\n"),
        ("for x in a b; do for y in 1 2; do [ $y = 2 ] && continue 2; echo $x$y; done; done",
         "a1\nb1\n"),
        ("while true; do echo once; break; done", "once\n"),
        ("echo a | cat | wc -c", "2\n"),
        ("printf 'a b\\nc d\\n' | while read x y; do echo $y $x; done", "b a\nd c\n"),
        ("printf '%s-%03d|%-4s|\\n' a 7 x b 8 y", "a-007|x   |\nb-008|y   |\n"),
        ("echo one > /tmp/f; echo two >> /tmp/f; cat /tmp/f; ls /tmp", "one\ntwo\nf\n"),
        ("echo lost >/dev/null 2>&1; echo kept >&2", "kept\n"),
        ("(cd /etc; X=1; pwd); pwd; echo [$X]", "/etc\n/\n[]\n"),
        ("{ echo a; echo b; } > /tmp/x; tail -n 1 < /tmp/x", "b\n"),
        ("echo $((2*(3+4)%5)) $((-7/2)) $((1<2)) `echo back` $(echo \"in $(hostname)\")",
         "4 -3 1 back in pod-1\n"),
        ("X=1 printenv X; echo [$X]", "1\n[]\n"),
        ("export Y=2; sh -c 'echo $Y $0 $1' name arg", "2 name arg\n"),
        ("seq 3 -1 1 | tail -n 2", "2\n1\n"),
        ("expr 7 % 4 + 1; expr 2 \\* 3 = 6; expr 1 - 1 || echo nought", "4\n1\n0\nnought\n"),
        ("echo hello\\ there # a comment", "hello there\n"),
        ("date +%Y-%m-%d; date", "2001-09-09\nSun Sep  9 01:46:40 UTC 2001\n"),
        ("cat /none; echo $?", "cat: can't open '/none': No such file or directory\n1\n"),
        ("mkdir -p /a/b && cd /a && pwd && ls", "/a\nb\n"),
        ("[ -z \"\" ] && ! [ 1 -eq 2 ] && test a != b && echo ok", "ok\n"),
        ("eval 'echo $GREETING'", "hello world\n"),
        ("set -- a b; shift; echo $1 $#", "b 1\n"),
    ],
)  # fmt: skip
def test_a_script_prints_what_a_shell_would(script: str, out: str) -> None:
    assert _sh(script) == _Done(out, 0)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 3", 3),
        ("false", 1),
        ("! false", 0),
        ("(exit 4)", 4),
        ("true && false || true", 0),
        ("set -e; false; echo never", 1),
        ("set -e; if false; then :; fi; false || true", 0),
        ("false; exit", 1),
        ("exit 256", 0),
        ("echo ${NO:?is needed}; true", 2),
    ],
)
def test_a_script_ends_with_the_code_a_shell_would(script: str, code: int) -> None:
    assert _sh(script).code == code


@pytest.mark.parametrize(
    ("script", "seconds"),
    [
        ("sleep 3", 3),
        ("sleep 1m 1.5", 61.5),
        ("for i in 1 2 3; do sleep 2; done", 6),
        ("sleep 1d; echo x", 86_400),
        ("until [ -f /tmp/x ]; do sleep 2; touch /tmp/x; done", 2),
        ("exec sleep 5; echo never", 5),
    ],
)
def test_time_passes_only_where_a_script_waits(script: str, seconds: float) -> None:
    done = _sh(script)
    assert (done.code, done.seconds) == (0, seconds)


@pytest.mark.parametrize(
    "script",
    [
        "sleep infinity",
        "tail -f /dev/null",
        "while true; do echo x; sleep 5; done",
        "trap 'exit 0' TERM; while true; do date; sleep 1; done",
        "while :; do :; done",
        "until false; do sleep 1; done",
    ],
)
def test_what_never_ends_is_seen_not_to(script: str) -> None:
    assert _sh(script).code is None


@pytest.mark.parametrize(
    "script",
    [
        "nginx -g 'daemon off;'",
        "cat /shared/file",
        "X=aaaaaaaa; while true; do X=$X$X; done",
        "${A:-" * 100,
        f"seq {'9' * 40}",
        "[ -f /shared/file ] || echo none",
        "ls /shared",
        "apt-get update && echo done",
        "f() { echo; }; f",
        "case x in x) echo;; esac",
        "cat <<EOF\nx\nEOF",
        "sleep 5 & wait",
        "echo ${HOME%/*}",
        "[[ -f /etc/hostname && -d /etc ]]",
        "date -d tomorrow",
        "grep -P x /etc/hostname",
        "echo $((1 +))",
        "echo 'no end",
        "if true; then echo",
        "seq 1 1000000000",
        "X=$(while true; do seq 1 9999; done)",
        "$(" * 40,
        "(" * 400,
        "sh -c \"sh -c 'eval eval eval eval eval eval eval eval eval eval echo'\"",
    ],
)
def test_what_is_not_known_is_not_made_up(script: str) -> None:
    with pytest.raises(UnknownProgram):
        _sh(script)


def test_in_a_session_what_is_not_known_is_an_error_like_others() -> None:
    done = _run("sh", "-c", "nothing || echo or", goes_on=True)
    assert done.out.endswith("this container is simulated\nor\n")
    assert _run("nothing", goes_on=True).code == 127


def test_a_shell_without_a_script_runs_what_it_reads() -> None:
    assert _run("sh", given=Input(b"echo in\nexit 5\n")) == _Done("in\n", 5)
    assert _run("sh") == _Done("", 0)
    assert _run("cat", given=Input(b"", is_open=True)).code is None
    assert _run("/bin/bash", "-ec", "false; true").code == 1


def test_a_loop_that_asks_for_the_time_is_not_taken_to_repeat() -> None:
    end = int(_START_S) + 5
    done = _sh(f"while [ $(date +%s) -lt {end} ]; do sleep 1; done; echo late")
    assert done == _Done("late\n", 0, 5.0)


def test_rounds_that_are_left_out_take_their_time() -> None:
    machine = Machine(_World(), ACTIONS, 0.0, lambda _: None, lambda _: None)
    running = Interpreter(machine).run_words(["sh", "-c", "while sleep 10; do :; done"])
    machine.elapsed_s += next(running).seconds
    pause = next(running)
    assert (pause.seconds, pause.repeats) == (0.0, 10.0)
    running.send(1000)
    assert machine.elapsed_s == 10_010.0
