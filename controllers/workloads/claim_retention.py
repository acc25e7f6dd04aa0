"""What becomes of a StatefulSet's claims: who owns them, so that the garbage collector takes them.

With `whenDeleted: Delete` the set owns the claims of its pods; with `whenScaled: Delete` a pod that
is more than are wanted owns its own, and takes them along. The rules are upstream's
(stateful_set_utils.go, KEP-1847): a claim of an earlier set or pod of the same name is not touched,
nor is one that another controls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from kube.json_types import JsonObject

_DELETE: Final = "Delete"


class Claimant(NamedTuple):
    """Who may own a claim: a set, or a pod; the uid is "" before it is there."""

    api_version: str
    kind: str
    name: str
    uid: str

    def is_meant(self, reference: JsonObject) -> bool:
        """Tell whether a reference is to an object of this name, of whichever uid."""
        named = (reference.get("apiVersion"), reference.get("kind"), reference.get("name"))
        return named == self[:3]

    def owns(self, references: Sequence[JsonObject]) -> bool:
        """Tell whether one of the references is to this object."""
        return any(one["uid"] == self.uid for one in references)

    def controls(self) -> JsonObject:
        """Return the reference of a claim that this one controls."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


class Retention(NamedTuple):
    """What a set says of the claims of one pod.

    Attributes:
        when_scaled: claims go with a pod that is more than are wanted.
        when_deleted: claims go with the set.
        owner: the set.
        pod: whose claims they are.
        is_wanted: whether the set is to have that pod.
    """

    when_scaled: bool
    when_deleted: bool
    owner: Claimant
    pod: Claimant
    is_wanted: bool

    def owners(self) -> tuple[bool, bool]:
        """Return whether the set, and whether the pod, is to own the claims."""
        by_pod = self.when_scaled and not self.is_wanted
        return self.when_deleted and not by_pod, by_pod

    def is_kept(self, references: Sequence[JsonObject]) -> bool:
        """Tell whether a claim's references are as they are to be, or not ours to change."""
        if is_stale(references, self.owner) or is_stale(references, self.pod):
            return True
        owned = self.owner.owns(references), self.pod.owns(references)
        if self.has_stranger(references):
            return not any(owned)
        ours = {self.owner.uid, self.pod.uid}
        if any(one["uid"] in ours and not one.get("controller") for one in references):
            return False
        return owned == self.owners()

    def has_stranger(self, references: Sequence[JsonObject]) -> bool:
        """Tell whether somebody else controls a claim that is not just to be retained."""
        if not (self.when_scaled or self.when_deleted):
            return False
        for one in references:
            meant = next((who for who in (self.owner, self.pod) if who.is_meant(one)), None)
            if meant is None:
                if one.get("controller"):
                    return True
            elif one["uid"] != meant.uid:
                return True
        return False

    def changed(self, references: Sequence[JsonObject]) -> list[JsonObject]:
        """Return the references that a claim is to have."""
        left = [
            one for one in references if not (self.owner.is_meant(one) or self.pod.is_meant(one))
        ]
        if self.has_stranger(references):
            return left
        for who, is_owner in zip((self.owner, self.pod), self.owners(), strict=True):
            if is_owner and not who.owns(left):
                left.append(who.controls())
        return left


def is_stale(references: Sequence[JsonObject], who: Claimant) -> bool:
    """Tell whether a claim belongs to an earlier object of that name."""
    for one in references:
        if who.is_meant(one):
            return bool(one["uid"] != who.uid)
    return False


def policy_of(stateful_set: JsonObject) -> tuple[bool, bool]:
    """Return whether claims go when a set is scaled down, and when it is deleted."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenScaled") == _DELETE, policy.get("whenDeleted") == _DELETE
