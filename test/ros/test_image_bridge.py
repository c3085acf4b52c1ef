"""cv_bridge of every kind: one that works is used, one that does not harms nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

pytestmark = pytest.mark.ros

WORKS = """
import numpy as np
USED = []
class CvBridge:
    def imgmsg_to_cv2(self, msg, desired_encoding):
        USED.append(msg.encoding)
        if msg.encoding == 'yuyv':
            raise TypeError('unknown to this one')
        pixels = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, -1)
        return pixels if msg.encoding == 'rgb8' else np.zeros((msg.height, msg.width, 3), np.uint8)
"""
BROKEN = {
    'crashes when imported': 'import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)',
    'crashes at an image': 'import os, signal\nclass CvBridge:\n'
                           '    def imgmsg_to_cv2(self, msg, desired_encoding):\n'
                           '        os.kill(os.getpid(), signal.SIGSEGV)\n',
    'hangs': 'import time\nwhile True:\n    time.sleep(1)',
    'is of another NumPy': 'raise ImportError("numpy.core.multiarray failed to import")',
}
SCRIPT = """
import sys
import numpy as np
from sensor_msgs.msg import Image
from vla_humanoid_control.ros import image_bridge, messages
image_bridge.TRIAL_S = int(sys.argv[1])
rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
while not messages.BRIDGE.is_settled:
    assert (messages.rgb_from_msg(messages.rgb_to_msg(1, 'head', rgb)) == rgb).all()
assert (messages.rgb_from_msg(messages.rgb_to_msg(1, 'head', rgb)) == rgb).all()
bgr = messages.rgb_to_msg(1, 'head', rgb[..., ::-1])
bgr.encoding = 'bgr8'
assert (messages.rgb_from_msg(bgr) == rgb).all()
used = sys.modules.get('cv_bridge')
print(sorted(set(used.USED)) if used else 'own converter')
"""


def converted_by(folder: Path, source: str, limit_s: int) -> str:
    """Who converts the images of a process that finds this cv_bridge; it must not harm it."""
    (folder / 'cv_bridge').mkdir()
    (folder / 'cv_bridge' / '__init__.py').write_text(source, encoding='utf-8')
    path = os.pathsep.join((str(folder), *filter(None, sys.path)))
    done = subprocess.run([sys.executable, '-c', SCRIPT, str(limit_s)], capture_output=True,
                          text=True, env={**os.environ, 'PYTHONPATH': path}, check=False)
    assert done.returncode == 0, done.stderr or f'ended by signal {-done.returncode}'
    return done.stdout.strip()


@pytest.mark.parametrize('kind', BROKEN)
def test_a_cv_bridge_that_does_not_work_harms_nobody(tmp_path: Path, kind: str) -> None:
    """Regression: beside NumPy 2 it ended the node with a segmentation fault."""
    limit_s = 5 if kind == 'hangs' else 60
    assert converted_by(tmp_path, BROKEN[kind], limit_s) == 'own converter'


def test_a_cv_bridge_that_works_is_used_where_it_gives_the_same_pixels(tmp_path: Path) -> None:
    assert converted_by(tmp_path, WORKS, 60) == "['rgb8']"
