"""The table of search spaces by name; listing it imports none of them."""

SPACES: dict[str, str] = {
    "all": "zo_dno.spaces.whole:Whole",
    "low_band": "zo_dno.spaces.low_band:LowBand",
    "subspace": "zo_dno.spaces.subspace:Subspace",
    "elites": "zo_dno.spaces.elites:Elites",
    "channels": "zo_dno.spaces.channels:Channels",
    "draws": "zo_dno.spaces.draws:Draws",
}
DEFAULT_SPACE = "all"
