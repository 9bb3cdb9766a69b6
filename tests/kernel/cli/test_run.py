"""`flk run` without a plugin: the environment is a made-up one that calls the algorithm and no
site."""

import json
import os
import sys
import textwrap

import pytest

ENVIRONMENT = """
    from flk.errors import RunAborted
    from flk.job import Run
    from flk.spi.environment import Environment
    from flk.spi.records import Metric, RunRecord

    class Direct(Environment):
        def __init__(self, num_clients=2, folder=None):
            self.sites = tuple(f"site-{n}" for n in range(1, num_clients + 1))
            self.folder = folder

        def deploy(self, recipe):
            record = RunRecord("run-1", recipe.job_name, "direct", self.sites, self.folder, 0.0, 7)
            run = Run(record, join=lambda timeout: True, abort=lambda reason: None)
            app = recipe.server_app()
            try:
                run.result = app.algo(**recipe.arguments(app))
                run.status = "completed"
            except Exception as error:
                run.error = error
                run.status = "aborted" if isinstance(error, RunAborted) else "failed"
            run.metrics.append(Metric("accuracy", 0.25, "server", 0, 0, 0.0))
            run.metrics.append(Metric("accuracy", 0.75, "server", 1, 1, 0.0))
            run.metrics.append(Metric("accuracy", 0.5, "site-1", 1, 1, 0.0))
            run.rounds, run.seconds = 2, 1.5
            return run

        def stop(self):
            pass

    class Demanding(Direct):
        def __init__(self, kit, num_clients):
            super().__init__(num_clients)
"""

CODE = """
    import flk

    @flk.algo
    def solve(rounds=3, what=None):
        return {"rounds": rounds, "what": what}

    @flk.collab
    def train(): ...
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder; what is imported from it is forgotten."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = dict(sys.modules)
    yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
            if name in before:
                sys.modules[name] = before[name]


@pytest.fixture
def write(folder):
    """Write a Python file below the current folder."""

    def write(path, source):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(textwrap.dedent(source))
        return folder / path

    return write


@pytest.fixture
def run(shelf, folder, flk):
    """`flk run ... --env direct`: (exit code, stdout, stderr)."""
    entries = ("direct = mod_env:Direct", "demanding = mod_env:Demanding")
    shelf.add("flk-env-direct", "flk.environments.v1", *entries, source=ENVIRONMENT)
    return lambda *args: flk("run", "--env", "direct", *args)


@pytest.fixture
def told(run):
    """The JSON object of a run that completed."""

    def told(*args):
        code, out, err = run("--json", *args)
        assert code == 0, err
        return json.loads(out)

    return told


# finding the recipe -------------------------------------------------------------------------------


def test_the_object_called_recipe_is_run(write, told):
    made = "recipe = flk.Recipe('right')\nother = flk.Recipe('wrong')\n"
    write("app.py", textwrap.dedent(CODE) + made)
    assert told("app.py")["job"] == "right"


def test_the_only_recipe_is_run_whatever_it_is_called(write, told):
    write("app.py", textwrap.dedent(CODE) + "job = same = flk.Recipe('only')\n")
    assert told("app.py")["job"] == "only"


def test_of_two_recipes_one_has_to_be_called_recipe(write, run):
    write("app.py", textwrap.dedent(CODE) + "a = flk.Recipe('a')\nb = flk.Recipe('b')\n")
    code, out, err = run("app.py")
    assert (code, out) == (2, "")
    assert "app.py has the recipes a, b. Call the one to run: recipe" in err


def test_a_recipe_can_be_made_by_a_function(write, told):
    write("app.py", textwrap.dedent(CODE) + "def make_recipe():\n    return flk.Recipe('made')\n")
    assert told("app.py")["job"] == "made"


def test_a_function_that_makes_something_else_is_wrong_use(write, run):
    write("app.py", textwrap.dedent(CODE) + "def make_recipe():\n    return 7\n")
    code, _, err = run("app.py")
    assert code == 2
    assert "make_recipe() of app.py returned a int" in err


def test_decorated_functions_are_a_job_with_the_files_name(write, told):
    write("digits.py", CODE)
    assert told("digits.py")["job"] == "digits"


def test_a_folders_recipe_is_in_recipe_py(write, told):
    write("proj/main.py", "raise SystemExit(9)")
    write("proj/recipe.py", CODE)
    assert told("proj")["job"] == "proj"


def test_a_folder_without_recipe_py_has_it_in_main_py(write, told):
    write("proj/main.py", CODE)
    assert told("proj")["job"] == "proj"


def test_a_module_is_found_from_the_current_folder(write, told):
    write("pack/__init__.py", "")
    write("pack/jobs.py", CODE)
    assert told("pack.jobs")["job"] == "jobs"


def test_modules_beside_the_file_can_be_imported(write, told):
    write("proj/server_side.py", CODE)
    write("proj/recipe.py", "from server_side import solve, train\n")
    assert told("proj")["status"] == "completed"


def test_a_file_of_a_package_imports_relatively(write, told):
    write("pack/__init__.py", "")
    write("pack/code.py", CODE)
    write("pack/job.py", "from .code import solve, train\n")
    assert told("pack/job.py")["job"] == "job"


def test_a_file_may_have_the_name_of_a_module_that_is_in_use(write, told):
    write("json.py", CODE)
    assert told("json.py")["job"] == "json"
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("absent.py", "there is no file absent.py"),
        ("absent/app.py", "there is no file absent/app.py"),
        ("absent", "there is neither a file nor a module 'absent'"),
        ("absent.part", "there is neither a file nor a module 'absent.part'"),
        ("empty", "the folder empty has no recipe.py and no main.py"),
        ("notes.txt", "notes.txt is not a Python file"),
        ("bare.py", "bare.py has no recipe"),
    ],
)
def test_where_there_is_no_recipe_a_sentence_says_so(write, run, target, sentence):
    write("empty/notes", "")
    write("notes.txt", "")
    write("bare.py", "import flk\n@flk.collab\ndef train(): ...\n")
    code, out, err = run(target)
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {sentence}")
    assert err.count("\n") == 1


def test_a_dependency_that_is_missing_is_not_taken_for_the_module(write, run):
    write("app.py", "import no_such_thing\n")
    code, _, err = run("app")
    assert code == 2
    assert "app cannot be loaded: ModuleNotFoundError: No module named 'no_such_thing'" in err


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("x = 1\n1 / 0\n", "ZeroDivisionError: division by zero"),
        ("x = 1\nx = = 2\n", "SyntaxError"),
        ("x = 1\nraise SystemExit(3)\n", "SystemExit: 3"),
        ("def f():\n    raise KeyError('k')\nf()\n", "KeyError: 'k'"),
    ],
)
def test_code_that_cannot_be_loaded_is_one_sentence_with_the_place(write, run, source, what):
    path = write("app.py", source)
    code, out, err = run("app.py")
    assert (code, out) == (2, "")
    assert f"app.py cannot be loaded: {what}" in err
    assert f"{path}:2" in err
    assert err.count("\n") == 1


def test_debug_shows_where_loading_failed(write, shelf, folder, flk):
    write("app.py", "1 / 0\n")
    code, _, err = flk("--debug", "run", "app.py")
    assert code == 2
    assert "Traceback" in err


def test_a_script_that_executes_its_recipe_when_loaded_is_told_so(write, run):
    executes = "recipe = flk.Recipe('a')\nrecipe.execute(None)\n"
    write("app.py", textwrap.dedent(CODE) + executes)
    code, out, err = run("app.py")
    assert (code, out) == (2, "")
    assert "app.py executes its recipe while it is loaded" in err
    assert 'if __name__ == "__main__"' in err


def test_a_script_that_executes_its_recipe_as_main_is_run(write, told):
    executes = "recipe = flk.Recipe('a')\nif __name__ == '__main__':\n    recipe.execute(None)\n"
    write("app.py", textwrap.dedent(CODE) + executes)
    assert told("app.py")["status"] == "completed"


# settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("'5'", "5"),
        ("adam", "adam"),
        ("a=b", "a=b"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_a_setting_is_toml_or_else_text(write, told, text, value):
    write("app.py", CODE)
    assert told("app.py", "--set", f"what={text}")["result"]["what"] == value


def test_an_unknown_setting_names_the_nearest(write, run):
    write("app.py", CODE)
    code, _, err = run("app.py", "--set", "wat=1")
    assert code == 2
    assert "no setting 'wat'. Did you mean 'what'?" in err


@pytest.mark.parametrize("text", ["what", "=1"])
def test_a_setting_without_name_or_value_is_wrong_use(write, run, text):
    write("app.py", CODE)
    assert run("app.py", "--set", text)[0] == 2


@pytest.mark.parametrize("name", ["rounds", "num_rounds", "n"])
def test_rounds_are_set_by_whatever_name_they_have(write, told, name):
    write("app.py", CODE.replace("rounds=3", f"{name}=3").replace(": rounds", f": {name}"))
    assert told("app.py", "--rounds", "9")["result"]["rounds"] == 9


def test_an_algorithm_without_rounds_cannot_be_given_any(write, run):
    write("app.py", CODE.replace("rounds=3, ", "").replace(": rounds", ": 0"))
    code, _, err = run("app.py", "--rounds", "9")
    assert code == 2
    assert "the job 'app' has no number of rounds" in err


# environments -------------------------------------------------------------------------------------


def test_sites_are_counted_by_the_environment(write, told):
    write("app.py", CODE)
    assert told("app.py")["sites"] == 2
    assert told("app.py", "--sites", "4")["sites"] == 4


def test_an_option_that_the_environment_does_not_take_is_wrong_use(write, run):
    write("app.py", CODE)
    code, _, err = run("app.py", "--seed", "1")
    assert code == 2
    assert "the environment 'direct' has no --seed" in err


def test_an_environment_that_needs_more_says_what(write, run):
    write("app.py", CODE)
    code, _, err = run("app.py", "--env", "demanding", "--sites", "3")
    assert code == 2
    assert "the environment 'demanding' needs kit" in err


def test_an_unknown_environment_is_wrong_use(write, run):
    write("app.py", CODE)
    code, _, err = run("app.py", "--env", "nowhere")
    assert code == 2
    assert "no environment 'nowhere'" in err


@pytest.mark.parametrize("option", [("--sites", "0"), ("--rounds", "-1"), ("--seed", "x")])
def test_numbers_are_checked(write, run, option):
    write("app.py", CODE)
    assert run("app.py", *option)[0] == 2


# what came out ------------------------------------------------------------------------------------


def test_json_is_one_object_with_what_a_script_needs(write, told, folder):
    write("app.py", CODE)
    (folder / "report.html").write_text("")
    assert told("app.py", "--folder", folder) == {
        "status": "completed",
        "job": "app",
        "run": "run-1",
        "environment": "direct",
        "seed": 7,
        "sites": 2,
        "rounds": 2,
        "seconds": 1.5,
        "metrics": {"accuracy": 0.75},
        "result": {"rounds": 3, "what": None},
        "failures": [],
        "error": None,
        "where": None,
        "folder": str(folder),
        "report": str(folder / "report.html"),
    }


def test_with_json_whatever_code_prints_goes_to_stderr(write, run):
    shouting = "import os\nprint('loaded')\nos.write(1, b'from C\\n')\n"
    write("app.py", shouting + textwrap.dedent(CODE).replace("return", "print('run')\n    return"))
    _, out, err = run("app.py", "--json")
    assert json.loads(out)["status"] == "completed"
    assert {"loaded", "from C", "run"} <= set(err.splitlines())


def test_stdout_is_given_back_after_json(write, told, capfd):
    write("app.py", CODE)
    told("app.py")
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_json_has_no_word_for_what_is_not_finite(write, run):
    write("app.py", CODE.replace('"what": what', '"what": [float("nan"), -float("inf")]'))
    _, out, _ = run("app.py", "--json")

    def refuse(word):
        raise ValueError(word)

    assert json.loads(out, parse_constant=refuse)["result"]["what"] == ["nan", "-inf"]


def test_a_result_that_is_no_plain_data_is_left_out_of_json(write, told):
    write("app.py", CODE.replace('{"rounds": rounds, "what": what}', "object()"))
    assert told("app.py")["result"] is None


def test_people_get_counts_metrics_result_and_places(write, run, folder):
    write("app.py", CODE)
    (folder / "work").mkdir()
    (folder / "work" / "report.html").write_text("")
    code, out, err = run("app.py", "--folder", folder / "work")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "app completed: 2 rounds, 2 sites, 1.5 s",
        "",
        "accuracy  0.75",
        "",
        "run folder  work",
        "report      work/report.html",
    ]


def test_a_mapping_of_numbers_is_shown_as_a_table(write, run):
    write("app.py", CODE.replace('{"rounds": rounds, "what": what}', '{"a": 0.5, "long one": 2}'))
    assert "a         0.5\nlong one    2\n" in run("app.py")[1]


def test_a_mapping_of_mappings_is_shown_as_a_table_with_columns(write, run):
    result = '{"a": {"loss": 0.5}, "b": {"loss": 1.25, "n": 30}}'
    write("app.py", CODE.replace('{"rounds": rounds, "what": what}', result))
    assert "   loss   n\na   0.5\nb  1.25  30\n" in run("app.py")[1]


def test_a_run_that_failed_is_one_sentence_and_the_place_in_the_users_code(write, run):
    path = write("app.py", CODE.replace("return", "raise ValueError('too bad')\n        return"))
    code, out, err = run("app.py")
    assert code == 1
    assert out.startswith("app failed: 2 rounds")
    assert err == f"Error: ValueError: too bad\n  at {path}:6 in solve\n"


def test_a_run_that_failed_at_a_site_names_the_place_there(write, run):
    fails = """
    import flk
    from flk.errors import CallError, QuorumError

    @flk.algo
    def solve():
        trace = f'Traceback:\\n  File "{__file__}", line 99, in train\\nValueError: no\\n'
        error = CallError("site-1: train() raised ValueError: no", remote_traceback=trace)
        raise QuorumError("train() needed 1 of 2 sites and got 0", failures={"site-1": error})
    """
    path = write("app.py", fails)
    code, _, err = run("app.py")
    assert code == 1
    assert f"at {path}:99 in train" in err


def test_a_run_that_failed_is_json_too(write, run):
    path = write("app.py", CODE.replace("return", "raise ValueError('too bad')\n        return"))
    code, out, _ = run("app.py", "--json")
    told = json.loads(out)
    assert code == 1
    assert (told["status"], told["error"]) == ("failed", "ValueError: too bad")
    assert told["where"] == f"{path}:6 in solve"


def test_debug_shows_the_traceback_of_a_run(write, run, flk):
    write("app.py", CODE.replace("return", "raise ValueError('too bad')\n        return"))
    code, _, err = flk("--debug", "run", "app.py", "--env", "direct")
    assert code == 1
    assert "Traceback" in err


def test_a_run_that_was_aborted_exits_with_1_and_says_why(write, run):
    aborted = (
        "from flk.errors import RunAborted\n        raise RunAborted('enough')\n        return"
    )
    write("app.py", CODE.replace("return", aborted))
    code, out, err = run("app.py")
    assert code == 1
    assert out.startswith("app aborted")
    assert err == "Aborted: enough\n"


def test_a_constructor_that_raises_is_one_sentence_with_the_place(write, run):
    made = """
    import flk

    class Server:
        def __init__(self):
            raise OSError("no such disk")

        @flk.algo
        def solve(self): ...

    recipe = flk.Recipe("job", Server, Server)
    """
    path = write("app.py", made)
    code, out, err = run("app.py")
    assert (code, out) == (1, "")
    assert err == f"Error: OSError: no such disk ({path}:6 in __init__)\n"


def test_misuse_inside_a_run_is_a_failed_run(write, run):
    write("app.py", CODE.replace("return", "flk.site\n        return"))
    assert run("app.py")[0] == 1


def test_help_loads_no_recipe(flk):
    code, out, _ = flk("run", "--help")
    assert code == 0
    assert "PATH_OR_MODULE" in out
