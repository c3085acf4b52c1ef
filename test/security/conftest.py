"""Lets these tests share what reads the policy, and the graph of the integration tests."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / 'integration'):
    sys.path.insert(0, str(folder))
