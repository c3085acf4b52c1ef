"""The controller with a policy that misbehaves on words that name the fault. Run as a module."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from vla_humanoid_control.nodes import vla_controller
from vla_humanoid_control.policy import registry
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.types import ActionChunk, Observation


class FaultyPolicy(ScriptedPolicy):
    """Walks forward for `WELL_S`, and then does what the words say."""

    WELL_S = 0.6

    def reset(self, instruction: str) -> None:
        self._fault = instruction
        super().reset('walk forward')

    def infer(self, observation: Observation) -> ActionChunk:
        chunk = super().infer(observation)
        if observation.elapsed_s < self.WELL_S:
            return chunk
        if 'nan' in self._fault:
            return replace(chunk, actions=np.full_like(chunk.actions, np.nan))
        if 'infinite' in self._fault:
            return replace(chunk, actions=np.full_like(chunk.actions, np.inf))
        if 'dimension' in self._fault:
            return replace(chunk, actions=chunk.actions[:, :-1])
        if 'thousand' in self._fault:
            return replace(chunk, actions=chunk.actions * 1000)
        if 'alternate' in self._fault:
            sign = 1 if int(observation.elapsed_s * 10) % 2 else -1
            return replace(chunk, actions=np.full_like(chunk.actions, sign * 100.0))
        if 'explode' in self._fault:
            raise RuntimeError('the policy is broken')
        if 'memory' in self._fault:
            raise MemoryError('no memory is left')
        if 'hang' in self._fault:
            time.sleep(10.0)
        if 'doubt' in self._fault:
            return replace(chunk, confidence=float('nan'))
        return chunk


registry.NAMED['scripted'] = FaultyPolicy

if __name__ == '__main__':
    vla_controller.main()
