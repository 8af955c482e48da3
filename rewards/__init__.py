"""The rewards by name; listing them imports none of them."""

if not __name__.startswith("zo_dno."):  # a second copy of the classes would break isinstance
    raise ImportError(f"Import the rewards as zo_dno.rewards, not as {__name__!r}.")

REWARDS: dict[str, str] = {
    "jpeg_smaller": "zo_dno.rewards.jpeg:JPEGSmaller",
    "jpeg_larger": "zo_dno.rewards.jpeg:JPEGLarger",
    "brightness": "zo_dno.rewards.brightness:Brightness",
    "darkness": "zo_dno.rewards.brightness:Darkness",
    "prompt_match": "zo_dno.rewards.prompt_match:PromptMatch",
}
