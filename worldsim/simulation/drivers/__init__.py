"""Things that move of themselves: each is one body and the bounded forces that somebody puts on it."""

from worldsim.simulation.drivers.animals import Cat, Dog
from worldsim.simulation.drivers.crane import Crane
from worldsim.simulation.drivers.driver import Actuator, Bulk, Driver, SceneView
from worldsim.simulation.drivers.drone import Drone
from worldsim.simulation.drivers.followers import Followers
from worldsim.simulation.drivers.hoist import Hoist, Trip
from worldsim.simulation.drivers.intruder import Entry, Intruder
from worldsim.simulation.drivers.launch import Launch
from worldsim.simulation.drivers.leaves import Leaf, LeafPush, Leaves
from worldsim.simulation.drivers.pairs import PairForce, PairForces
from worldsim.simulation.drivers.people import Worker
from worldsim.simulation.drivers.pushes import Push, Pushes
from worldsim.simulation.drivers.runaway import Runaway
from worldsim.simulation.drivers.thrown import Thrown
from worldsim.simulation.drivers.vehicles import Gripper, Load, Robot, Tug

__all__ = [
    "Actuator",
    "Bulk",
    "Cat",
    "Crane",
    "Dog",
    "Driver",
    "Drone",
    "Entry",
    "Followers",
    "Gripper",
    "Hoist",
    "Intruder",
    "Launch",
    "Leaf",
    "LeafPush",
    "Leaves",
    "Load",
    "PairForce",
    "PairForces",
    "Push",
    "Pushes",
    "Robot",
    "Runaway",
    "SceneView",
    "Thrown",
    "Trip",
    "Tug",
    "Worker",
]
