"""The controller with a policy that misbehaves on words that name the fault. Run as a module."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from vla_humanoid_control.interfaces import (
    CONFIDENCE,
    ELAPSED,
    TRAVELLED,
    ActionChunk,
    Observation,
    Prompt,
)
from vla_humanoid_control.nodes import vla_controller
from vla_humanoid_control.policy import registry
from vla_humanoid_control.policy.scripted import ScriptedPolicy

KEYWORDS = ('nan', 'infinite', 'dimension', 'thousand', 'alternate', 'explode', 'memory', 'hang',
            'doubt', 'boast', 'mumble', 'endless')


class FaultyPolicy(ScriptedPolicy):
    """Walks forward for `WELL_S`, and then does what the words say; other words do no harm.

    'walk endlessly' does no harm either, and never comes to an end.
    """

    WELL_S = 0.6

    def reset(self, prompt: Prompt) -> None:
        instruction = prompt.text
        self._fault = next((w for w in KEYWORDS if w in instruction), '')
        self._seconds = 0.8 if 'briefly' in instruction else 10.0
        self._told = False
        super().reset(Prompt('walk forward') if self._fault else prompt)

    def infer(self, observation: Observation) -> ActionChunk:
        if self._fault == 'endless':
            return super().infer(replace(observation, state={
                **observation.state, TRAVELLED: np.zeros((1, 3))}))
        chunk = super().infer(observation)
        elapsed_s = float(observation.state[ELAPSED][-1, 0])
        if not self._fault or elapsed_s < self.WELL_S:
            return chunk
        if not self._told:  # the same clock as the tests'
            self._told = True
            print(f'misbehaves at {time.monotonic():.6f}', flush=True)
        return self._misbehave(chunk, elapsed_s)

    def _misbehave(self, chunk: ActionChunk, elapsed_s: float) -> ActionChunk:
        actions = chunk.actions
        if self._fault == 'explode':
            raise RuntimeError('the policy is broken')
        if self._fault == 'memory':
            raise MemoryError('no memory is left')
        if self._fault == 'hang':
            time.sleep(self._seconds)
            return chunk
        if self._fault in ('doubt', 'boast', 'mumble'):
            confidence = {'doubt': float('nan'), 'boast': 7.0, 'mumble': 0.05}[self._fault]
            return replace(chunk, evidence={CONFIDENCE: np.array(confidence)})
        sign = 1 if int(elapsed_s * 10) % 2 else -1
        return replace(chunk, actions={
            'nan': np.full_like(actions, np.nan), 'infinite': np.full_like(actions, np.inf),
            'dimension': actions[:, :-1], 'thousand': actions * 1000,
            'alternate': np.full_like(actions, sign * 100.0)}[self._fault])


registry.NAMED['scripted'] = FaultyPolicy

if __name__ == '__main__':
    vla_controller.main()
