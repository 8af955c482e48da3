"""Terrain that a rover can cross: the noise of an ONNX model, searched for the distance driven in a physics engine."""

from pathlib import Path

import numpy as np
import pybullet
import torch
from PIL import Image
from terrain_diffusion import TerrainGenerator

import zo_dno

HERE = Path(__file__).parent
SIZE = 128  # points a side, so d = 16,384
SPACING = 0.1  # metres between points
STEEPER = 2.0  # factor of the model's heights
STARTS = (-4.0, -1.5, 1.5, 4.0)  # metres aside, of four rovers
SECONDS, RATE = 12, 120


def terrain() -> zo_dno.FunctionGenerator:
    """Return the one-step model of the package adaptive-terrain-diffusion, as (n, SIZE, SIZE) metres."""
    model = TerrainGenerator(device="cpu")

    def heights(z: torch.Tensor) -> np.ndarray:
        noise, one = z.reshape(-1, 1, SIZE, SIZE).numpy(), np.ones(len(z), np.float32)
        inputs = {"noisy": noise * model.sigma_max, "sigma": one * model.sigma_max, "difficulty": one}
        (values,) = model.session.run(["denoised"], inputs)
        return model._from_model_space(values, zero_floor=True) * STEEPER

    return zo_dno.FunctionGenerator(heights, shape=(1, SIZE, SIZE), batch_size=8, to_image=shaded)


def shaded(heights: torch.Tensor) -> torch.Tensor:
    """Show heights as a map that is lit from the south-west, (n, 3, SIZE, SIZE)."""
    north, east = torch.gradient(torch.as_tensor(heights), spacing=SPACING, dim=(1, 2))
    light = (0.8 - 0.4 * east - 0.4 * north) / (1 + east**2 + north**2).sqrt()
    return (light * 0.8).clamp(0, 1)[:, None].expand(-1, 3, -1, -1)


def distance(arrays):
    """Drive four rovers eastwards over each terrain; return the mean metres that they come."""
    return [float(np.mean([way[-1][0] - way[0][0] for way in drive(heights)])) for heights in arrays]


distance.unit = "m"


def drive(heights: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return the way of each rover, (x, y) of every step."""
    world = pybullet.connect(pybullet.DIRECT)
    try:
        pybullet.setGravity(0, 0, -9.81, physicsClientId=world)
        pybullet.setTimeStep(1 / RATE, physicsClientId=world)
        ground = pybullet.createCollisionShape(
            pybullet.GEOM_HEIGHTFIELD,
            meshScale=[SPACING, SPACING, 1],
            heightfieldData=heights.ravel().tolist(),
            numHeightfieldRows=SIZE,
            numHeightfieldColumns=SIZE,
            physicsClientId=world,
        )
        middle = (heights.min() + heights.max()) / 2  # where Bullet puts the origin
        pybullet.createMultiBody(0, ground, basePosition=[0, 0, middle], physicsClientId=world)
        rovers = [_rover(world, 1 - SIZE * SPACING / 2, y, heights) for y in STARTS]
        ways: list[list[tuple[float, float]]] = [[] for _ in rovers]
        for _ in range(SECONDS * RATE):
            pybullet.stepSimulation(physicsClientId=world)
            for rover, way in zip(rovers, ways, strict=True):
                x, y, _ = pybullet.getBasePositionAndOrientation(rover, physicsClientId=world)[0]
                inside = max(abs(x), abs(y)) < SIZE * SPACING / 2
                way.append((x, y) if inside or not way else way[-1])  # over the edge it stays where it was
        return ways
    finally:
        pybullet.disconnect(world)


def _rover(world: int, x: float, y: float, heights: np.ndarray) -> int:
    """Put a box on four driven wheels on the ground."""
    column, row = int(x / SPACING + SIZE / 2), int(y / SPACING + SIZE / 2)
    height = heights[row - 5 : row + 6, column - 5 : column + 6].max() + 0.3
    box = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=[0.3, 0.2, 0.08], physicsClientId=world)
    wheel = pybullet.createCollisionShape(pybullet.GEOM_CYLINDER, radius=0.14, height=0.1, physicsClientId=world)
    wheels = range(4)
    rover = pybullet.createMultiBody(
        8,
        box,
        basePosition=[x, y, height],
        linkMasses=[1 for _ in wheels],
        linkCollisionShapeIndices=[wheel for _ in wheels],
        linkVisualShapeIndices=[-1 for _ in wheels],
        linkPositions=[(along * 0.27, aside * 0.28, -0.05) for along in (-1, 1) for aside in (-1, 1)],
        linkOrientations=[pybullet.getQuaternionFromEuler([np.pi / 2, 0, 0]) for _ in wheels],
        linkInertialFramePositions=[(0, 0, 0) for _ in wheels],
        linkInertialFrameOrientations=[(0, 0, 0, 1) for _ in wheels],
        linkParentIndices=[0 for _ in wheels],
        linkJointTypes=[pybullet.JOINT_REVOLUTE for _ in wheels],
        linkJointAxis=[(0, 0, 1) for _ in wheels],
        physicsClientId=world,
    )
    for joint in wheels:
        pybullet.changeDynamics(rover, joint, lateralFriction=1.2, physicsClientId=world)
        pybullet.setJointMotorControl2(
            rover, joint, pybullet.VELOCITY_CONTROL, targetVelocity=-8, force=1.5, physicsClientId=world
        )
    return rover


def drawn(heights: np.ndarray) -> np.ndarray:
    """Draw the terrain with the ways in orange, (4 SIZE, 4 SIZE, 3) uint8."""
    pixels = (shaded(heights[None])[0].movedim(0, -1).numpy() * 255).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    for way in drive(heights):
        for x, y in way:
            row, column = int((y / SPACING + SIZE / 2) * 4), int((x / SPACING + SIZE / 2) * 4)
            pixels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = (255, 140, 0)
    return pixels


if __name__ == "__main__":
    generator = terrain()
    result = zo_dno.optimize(generator, distance, queries=48, seed=0, space="low_band", baseline="equal")
    print(f"metres: first {result.first.reward:.1f}, best of 48 prior draws {result.baseline.reward:.1f}, ", end="")
    print(f"search {result.best.reward:.1f} (plausible: {result.best.plausible})")
    _, (first, best) = generator.render_arrays(torch.stack([result.first.z, result.best.z]))
    Image.fromarray(np.hstack([drawn(np.asarray(first)), drawn(np.asarray(best))])).save(HERE / "picture.png")
