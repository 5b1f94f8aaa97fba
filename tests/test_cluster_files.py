"""The files of examples/cluster: their commands are those of earmark, and they name every share."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from earmark.apps.cli.app import app
from earmark.apps.cli.part_options import PartOptions

FOLDER = Path(__file__).parents[1] / "examples" / "cluster"
EMBED, TRAIN = (typer.main.get_command(app).commands[name] for name in ("embed", "train"))


def parsed(words: list[str]) -> dict[str, Any]:
    """Parse a command as ``earmark`` does; return its arguments and options."""
    assert words[:2] == ["earmark", "embed"]
    return EMBED.make_context("embed", words[2:]).params


def expanded(command: str, **variables: str) -> list[str]:
    """Return the words that a shell makes of a command, without running the command."""
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command}"],
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def shares_of(commands: list[list[str]]) -> list[str]:
    shares = []
    for words in commands:
        options = parsed(words)
        assert options["engine"] == "torch" and options["allow_skips"]
        own = PartOptions(**{name: options[name] for name in ("on", "share", "retry_failed")})
        shares.append(str(own.own_share))
    return shares


def test_the_array_of_slurm_computes_every_share():
    text = (FOLDER / "embed.slurm").read_text()
    assert text.startswith("#!/bin/bash\n") and "\nset -eu\n" in text
    usage = re.search(r"sbatch --array=1-(\d+) (\S+) (.+)", text)
    count, script, arguments = int(usage[1]), usage[2], shlex.split(usage[3])
    assert (FOLDER.parents[1] / script).is_file() and arguments[2] == str(count)
    (command,) = re.findall(r"^srun (earmark .+)$", text, re.M)
    for number, name in enumerate(arguments, 1):
        command = command.replace(f"${number}", name)
    words = [expanded(command, SLURM_ARRAY_TASK_ID=str(k)) for k in range(1, count + 1)]
    assert shares_of(words) == [f"{k}/{count}" for k in range(1, count + 1)]
    last = parsed(shlex.split(re.search(r"^#     (earmark .+)$", text, re.M)[1]))
    assert last["share"] is None and str(last["output"]) == arguments[1]


def test_the_job_of_kubernetes_computes_every_share():
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((FOLDER / "embed-job.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed" and pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"] == ["sh", "-c"]
    (line,) = container["args"]
    command = line.strip().removeprefix("exec ")
    count = spec["completions"]
    words = [expanded(command, JOB_COMPLETION_INDEX=str(k)) for k in range(count)]
    assert shares_of(words) == [f"{k}/{count}" for k in range(1, count + 1)]


def test_the_pod_of_kubernetes_has_no_rights_that_it_does_not_need():
    yaml = pytest.importorskip("yaml")
    pod = yaml.safe_load((FOLDER / "embed-job.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    rights = container["securityContext"]
    assert not rights["allowPrivilegeEscalation"] and rights["readOnlyRootFilesystem"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    written = {variable["name"]: variable["value"] for variable in container["env"]}
    places = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert written["EARMARK_CACHE"] in places


def test_the_job_of_slurm_fine_tunes_with_shared_checkpoints():
    text = (FOLDER / "finetune.slurm").read_text()
    assert text.startswith("#!/bin/bash\n") and "\nset -eu\n" in text
    usage = re.search(r"sbatch --nodes=(\d+) (\S+) (.+)", text)
    script, arguments = usage[2], shlex.split(usage[3])
    assert (FOLDER.parents[1] / script).is_file()
    (command,) = re.findall(r"^srun (torchrun .+?[^\\])$", text, re.M | re.S)
    for number, name in enumerate(arguments, 1):
        command = command.replace(f"${number}", name)
    words = expanded(command.replace("\\\n", " "), SLURM_NNODES="2", SLURM_JOB_ID="7", first="n1")
    assert words[: words.index("-m")].count("n1:29500") == 1
    assert words[words.index("-m") + 1 :][:2] == ["earmark", "train"]
    options = TRAIN.make_context("train", words[words.index("train") + 1 :]).params
    assert [options["source"], str(options["output"]), options["checkpoints"]] == arguments
    assert options["finetune"] == "full"
