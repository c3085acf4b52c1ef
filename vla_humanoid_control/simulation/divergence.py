"""Physics that comes apart: seen, and nothing of it goes on.

Left to itself MuJoCo puts everything back to where the model was compiled, time included, and
writes a file into the working folder.
"""

from __future__ import annotations

import logging
from functools import lru_cache

import mujoco

_BAD = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC)
_LOG = logging.getLogger(__name__)


class StateGuard:
    """Keeps the last good state of a model.

    Args:
        model: Told not to reset by itself.
        data: The state.

    Attributes:
        came_apart: Whether the state was no longer one, since the last `reset`.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        if mujoco.get_mju_user_warning() is None:
            mujoco.set_mju_user_warning(_tell)
        self._model, self._data = model, data
        self.came_apart = False
        self.keep()

    def reset(self) -> None:
        """A new scene, in which `mj_resetData` has put all warnings to 0."""
        self.came_apart = False

    def keep(self) -> None:
        """The state is a good one."""
        self._qpos, self._qvel = self._data.qpos.copy(), self._data.qvel.copy()
        self._time_s = self._data.time

    def check(self, duration_s: float) -> None:
        """After so long [s]: take back what came apart; only time goes on."""
        if not any(self._data.warning[kind].number for kind in _BAD):
            return
        self.came_apart = True
        self._data.qpos, self._data.qvel = self._qpos, self._qvel
        self._data.qacc_warmstart = 0
        self._data.time = self._time_s + duration_s
        mujoco.mj_forward(self._model, self._data)


@lru_cache(64)
def _tell(text: str) -> None:
    """Log what MuJoCo warns of; the same words once."""
    _LOG.warning(text)
