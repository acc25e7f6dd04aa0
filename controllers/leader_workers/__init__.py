"""LeaderWorkerSets: groups of pods, a leader and its workers, that live and go together."""
