"""The simulated robot in its room: reset, apply commands, advance, look, measure."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation import scene
from vla_humanoid_control.simulation.bodies import make_body
from vla_humanoid_control.simulation.body import Joints
from vla_humanoid_control.simulation.camera import Camera
from vla_humanoid_control.simulation.divergence import StateGuard
from vla_humanoid_control.simulation.fitting import EYE, OBJECT_GROUP, WORLD_GROUP
from vla_humanoid_control.simulation.layout import Layout, sample_layout, scene_rng
from vla_humanoid_control.simulation.obstacles import arrange_fixtures
from vla_humanoid_control.simulation.rooms import ROOMS
from vla_humanoid_control.simulation.scene import Placed
from vla_humanoid_control.simulation.settings import PLAIN, Setting
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import rotate
from vla_humanoid_control.tasks.task import FLOOR_SLOTS, TABLE_SLOTS, Task
from vla_humanoid_control.tasks.vocabulary import HAND_FAMILIES
from vla_humanoid_control.types import ImuReading, JointReading, ScanReading

SCAN_RAYS = 180
SCAN_HEIGHT_M = 0.20
SCAN_MAX_M = 8.0


class World:
    """A robot, a room, and objects. Not thread safe, but for `Camera`s made from it.

    Time advances only by `advance`. The same seed, task and commands give the same motion.

    Raises:
        UserError: The robot file does not say how to simulate the robot, or has a joint or a
            camera that the robot's model lacks.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self.robot = robot
        if robot.simulation is None:
            raise UserError(f'Robot file {robot.file or robot.name} has no section simulation, '
                            'without which the simulator cannot stand in for the robot.')
        self._check_cameras(tuple(robot.cameras))
        self.model = scene.build_model(robot, robot.simulation)
        self.data = mujoco.MjData(self.model)
        self.model.vis.quality.offsamples = 0  # antialiasing would triple the time of a frame
        self.objects: tuple[Placed, ...] = ()
        self._check_fits()
        self._nominal = scene.Nominal.of(self.model)
        self._joints = Joints(robot, self.model, self.data)
        self._body = make_body(robot, robot.simulation, self.model, self.data)
        self._guard = StateGuard(self.model, self.data)
        self._cameras: dict[tuple[int, int], Camera] = {}
        self.layout: Layout
        self.reset(0)

    def _check_cameras(self, there: tuple[str, ...]) -> None:
        """Refuse a camera that is not among some, or called as the view from outside is."""
        for name in self.robot.cameras:
            if EYE not in self.robot.cameras or name == scene.OUTSIDE or name not in there:
                raise UserError(
                    f'Robot file {self.robot.file or self.robot.name}: the simulated body has no '
                    f'camera {name}. The only camera that policies look with is {EYE}: give that '
                    'name to the one that is meant.')

    def _check_fits(self) -> None:
        model, robot = self.model, self.robot
        self._check_cameras(tuple(model.cam(i).name for i in range(model.ncam)))
        there = [model.joint(i).name for i in range(model.njnt)]
        for name in robot.joint_names:
            if name not in there:
                raise UserError(f'Robot file {robot.file or robot.name}: the simulated body has '
                                f'no joint {name}. Its model, {robot.mjcf}, must have every joint '
                                'of the robot file.')
        for side, hand in robot.end_effectors.items():
            if hand.site not in (model.site(i).name for i in range(model.nsite)) \
                    or hand.shoulder not in (model.body(i).name for i in range(model.nbody)):
                raise UserError(f'Robot file {robot.file or robot.name}: end_effectors.{side} '
                                f'names {hand.site} and {hand.shoulder}, which its model must '
                                'have as a site and a body.')

    def reset(self, seed: int, task: Task | None = None,
              posture: Mapping[str, float] | None = None, setting: Setting = PLAIN) -> None:
        """Arrange a new scene.

        Args:
            seed: Decides everything about the scene.
            task: The scene is one in which this can be done; None for any scene.
            posture: Joint name to starting position [rad]; home for those absent.
            setting: What makes the scene harder.

        Raises:
            UserError: The task is one for fingers, and the robot has none; or it fits into no
                scene.
        """
        self._check_hands(task)
        rng = scene_rng(seed)
        self.layout = sample_layout(rng, task, scene.workplace(self.robot), setting)
        self.objects = self.layout.objects
        mujoco.mj_resetData(self.model, self.data)
        self._guard.reset()
        scene.randomise_look(self.model, rng, self._nominal)
        arrange_fixtures(self.model, self.layout.room, self.layout.obstacles, rng)
        for index, (x, y, yaw) in enumerate(self.layout.tables):
            body = self.model.body(f'table_{index}').id
            self.model.body_pos[body] = (x, y, 0)
            self.model.body_quat[body] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        self._place_objects(rng)
        self._body.reset({j.name: j.home for j in self.robot.joints} | dict(posture or {}))
        self._place_outside_camera()
        self.place_base(self.layout.base_pose)

    def _check_hands(self, task: Task | None) -> None:
        if task is not None and task.family in HAND_FAMILIES and not self.robot.grasps:
            raise UserError(f'{task.key}: the robot {self.robot.name} has no fingers to hold '
                            'something with; those that have, name them in end_effectors (grip).')

    def _place_outside_camera(self) -> None:
        """In the corner of the room that is farthest from where the robot starts."""
        side = np.where(self.layout.base_pose[:2] > 0, -1.0, 1.0)
        x, y = side * (np.array(ROOMS[self.layout.room].half_m) - 0.3)
        self.model.cam_pos[self.model.cam('outside').id] = (x, y, 2.5)

    def _place_objects(self, rng: np.random.Generator) -> None:
        shown = {p.slot: p for p in self.objects}
        for slot in range(FLOOR_SLOTS + TABLE_SLOTS):
            address = self.model.joint(f'object_{slot}').qposadr[0]
            placed = shown.get(slot)
            if placed is None:
                scene.show_object(self.model, slot, None)
                size = scene.FLOOR_SIZE if slot < FLOOR_SLOTS \
                    else scene.workplace(self.robot).sizes
                position = np.array([30.0 + slot, 0, size['ball'].radius])
                yaw = 0.0
            else:
                scene.show_object(self.model, slot, placed.shape,
                                  scene.sample_rgb(rng, placed.colour))
                position, yaw = placed.position, rng.uniform(-np.pi, np.pi)
            self.data.qpos[address:address + 7] = (*position, np.cos(yaw / 2), 0, 0,
                                                   np.sin(yaw / 2))

    def place_base(self, pose: NDArray[np.float64]) -> None:
        """Put the base somewhere at rest: x [m], y [m], yaw [rad]."""
        self._body.place(pose)

    def follow_base(self, base: NDArray[np.float64], twist: NDArray[np.float64]) -> None:
        """Put the base where another world has it, as `Body.follow`."""
        self._body.follow(base, twist)

    def place_joints(self, positions: Mapping[str, float]) -> None:
        """Put joints at rest at the given positions [rad; m for grippers]."""
        self._body.place_joints(positions)

    def apply(self, twist: NDArray[np.float64], joints: Mapping[str, float]) -> None:
        """Set what the robot follows from now on.

        Args:
            twist: float64 [3], base velocity forward, left, turning left [m/s, m/s, rad/s].
            joints: Joint name to position target [rad; m for grippers]; absent ones keep theirs.
        """
        self._body.apply(twist, joints)

    def advance(self, duration_s: float) -> None:
        """Let time pass. Where the physics comes apart, all stands from there on: `fallen`."""
        self._guard.keep()
        if not self._guard.came_apart:
            self._body.advance(duration_s)
        self._guard.check(duration_s)

    @property
    def fallen(self) -> bool:
        """Whether the robot lies, or its physics has come apart."""
        return self._body.fallen or self._guard.came_apart

    @property
    def tilt_rad(self) -> float:
        """How far the robot leans from upright [rad]."""
        return self._body.tilt_rad

    @property
    def aspect(self) -> float:
        """Width to height of the images that policies look at."""
        optics = self.robot.cameras[EYE].optics
        return 4 / 3 if optics is None else optics.aspect

    @property
    def time_s(self) -> float:
        """Simulated time since the reset [s]."""
        return float(self.data.time)

    @property
    def stamp_ns(self) -> int:
        """`time_s` in nanoseconds."""
        return round(self.data.time * 1e9)

    def render(self, camera: str = 'head', width: int = 640,
               height: int = 480) -> NDArray[np.uint8]:
        """The view of a camera ('head' or 'outside'), RGB uint8 [H, W, 3]."""
        size = (width, height)
        if size not in self._cameras:
            self._cameras[size] = Camera(self.model, width, height)
        return self._cameras[size].render(self.data, camera)

    def close(self) -> None:
        """Free the drawing contexts."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()

    def base_pose(self) -> NDArray[np.float64]:
        """float64 [3]: x [m], y [m], yaw [rad, unwrapped] in the world."""
        return self._body.pose()

    def base_twist(self) -> NDArray[np.float64]:
        """float64 [3]: true velocity forward, left, turning left [m/s, m/s, rad/s]."""
        return self._body.twist()

    def odometry(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pose [3] and twist [3] of the base."""
        return self.base_pose(), self.base_twist()

    def joint_positions(self) -> NDArray[np.float64]:
        """float64 [J], in the order of the robot file."""
        return self._joints.positions()

    def joint_targets(self) -> dict[str, float]:
        """Joint name to the position that it is driven to, for the controlled joints [rad; m]."""
        return {j.name: self._body.target(j.name) for j in self.robot.controlled}

    def joint_reading(self) -> JointReading:
        """Measured joint positions and velocities."""
        names = self.robot.joint_names
        return JointReading(self.stamp_ns,
                            dict(zip(names, self._joints.positions().tolist())),
                            dict(zip(names, self._joints.velocities().tolist())))

    def imu_reading(self) -> ImuReading:
        """Attitude, turning rate and acceleration of the torso."""
        w, x, y, z = self.data.sensor('imu_orientation').data
        return ImuReading(self.stamp_ns, np.array([x, y, z, w]),
                          np.array(self.data.sensor('imu_gyro').data),
                          np.array(self.data.sensor('imu_accelerometer').data))

    def scan_reading(self) -> ScanReading:
        """A planar scan by ray casts at shin height; the robot itself is left out."""
        step = 2 * np.pi / SCAN_RAYS
        x, y, yaw = self._body.pose()
        bearings = yaw - np.pi + step * np.arange(SCAN_RAYS)
        rays = np.stack([np.cos(bearings), np.sin(bearings), np.zeros(SCAN_RAYS)], axis=1)
        groups = np.zeros(6, dtype=np.uint8)
        groups[[WORLD_GROUP, OBJECT_GROUP]] = 1
        ids, distances = np.zeros(SCAN_RAYS, dtype=np.int32), np.zeros(SCAN_RAYS)
        mujoco.mj_multiRay(self.model, self.data, np.array([x, y, SCAN_HEIGHT_M]), rays.ravel(),
                           groups, 1, -1, ids, distances, None, SCAN_RAYS, SCAN_MAX_M)
        distances[ids < 0] = np.inf
        return ScanReading(self.stamp_ns, -np.pi, step, 0.05, SCAN_MAX_M, distances)

    def index_of(self, colour: str, shape: str) -> int | None:
        """Index in `objects` of that object; None if the scene has none."""
        for index, placed in enumerate(self.objects):
            if (placed.colour, placed.shape) == (colour, shape):
                return index
        return None

    def find(self, colour: str, shape: str) -> int:
        """Index in `objects` of that object. Raises UserError if the scene has none."""
        index = self.index_of(colour, shape)
        if index is None:
            raise UserError(f'There is no {colour} {shape} in this scene.')
        return index

    def object_poses(self) -> NDArray[np.float64]:
        """float64 [objects, 7]: position [m] and quaternion (w, x, y, z) in the world."""
        rows = []
        for placed in self.objects:
            address = self.model.joint(f'object_{placed.slot}').qposadr[0]
            rows.append(np.array(self.data.qpos[address:address + 7]))
        return np.array(rows).reshape(len(rows), 7)

    def object_speed(self, index: int) -> float:
        """How fast an object's middle moves [m/s]."""
        address = self.model.joint(f'object_{self.objects[index].slot}').dofadr[0]
        return float(np.linalg.norm(self.data.qvel[address:address + 3]))

    def hand_position(self, side: str) -> NDArray[np.float64]:
        """float64 [3], the grasp point of a hand in the world [m]."""
        return np.array(self.data.site(self.robot.end_effectors[side].site).xpos)

    def hand_lateral(self, side: str) -> float:
        """How far left of the base's middle line a hand is [m]."""
        x, y, yaw = self._body.pose()
        hand = self.hand_position(side)
        return float(rotate(hand[0] - x, hand[1] - y, -yaw)[1])

    def shoulder_height(self, side: str) -> float:
        """Height of a shoulder above the floor [m]."""
        return float(self.data.body(self.robot.end_effectors[side].shoulder).xpos[2])

    def hand_distance(self, side: str, index: int) -> float:
        """Distance from a hand's grasp point to the bounding cylinder of an object [m]."""
        placed, pose = self.objects[index], self.object_poses()[index]
        offset = self.hand_position(side) - pose[:3]
        radial = max(0.0, float(np.hypot(offset[0], offset[1])) - placed.size.radius)
        vertical = max(0.0, abs(float(offset[2])) - placed.size.height / 2)
        return float(np.hypot(radial, vertical))

    def sees(self, index: int) -> bool:
        """Whether the head camera has a free line to an object's middle or top, in its image."""
        camera = self.model.cam(EYE).id
        eye, axes = self.data.cam_xpos[camera], self.data.cam_xmat[camera].reshape(3, 3)
        placed, pose = self.objects[index], self.object_poses()[index]
        body = self.model.body(f'object_{placed.slot}').id
        for lift in (0.0, 0.35):
            point = pose[:3] + (0, 0, lift * placed.size.height)
            if not _in_image(axes.T @ (point - eye), self.model.cam_fovy[camera],
                             self.aspect):
                continue
            ray, hit = point - eye, np.zeros(1, dtype=np.int32)
            groups = np.array([1, 1, 1, 0, 0, 0], dtype=np.uint8)
            mujoco.mj_ray(self.model, self.data, eye, ray / np.linalg.norm(ray), groups, 1,
                          int(self.model.cam_bodyid[camera]), hit)
            if hit[0] >= 0 and self.model.geom_bodyid[hit[0]] == body:
                return True
        return False

    def image_position(self, point: NDArray[np.float64]) -> tuple[float, float, float]:
        """Where a world point falls in the head camera's image.

        Returns:
            u, v in [-1, 1] from left to right and top to bottom, and the distance [m].
        """
        camera = self.model.cam(EYE).id
        axes = self.data.cam_xmat[camera].reshape(3, 3)
        x, y, z = axes.T @ (point - self.data.cam_xpos[camera])
        tangent = np.tan(np.radians(self.model.cam_fovy[camera]) / 2)
        depth = max(-z, 1e-3)
        return (float(x / depth / tangent / self.aspect), float(-y / depth / tangent),
                float(np.sqrt(x * x + y * y + z * z)))


def _in_image(point: NDArray[np.float64], fovy_deg: float, aspect: float) -> bool:
    """Whether a point in camera axes (x right, y up, looking along -z) is inside the image."""
    tangent = np.tan(np.radians(fovy_deg) / 2) * 0.97
    depth = -point[2]
    return bool(depth > 0.05 and abs(point[1]) < depth * tangent
                and abs(point[0]) < depth * tangent * aspect)
