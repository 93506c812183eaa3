"""Scripted skills for the kitchen's seven sub-tasks.

Each approaches a mechanism, moves it until its sub-task is complete with some margin, and withdraws. Positions are
relative to marked points of the scene, so skills can follow each other in any order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from smbrl_plugins.tasks.kitchen_arm import CLOSED, OPEN, Arm, around, beside, facing
from smbrl_plugins.tasks.kitchen_physics import START

MICROWAVE_HINGE, CABINET_HINGE = (-1.128, 0.455), (-0.224, 0.71)
"""(x, y) of the doors' hinges, m."""
SLOW = 0.42
"""Speed while something is touched, m/s."""
ALIGNED = 0.012
"""How near the way-point before a contact must be reached, m."""
FREE = 0.06
"""How near a way-point in free space must be passed, m."""


def microwave(arm: Arm) -> None:
    """Take the handle and pull the door open around its hinge."""
    handle = arm.site("microhandle_site")
    height = handle[2] + 0.07
    hand = facing(yaw=0.25)
    arm.posture = np.array([-0.6, -1.2, 1.6, -2.0, -0.3, 1.4, 1.9])

    def opened() -> bool:
        return arm.joint(22) < -0.66 * arm.style.overshoot

    arm.move((handle[0] + 0.04, handle[1] - 0.18, height), hand, grip=OPEN, near=ALIGNED, wait=8)
    arm.move((handle[0] + 0.01, handle[1] + 0.01, height), hand, speed=SLOW)
    arm.clench(CLOSED, 3)
    for angle in (0.25, 0.5, 0.72, 0.85):
        x, y = around(handle, MICROWAVE_HINGE, -angle)
        if arm.move((x, y, height), hand, speed=0.75 * SLOW, wait=2, until=opened):
            break
    arm.clench(OPEN, 3)
    arm.move(beside(arm.position, 0.05, -0.1, 0.05), hand, near=FREE, exact=False)


def kettle(arm: Arm) -> None:
    """Take it by the handle, from the left, and push it to the back burner, turned on the way as people turn it."""
    at = arm.data.qpos[23:26].copy()
    arm.posture = np.array([-0.8, -1.76, 2.0, -2.2, 0.1, 1.0, 2.0])
    grasp, hand = beside(at, -0.09, 0.01, 0.19), facing(yaw=-0.5)

    def there() -> bool:
        return arm.joint(24) > 0.72 + 0.1 * (arm.style.overshoot - 1.0)

    arm.move(beside(grasp, -0.065, -0.113, 0.0), hand, grip=OPEN, near=ALIGNED, wait=6)
    arm.move(grasp, hand, speed=SLOW, near=ALIGNED)
    arm.clench(CLOSED, 3)
    for part in (0.25, 0.5, 0.75, 1.0, 1.15):
        on = beside(grasp, -0.028 * part, 0.4 * part, 0.01)
        if arm.move(on, facing(yaw=-0.5 + 0.25 * part), speed=SLOW, near=0.03, wait=1, until=there):
            break
    arm.clench(OPEN, 3)
    arm.move(beside(arm.position, -0.05, -0.14, 0.03), facing(yaw=-0.25), near=FREE, exact=False)


def _burner(arm: Arm, site: str, element: int) -> None:
    knob = arm.site(site)
    arm.posture = START[:7].copy()

    def turned() -> bool:
        return arm.joint(element) < -0.82 * arm.style.overshoot

    arm.move((knob[0], knob[1] - 0.13, knob[2]), facing(), grip=OPEN, near=ALIGNED, wait=8, leash=0.08)
    arm.move(knob, facing(), speed=SLOW, near=0.01, wait=3, leash=0.05)
    arm.clench(CLOSED, 3)
    for roll in (0.5, 1.0, 1.3):
        if arm.move(knob, facing(roll=roll), wait=2, near=0.0, until=turned):
            break
    arm.clench(OPEN, 2)
    arm.move((knob[0], knob[1] - 0.14, knob[2]), facing(roll=0.9), near=FREE, exact=False)


def bottom_burner(arm: Arm) -> None:
    """Turn its knob."""
    _burner(arm, "knob2_site", 11)


def top_burner(arm: Arm) -> None:
    """Turn its knob."""
    _burner(arm, "knob4_site", 15)


def light_switch(arm: Arm) -> None:
    """Push the switch to the left with closed fingers."""
    switch = arm.site("light_site")
    hand = facing()
    arm.posture = START[:7].copy()

    def on() -> bool:
        return arm.joint(17) < -0.66

    arm.move(beside(switch, 0.07, -0.14, 0.0), hand, grip=CLOSED, near=ALIGNED, wait=8)
    arm.move(beside(switch, 0.06, 0.005, 0.0), hand, speed=SLOW, near=ALIGNED)
    arm.move(beside(switch, -0.12, 0.005, 0.0), hand, speed=SLOW, until=on)
    arm.move(beside(arm.position, 0.02, -0.13, 0.0), hand, near=FREE, exact=False)


def slide_cabinet(arm: Arm) -> None:
    """Push the handle to the right with closed fingers."""
    handle = arm.site("slide_site")
    hand = facing()
    height = handle[2] - 0.05
    arm.posture = np.array([-0.2, -0.5, 0.0, -2.2, -0.3, 1.7, 0.5])

    def opened() -> bool:
        return arm.joint(19) > 0.34 * min(arm.style.overshoot, 1.05)

    arm.move((handle[0] - 0.075, handle[1] - 0.16, height), hand, grip=CLOSED, near=ALIGNED, wait=8)
    arm.move((handle[0] - 0.065, handle[1] + 0.01, height), hand, speed=SLOW, near=ALIGNED, wait=8)
    arm.move((handle[0] + 0.42, handle[1] + 0.01, height), hand, speed=0.75 * SLOW, leash=0.08, until=opened)
    arm.move(beside(arm.position, -0.03, -0.15, -0.05), hand, near=FREE, exact=False)


def hinge_cabinet(arm: Arm) -> None:
    """Pull the right door open by its handle; where the arm does not reach far enough, push it on from inside."""
    handle = arm.site("hinge_site2")
    height = handle[2] - 0.06
    arm.posture = np.array([-0.5, -0.9, 1.0, -2.0, -0.2, 1.4, 0.9])

    def opened() -> bool:
        return arm.joint(21) > 1.33

    arm.move((handle[0], handle[1] - 0.16, height), facing(), grip=OPEN, near=ALIGNED, wait=8)
    arm.move((handle[0], handle[1] + 0.015, height), facing(), speed=SLOW, near=0.01, wait=8)
    arm.clench(CLOSED, 3)
    for angle in np.arange(0.2, 1.5, 0.2):
        x, y = around(handle, CABINET_HINGE, angle)
        if arm.move((x, y, height), facing(yaw=0.5 * angle), speed=0.75 * SLOW, leash=0.08, wait=1, until=opened):
            break
    arm.clench(OPEN, 3)
    arm.move(beside(arm.position, 0.0, -0.12, -0.03), near=FREE)
    if arm.joint(21) < 1.25:
        angle, low, hand = arm.joint(21), height - 0.05, facing(yaw=-0.3)
        edge = np.array(CABINET_HINGE) - 0.34 * np.array([np.cos(angle), np.sin(angle)])
        arm.move((edge[0] - 0.16, edge[1] - 0.12, low), hand, grip=CLOSED, near=0.03)
        arm.move((edge[0] - 0.10, edge[1] + 0.04, low), hand)
        arm.move((CABINET_HINGE[0] + 0.10, CABINET_HINGE[1] - 0.30, low), hand, speed=SLOW, until=opened)
        arm.move(beside(arm.position, -0.08, -0.15, -0.05), facing(), near=FREE)


SKILLS: dict[str, Callable[[Arm], None]] = {
    "microwave": microwave,
    "kettle": kettle,
    "bottom burner": bottom_burner,
    "top burner": top_burner,
    "light switch": light_switch,
    "slide cabinet": slide_cabinet,
    "hinge cabinet": hinge_cabinet,
}
