"""The plan of the comparison that the tests share."""

TOY = {"model": "tests.support.toys:ToyGenerator", "threads": 1}
PLAN = {
    "strategies": ["snes", {"strategy": "hill_climb", "strategy_options": {"population": 8}, "name": "climb"}],
    "prompts": ["one", "two"],
    "rewards": ["brightness", "contrast"],
    "seeds": 3,
    "queries": 48,
    "held_out": ["saturation"],
    **TOY,
}
SETTINGS = {name: value for name, value in PLAN.items() if name not in ("strategies", "prompts")}
