"""`flk recipes`: the installed workflows."""

import json
import sys

import pytest

WORKFLOW = """
    from flk.spi.workflow import Workflow

    class Acme(Workflow):
        calls = ("train", "evaluate")

        def __init__(self, model, rounds: int = 5, *, share=0.8, **more):
            pass

        def server(self):
            return None
"""


@pytest.fixture
def acme(shelf):
    entry = "acme = mod_acme:Acme"
    shelf.add("flk-workflow-acme", "flk.workflows.v1", entry, source=WORKFLOW)


def test_workflows_are_listed_and_none_is_imported(acme, flk):
    code, out, _ = flk("recipes")
    assert code == 0
    assert out.splitlines()[1].split() == [
        "acme",
        "flk-workflow-acme",
        "What",
        "flk-workflow-acme",
        "is",
        "for",
    ]
    assert "mod_acme" not in sys.modules


def test_workflows_are_listed_as_json(acme, flk):
    _, out, _ = flk("recipes", "--json")
    summary = "What flk-workflow-acme is for"
    assert json.loads(out) == [
        {"name": "acme", "distribution": "flk-workflow-acme", "summary": summary}
    ]


def test_where_there_is_none_it_says_what_to_install(shelf, flk):
    code, out, _ = flk("recipes")
    assert code == 0
    assert "pip install flk-workflow-fedavg" in out
    assert json.loads(flk("recipes", "--json")[1]) == []


def test_one_workflow_shows_its_parameters_and_what_the_site_exports(acme, flk):
    code, out, _ = flk("recipes", "acme")
    assert code == 0
    assert out.splitlines() == [
        "flk.workflow.acme: What flk-workflow-acme is for",
        "",
        "Parameters",
        "  model   required",
        "  rounds  5",
        "  share   0.8",
        "  **more",
        "",
        "The site code exports",
        "  train()",
        "  evaluate()",
    ]


def test_one_workflow_as_json(acme, flk):
    _, out, _ = flk("recipes", "acme", "--json")
    told = json.loads(out)
    assert told["parameters"][:2] == [
        {"name": "model", "required": True, "default": None},
        {"name": "rounds", "required": False, "default": "5"},
    ]
    assert told["site_functions"] == ["train", "evaluate"]


def test_only_the_workflow_that_is_shown_is_imported(acme, shelf, flk):
    bad = "raise SystemExit(9)"
    shelf.add("flk-workflow-bad", "flk.workflows.v1", "bad = mod_bad:Bad", source=bad)
    assert flk("recipes", "acme")[0] == 0
    assert flk("recipes")[0] == 0
    assert flk("recipes", "bad")[0] == 2


def test_an_unknown_workflow_is_wrong_use(acme, flk):
    code, _, err = flk("recipes", "nothing")
    assert code == 2
    assert "no workflow 'nothing'" in err
