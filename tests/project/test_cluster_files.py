"""The files for clusters: their fields, options and commands are those of KubeRay, Kubernetes, Slurm and zo-dno."""

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.main import get_command

from tests.support.clocks import PATIENCE
from zo_dno.ui.cli import main as cli

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "cluster"
SCRIPT = (FOLDER / "search.sbatch").read_text()
CLAIM, JOB = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text())

TEXT, WHOLE = {"type": "string"}, {"type": "integer", "minimum": 0}
QUANTITIES = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^\d+(m|[KMG]i?)?$"}}


def exactly(required=(), **fields):
    """Return the schema of an object that has no other fields, as the API server warns of unknown ones."""
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def many(of):
    return {"type": "array", "items": of}


RESOURCES = exactly(requests=QUANTITIES, limits=QUANTITIES)
CONTAINER = exactly(
    ["name", "image"],
    name=TEXT,
    image=TEXT,
    resources=RESOURCES,
    volumeMounts=many(exactly(["name", "mountPath"], name=TEXT, mountPath=TEXT)),
)
POD = exactly(
    ["containers"],
    containers=many(CONTAINER),
    securityContext=exactly(fsGroup=WHOLE),
    volumes=many(exactly(["name"], name=TEXT, persistentVolumeClaim=exactly(["claimName"], claimName=TEXT))),
)
PARAMETERS = {"type": "object", "additionalProperties": TEXT}
TEMPLATE = exactly(["spec"], spec=POD)
METADATA = exactly(["name"], name=TEXT)
# The fields used, of the types that the definition of RayJob in KubeRay 1.6.0 and 1.7.0 gives them (ray.io/v1).
RAY_JOB = exactly(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=METADATA,
    spec=exactly(
        entrypoint=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        backoffLimit=WHOLE,
        shutdownAfterJobFinishes={"type": "boolean"},
        rayClusterSpec=exactly(
            ["headGroupSpec"],
            rayVersion=TEXT,
            authOptions=exactly(mode={"enum": ["disabled", "token"]}),
            headGroupSpec=exactly(["template"], rayStartParams=PARAMETERS, template=TEMPLATE),
            workerGroupSpecs=many(
                exactly(
                    ["groupName", "maxReplicas", "minReplicas", "template"],
                    groupName=TEXT,
                    replicas=WHOLE,
                    minReplicas=WHOLE,
                    maxReplicas=WHOLE,
                    rayStartParams=PARAMETERS,
                    template=TEMPLATE,
                )
            ),
        ),
    ),
)
# Those of a claim, in Kubernetes' core/v1.
VOLUME_CLAIM = exactly(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "v1"},
    kind={"const": "PersistentVolumeClaim"},
    metadata=METADATA,
    spec=exactly(
        accessModes=many({"enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]}),
        resources=RESOURCES,
    ),
)
# The options of scripts that `sbatch --help` of Slurm 22.05 lists, of those that concern a search.
SBATCH = """
account array begin chdir constraint cpus-per-gpu cpus-per-task dependency distribution error exclude exclusive export
gpus gpus-per-node gpus-per-task gres hint job-name licenses mail-type mail-user mem mem-per-cpu mem-per-gpu nice
no-requeue nodelist nodes ntasks ntasks-per-node open-mode output partition prefer qos requeue reservation signal
switches time time-min tmp wait-all-nodes
"""


def test_the_kubernetes_objects_have_the_fields_of_their_kinds():
    jsonschema.validate(CLAIM, VOLUME_CLAIM)
    jsonschema.validate(JOB, RAY_JOB)
    for path, wrong in [
        (["spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
        (["spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplica"], 1),
        (["spec", "submissionMode"], "HttpMode"),
    ]:
        broken = copy.deepcopy(JOB)
        place = broken
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = wrong
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, RAY_JOB)


def test_the_job_keeps_its_run_on_the_volume_and_stays_within_its_limits():
    cluster = JOB["spec"]["rayClusterSpec"]
    head, (workers,) = cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"]
    (volume,), (mount,) = head["volumes"], head["containers"][0]["volumeMounts"]
    assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    assert volume["name"] == mount["name"]
    places = re.findall(r"/\S+", JOB["spec"]["entrypoint"])
    assert len(places) == 3
    assert all(place.startswith(f"{mount['mountPath']}/") for place in places)
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for container in head["containers"] + workers["template"]["spec"]["containers"]:
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert container["resources"]["requests"] == container["resources"]["limits"]
    pinned = re.search(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE).group(1)
    assert cluster["rayVersion"] == pinned, "the image has the Ray of constraints.txt"
    assert "ARG EXTRAS" in (ROOT / "Dockerfile").read_text()


def test_the_slurm_script_is_bash_with_options_of_sbatch(tmp_path):
    (tmp_path / "script").write_text(SCRIPT)
    subprocess.run(["bash", "-n", str(tmp_path / "script")], check=True)
    lines = re.findall(r"^#SBATCH (.*)$", SCRIPT, re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        assert re.fullmatch(r"--([\w-]+)(=\S+)?", line), line
        assert re.match(r"--([\w-]+)", line).group(1) in SBATCH.split(), line
    assert SCRIPT.index("set -euo") > SCRIPT.rindex("#SBATCH"), "Slurm reads no options after the first command"


def test_shellcheck_finds_nothing_in_the_slurm_script():
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if not (shellcheck := shutil.which("shellcheck", path=beside)):
        pytest.skip("shellcheck is not installed")
    found = subprocess.run([shellcheck, "search.sbatch"], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def commands():
    """Return every zo-dno command of the files, with the script's arrays in place."""
    arrays = dict(re.findall(r"^(\w+)=\((.*)\)$", SCRIPT, re.MULTILINE))
    filled = re.sub(r'"\$\{(\w+)\[@\]\}"', lambda found: arrays.get(found.group(1), ""), SCRIPT)
    filled = filled.replace("$SLURM_JOB_NUM_NODES", "4")
    text = filled + JOB["spec"]["entrypoint"].replace(";", "\n")
    return [shlex.split(line) for line in re.findall(r"\bzo-dno ((?:run|resume) [^\n&]*)", text)]


def test_commands_have_options_that_there_are():
    group, read = get_command(cli.app), []
    for words in commands():
        with group.commands[words[0]].make_context(words[0], list(words[1:])) as context:
            assert context.params["ray"]
            assert context.params["generators"] == (4 if words[0] == "run" else None)
        read.append(words[0])
    assert sorted(read) == ["resume", "resume", "run", "run"]


RAY = """#!/bin/bash
[[ $1 == start ]] && set -- "$@" --include-dashboard=false
for ((i = 0; i < 300; i++)); do # each `ray status` imports Ray, so it waits for something that listens
    [[ $1 != status ]] || (exec 3<> "/dev/tcp/${3/://}") 2> /dev/null && break
    sleep 0.2
done
exec {real} "$@"
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
SLURM_NODEID=0 exec "$@"
"""


@pytest.mark.slow
@pytest.mark.ray
def test_the_slurm_script_runs_a_search_and_resumes_it(tmp_path):
    """On one machine, with a Ray of its own, a stand-in for srun, and a model that takes microseconds."""
    smaller = SCRIPT.replace("--queries 512", "--queries 8 --model tests.support.toys:prompted")
    smaller = smaller.replace("--gpus-per-generator 1", "--threads 1")
    (tmp_path / "search.sbatch").write_text(smaller)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "srun").write_text(SRUN)
    (programs / "ray").write_text(RAY.replace("{real}", str(Path(sys.executable).with_name("ray"))))
    (programs / "zo-dno").write_text(f'#!/bin/bash\nexec {sys.executable} -m zo_dno "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "HEAD_ADDRESS": "127.0.0.1", "SLURM_JOB_ID": str(os.getpid())}
    environment |= {"SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "2", "PYTHONPATH": str(ROOT)}
    for _ in range(2):  # to begin the run a second time would be refused
        done = subprocess.run(
            ["bash", "search.sbatch"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "runs" / "dusk" / "result.json").read_text())
    assert (result["status"], result["queries"]) == ("finished", 8)
    assert not Path(f"/tmp/ray-{os.getpid()}").exists()
