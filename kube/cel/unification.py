"""Which types may stand for which, and what type variables come to mean on the way.

The rules are cel-go's: `dyn` agrees with everything, null with what may be null, and a variable
that is met twice takes the more general of both.
"""

from __future__ import annotations

from kube.cel.types import DYN, NULLABLE, CelType, same

Bindings = dict[str, CelType]


class Unifier:
    """What type variables stand for, as far as it is known.

    What is not known in the end is dyn.
    """

    def __init__(self) -> None:
        self._bindings: Bindings = {}
        self._made = 0

    def fresh(self) -> CelType:
        """Return a variable that nothing is known of."""
        self._made += 1
        return CelType("param", f"_var{self._made}")

    def instantiate(self, declared: tuple[CelType, ...]) -> tuple[CelType, ...]:
        """Return a signature with variables of its own."""
        names: Bindings = {}
        return tuple(self._renamed(each, names) for each in declared)

    def _renamed(self, declared: CelType, names: Bindings) -> CelType:
        if declared.kind == "param":
            if declared.name not in names:
                names[declared.name] = self.fresh()
            return names[declared.name]
        if not declared.params:
            return declared
        params = tuple(self._renamed(param, names) for param in declared.params)
        return CelType(declared.kind, declared.name, params)

    def resolve(self, type_: CelType, *, final: bool = False) -> CelType:
        """Return a type with its variables replaced; with `final`, unknown ones are dyn."""
        if type_.kind == "param":
            bound = self._bindings.get(type_.name)
            if bound is not None:
                return self.resolve(bound, final=final)
            return DYN if final else type_
        if not any(_has_variables(param) for param in type_.params):
            return type_
        params = tuple(self.resolve(param, final=final) for param in type_.params)
        return CelType(type_.kind, type_.name, params, size_max=type_.size_max)

    def assignable(self, given: list[CelType], wanted: list[CelType]) -> bool:
        """Tell whether arguments fit parameters; what was learned stays only if they do."""
        if len(given) != len(wanted):
            return False
        before = dict(self._bindings)
        if all(self._fits(have, want) for have, want in zip(given, wanted, strict=True)):
            return True
        self._bindings = before
        return False

    def _fits(self, left: CelType, right: CelType) -> bool:
        if right.kind == "param":
            fits, bound = self._bind(left, right)
            if fits or bound:
                return fits
        if left.kind == "param":
            return self._bind(right, left)[0]
        if "dyn" in (left.kind, right.kind) or "error" in (left.kind, right.kind):
            return True
        if left.kind == "null":
            return right.kind in NULLABLE
        if right.kind == "null":
            return left.kind in NULLABLE
        if left.kind == "type":
            return right.kind == "type"
        return (
            left.kind == right.kind
            and left.name == right.name
            and len(left.params) == len(right.params)
            and all(map(self._fits, left.params, right.params))
        )

    def _bind(self, type_: CelType, variable: CelType) -> tuple[bool, bool]:
        if type_.kind == "param" and type_.name == variable.name:
            return True, True
        bound = self._bindings.get(variable.name)
        if bound is None:
            if self._mentions(type_, variable.name):
                return False, False
            self._bindings[variable.name] = type_
            return True, False
        if same(type_, bound):
            return True, True
        if not self._fits(type_, bound):
            return False, True
        general = type_ if _more_general(type_, bound) else bound
        if not self._mentions(general, variable.name):
            self._bindings[variable.name] = general
        return True, True

    def _mentions(self, type_: CelType, name: str) -> bool:
        if type_.kind == "param":
            if type_.name == name:
                return True
            bound = self._bindings.get(type_.name)
            return bound is not None and self._mentions(bound, name)
        return any(self._mentions(param, name) for param in type_.params)


def _has_variables(type_: CelType) -> bool:
    return type_.kind == "param" or any(_has_variables(param) for param in type_.params)


def _more_general(left: CelType, right: CelType) -> bool:
    """Tell whether `left` is equal to `right` or says less."""
    if left.kind == "dyn":
        return True
    if right.kind in ("dyn", "param") or left.kind != right.kind:
        return left.kind == "param" and right.kind != "dyn"
    return all(map(_more_general, left.params, right.params))
