"""Whatever a container's command says: it is read and foreseen, in bounded time, without fault."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.fleet.pod_scene import Place, Scene
from controllers.fleet.scripts import Script, understand

_PIECES = st.sampled_from(
    [
        *("echo", "cat", "sleep", "seq", "test", "[", "]", "printf", "date", "read", "set", "eval"),
        *(
            "if",
            "then",
            "else",
            "fi",
            "while",
            "until",
            "do",
            "done",
            "for",
            "in",
            "x",
            "!",
            "exit",
        ),
        *("$X", "${X:-", "}", "$(", ")", "$((", "))", "`", '"', "'", "\\", "{", "(", "|", "||"),
        *("&&", ";", "\n", ">", ">>", "<", ">&2", "2>", "/tmp/a", "X=$X$X", "X=1", "9" * 30),
        *("exit", "break", "continue", "sh", "-c", "export", "%s%d", "%", "+%s", "infinity", "-lt"),
    ]
)
_SCRIPTS = st.one_of(st.lists(_PIECES, max_size=30).map(" ".join), st.text(max_size=80))
_METADATA = {"name": "p", "namespace": "ns", "uid": "u"}


@settings(deadline=2000)
@given(_SCRIPTS)
def test_any_script_is_foreseen(text: str) -> None:
    words = ("sh", "-c", text)
    obj = {"metadata": _METADATA, "spec": {"containers": [{"name": "c"}]}}
    scene = Scene(obj, {}, Place("10.0.0.9", "127.0.0.1", {}, {}))
    if (found := understand(words)) is None:
        return
    script = Script(words, reads=False, name="c", scene=scene if found.needs_scene else None)
    outcome = script.outcome(1e9)
    assert outcome.after_s >= 0
    assert outcome.code is None or 0 <= outcome.code <= 255
    # What was foreseen is what happens, if somebody looks again.
    assert script.outcome(1e9) == outcome
