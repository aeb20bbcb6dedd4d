# SPDX-License-Identifier: Apache-2.0
"""What "jmpctl admin" asks at a terminal, beside "jmp admin": the same questions in the same order, the same files after the same answers.

Different on purpose, and so in every row:
- questions are on standard error, so that with -o only the result is on standard output;
- without a terminal nothing is asked, and the answer is no; the stock command gives up with 1 after it has made the object;
- --nointeractive is believed also together with --save, where the stock command asks all the same;
- a client for whom nothing is said to be allowed may load the drivers of Jumpstarter; the stock command lets it load none.
"""

import os
import sys

import pytest
import yaml
from harness.terminal import Terminal
from test_admin import CLIENTS, EXPORTERS, SECRETS, client, exporter, secret

USUAL = ["jumpstarter_driver_*", "jumpstarter.client.*"]
INSECURE = "Insecure TLS mode is enabled. Certificate verification will be disabled for HTTPS connections. Continue? [y/N]: "
SAVE, SAVE_EXPORTER = "Save client configuration? [y/N]: ", "Save exporter configuration? [y/N]: "
UNSAFE = "Allow unsafe driver client imports? [y/N]: "
ALLOW = "Enter a comma-separated list of allowed driver packages (optional) []: "
DELETE, DELETE_EXPORTER = "Delete client configuration? [y/N]: ", "Delete exporter configuration? [y/N]: "

# words, the questions and what is said to them, the exit status
ROWS = [
    ("create client c", [(SAVE, "n")], 0),
    ("create client c", [(SAVE, "")], 0),
    ("create client c", [(SAVE, "y"), (UNSAFE, "yes")], 0),
    ("create client c", [(SAVE, "Y"), (UNSAFE, "n"), (ALLOW, "a.*,b")], 0),
    ("create client c", [(SAVE, "y"), (UNSAFE, ""), (ALLOW, "")], 0),
    ("create client c -s", [(UNSAFE, "n"), (ALLOW, "x")], 0),
    ("create client c -a x,y", [(SAVE, "y")], 0),
    ("create client c --unsafe", [(SAVE, "maybe"), (SAVE, "y")], 0),
    ("create client c -s -a x", [], 0),
    ("create client c -k", [(INSECURE, "y"), (SAVE, "y"), (UNSAFE, "y")], 0),
    ("create client c -k", [(INSECURE, "n")], 1),
    ("create client c -k --nointeractive", [], 0),
    ("create client c -o name", [(SAVE, "n")], 0),
    ("create exporter e -l a=b", [(SAVE_EXPORTER, "y")], 0),
    ("create exporter e -l a=b", [(SAVE_EXPORTER, "n")], 0),
    ("create exporter e -l a=b -k -s", [(INSECURE, "y")], 0),
    ("create exporter e -l a=b --nointeractive", [], 0),
    ("import client c", [(UNSAFE, "n"), (ALLOW, "x,y")], 0),
    ("import client c", [(UNSAFE, "y")], 0),
    ("import client c -k", [(INSECURE, "y"), (UNSAFE, "y")], 0),
    ("import client c -k", [(INSECURE, "")], 1),
    ("import client c -a x", [], 0),
    ("import client c --nointeractive -o path", [], 0),
    ("import exporter e", [], 0),
    ("import exporter e -k -o path", [(INSECURE, "y")], 0),
    ("delete client c", [(DELETE, "y")], 0),
    ("delete client c", [(DELETE, "n")], 0),
    ("delete client c -o name", [(DELETE, "y")], 0),
    ("delete client c -d", [], 0),
    ("delete client c --nointeractive", [], 0),
    ("delete exporter e", [(DELETE_EXPORTER, "y")], 0),
    ("delete exporter e -d", [], 0),
    ("rotate client c -s", [], 0),
    ("rotate client c", [], 0),
]


@pytest.fixture
def answered(server):
    """A controller that gives credentials to what is made, and another secret for one that was deleted."""
    def controller(request):
        name = request.path.rsplit("/", 1)[1]
        if request.method == "GET" and request.path == f"{CLIENTS}/c" and server.asked("POST"):
            server.put(CLIENTS, client("c"))
        if request.method == "GET" and request.path == f"{EXPORTERS}/e" and server.asked("POST"):
            server.put(EXPORTERS, exporter("e"))
        if request.method == "GET" and name == "c-client" and server.asked("DELETE"):
            secret(server, "c-client", "another", uid="another")
    server.rules.append(controller)
    return server


def prepare(server, home, words):
    """The objects, and for what is deleted or rotated also the files, as they are before the command."""
    for collection, name in ((CLIENTS, "c"), (EXPORTERS, "e"), (SECRETS, "c-client")):
        if name in server.objects.get(collection, {}):
            server.remove(collection, name)
    server.requests.clear()
    secret(server, "c-client", "first", uid="first")
    secret(server, "e-exporter")
    if not words.startswith("create"):
        server.put(CLIENTS, client("c"))
        server.put(EXPORTERS, exporter("e"))
    for kind, name in (("client", "c"), ("exporter", "e")):
        path = home / f"{kind}s" / f"{name}.yaml"
        path.unlink(missing_ok=True)
        if words.startswith(("delete", "rotate")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump({
                "apiVersion": "jumpstarter.dev/v1alpha1", "kind": f"{kind.capitalize()}Config", "endpoint": "lab:1",
                "metadata": {"namespace": "lab", "name": name}, "token": "old",
                **({"drivers": {"allow": ["mine"], "unsafe": False}} if kind == "client" else {})}))
    (home / "config.yaml").unlink(missing_ok=True)
    if words.startswith("delete"):
        (home / "config.yaml").write_text(yaml.safe_dump(
            {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "UserConfig", "config": {"current-client": "c"}}))


def files(home, said):
    """What the command left: the configurations as their readers see them, and the current client."""
    found = {}
    for path in sorted(home.glob("*s/*.yaml")):
        config = yaml.safe_load(path.read_text())
        drivers = config.get("drivers")
        if drivers and drivers["allow"] == USUAL and not drivers["unsafe"] and not said:
            drivers = {**drivers, "allow": []}
        found[path.name] = (config["token"], config["endpoint"], (config.get("tls") or {}).get("insecure", False), drivers)
    current = home / "config.yaml"
    if current.exists():
        # Where nothing is current the stock command may leave no file.
        found["current"] = yaml.safe_load(current.read_text())["config"].get("current-client")
    return found


def lines(text, home):
    """Without what people wrote, the table below and where it was."""
    found = []
    for line in text.replace("\r", "").replace(str(home), "HOME").splitlines():
        if line.startswith("NAME "):
            break
        found.append(line.rstrip())
    return [line for line in found if line]


def ask_stock(commands, words, dialogue):
    home = commands.home / "stock"
    done = commands.stock("admin", *words, "-n", "lab", said="".join(f"{answer}\n" for _, answer in dialogue))
    text = done.out
    for question, answer in dialogue:
        assert f"{question}{answer}\n" in text, (question, text, done.err)
        text = text.replace(f"{question}{answer}\n", f"{question}\n", 1)
    return done.code, lines(text.replace("Error: invalid input\n", ""), home)


def ask_ours(commands, words, dialogue):
    home = commands.home / "config"
    text = b""
    with Terminal([commands.jmpctl_path, "admin", *words, "-n", "lab"], env=commands.env()) as terminal:
        for question, answer in dialogue:
            terminal.expect_exact(question)
            text += terminal.before + question.encode() + b"\n"
            terminal.sendline(answer)
        status = terminal.wait()
        text += terminal.before
    return status, lines(text.decode().replace("Error: invalid input\r\n", ""), home)


@pytest.mark.parametrize("words, dialogue, status", ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_questions_and_files_are_those_of_the_stock_command(answered, commands, words, dialogue, status):
    prepare(answered, commands.home / "stock", words)
    theirs = ask_stock(commands, words.split(), dialogue)
    prepare(answered, commands.home / "config", words)
    ours = ask_ours(commands, words.split(), dialogue)
    assert (theirs[0], ours[0]) == (status, status), (theirs, ours)
    if status == 0:
        assert ours[1] == theirs[1]
    else:       # "Aborting.", "Aborted!"
        assert ours[1][-1] == "jmpctl: nothing was done", ours
    # Only an unsafe or explicit answer says what may be loaded.
    said = any(question == ALLOW and answer for question, answer in dialogue) or " -a " in words
    assert files(commands.home / "config", said) == files(commands.home / "stock", said)


def test_the_stock_command_asks_so_at_a_terminal(answered, commands):
    """The rows above are told to it through a pipe; this is what a person sees."""
    words, dialogue, _ = ROWS[3]
    prepare(answered, commands.home / "stock", words)
    env = commands.env(JMP_CLIENT_CONFIG_HOME=str(commands.home / "stock"), COLUMNS="200")
    jmp = os.path.join(os.path.dirname(sys.executable), "jmp")
    with Terminal([jmp, "admin", *words.split(), "-n", "lab"], env=env, timeout=60) as terminal:
        for question, answer in dialogue:
            terminal.expect_exact(question)
            terminal.sendline(answer)
        assert terminal.wait() == 0


@pytest.mark.parametrize("words", ["create client c", "create exporter e -l a=b", "import client c", "delete client c"])
def test_without_a_terminal_nothing_is_asked(answered, commands, words):
    prepare(answered, commands.home / "config", words)
    before = files(commands.home / "config", True)
    done = commands.jmpctl("admin", *words.split(), "-n", "lab")
    assert done.code == 0, done.err
    assert "?" not in done.out + done.err
    if "import" not in words:
        assert files(commands.home / "config", True) == before


def test_ctrl_c_ends_it_at_a_question(answered, commands):
    prepare(answered, commands.home / "config", "create")
    with Terminal([commands.jmpctl_path, "admin", "create", "client", "c", "-n", "lab"], env=commands.env()) as terminal:
        terminal.expect_exact(SAVE)
        terminal.send("\x03")
        assert terminal.wait() == -2
    assert not (commands.home / "config" / "clients").exists()
