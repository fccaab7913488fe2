"""What an operator's controls amount to. The relay lists those in force, newest first, until they
expire: the newest decides, and where none is listed any more the agent is free."""

from __future__ import annotations

from typing import List, Sequence, Set

from ..types import ControlMessage


class Controls:
    def __init__(self) -> None:
        self._listed: Set[str] = set()
        self.paused = False

    def update(self, newest_first: Sequence[ControlMessage]) -> List[ControlMessage]:
        """Takes the list of the last answer; gives back the controls not seen before, oldest first."""
        deciding = (
            control.action
            for control in newest_first
            if control.action in ("pause", "quarantine", "resume")
        )
        self.paused = next(deciding, "resume") != "resume"
        before = self._listed
        # Only what is still listed has to be remembered, which bounds the set.
        self._listed = {control.control_id for control in newest_first}
        return [control for control in reversed(newest_first) if control.control_id not in before]
