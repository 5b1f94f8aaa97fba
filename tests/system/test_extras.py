"""Every package that is asked for by the name of an extra comes with that extra."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {
    "ai_edge_litert": "ai-edge-litert",
    "python_multipart": "python-multipart",
    "yaml": "pyyaml",
}


def constants(tree):
    """The texts that names stand for, such as RUNTIME = "onnxruntime"."""
    return {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }


def asked_for():
    for path in sorted((ROOT / "src").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "extras.load":
                package, extra = node.args[:2]
                if isinstance(package, ast.Name):
                    text = names.get(package.id, "transformers")  # else a parameter
                else:
                    text = package.value
                yield text.partition(".")[0], extra.value


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib comes with Python 3.11")
def test_every_package_stands_in_its_extra():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, always = project["optional-dependencies"], project["dependencies"]
    asked = set(asked_for())
    assert {("onnx", "onnx"), ("onnxruntime", "onnx"), ("ai_edge_litert", "tflite")} <= asked
    for package, extra in asked:
        lines = [*extras[extra], *always]
        for other in re.findall(r"^earmark\[(\w+)\]", "\n".join(lines), re.M):
            lines += extras[other]
        names = [re.match(r"[\w.-]+", line).group() for line in lines]
        assert DISTRIBUTIONS.get(package, package) in names, (package, extra)
