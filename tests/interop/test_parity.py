# SPDX-License-Identifier: Apache-2.0
"""Leases and exporters on the command line: jmpctl beside the stock jmp, the same words at the same lab.

The stock commands run inside this process, for starting its interpreter costs a second each time. A row of a table is one
invocation of both. What is said of a
difference is the reason why it is wanted: "EXIT 1 2: why", "MORE: why", "STATUS: why", "WORDS": a sentence, compared elsewhere.
"""

import itertools
import json
import os
import re
import shutil

import pytest
import yaml
from harness import exporter as exporters
from harness.lab import Labd
from harness.place import BIN
from harness.program import Program, run, wait_until
from harness.stock import jmp
from harness.terminal import Terminal

EXPORTERS = {
    "pi-1": {"board": "rpi4", "rack": "a"},
    "pi-2": {"board": "rpi4", "rack": "b"},
    "pi-3": {"board": "rpi5", "rack": "a", "jumpstarter.dev/kind": "lab"},
    "x86": {"board": "x86"},
    "off": {"board": "rpi4", "rack": "z"},
}

numbers = itertools.count(1)


class Both:
    """A lab and two programs to look at it."""

    def __init__(self, place, build, names=("alice", "bob")):
        self.place, self.jmpctl = place, build / "ctl" / "jmpctl"
        self.labd = Labd(place, build)
        self.clients = {name: self.labd.create_client(name) for name in names}

    def stock(self, words, client="alice"):
        done = jmp(*words, "--client-config", self.clients[client], env=self.place.env)
        return done.status, done.out, done.err

    def ours(self, words, client="alice"):
        done = run([self.jmpctl, *words, "--client-config", self.clients[client]], env=self.place.env, timeout=30)
        return done.status, done.out, done.err

    def lease(self, *words, client="alice"):
        status, _, err = self.ours(["create", "lease", *words, "-o", "name"], client)
        assert status == 0, err


@pytest.fixture(scope="module")
def both(place, build):
    """Exporters that were never seen, and leases that wait for them."""
    both = Both(place, build)
    for name, labels in EXPORTERS.items():
        both.labd.create_exporter(name, labels)
    both.labd.admin("update", "exporter", "off", "--disable").ok()
    # None of them gets a board, so nothing changes while it is looked at.
    both.lease("-l", "board=rpi4", "--duration", "10m", "--lease-id", "wait-1", "--tag", "team=bsp")
    both.lease("-l", "board=rpi4,rack=a", "--duration", "1h", "--lease-id", "wait-2", "--tag", "team=bsp", "--tag", "nr=7")
    both.lease("-l", "board in (rpi4,rpi5)", "--duration", "1d", "--lease-id", "wait-3")
    both.lease("-n", "x86", "--duration", "90s", "--lease-id", "wait-4")
    both.lease("-l", "board=x86", "--duration", "2h", "--lease-id", "later", "--begin-time", "2099-01-02T03:04:05+00:00")
    both.lease("-l", "board=none", "--duration", "5m", "--lease-id", "never")
    both.lease("-l", "board=rpi5", "--duration", "30m", "--lease-id", "of-bob", client="bob")
    both.lease("-l", "board=rpi5", "--duration", "30m", "--lease-id", "ended")
    assert both.ours(["delete", "leases", "ended"])[0] == 0
    yield both
    both.labd.stop()


def fields(text):
    """A table without its padding."""
    return [re.split(r"\s{2,}|\t|(?<=\S) (?=\S)", line.strip()) for line in text.splitlines() if line.strip()]


def compare(both, words, reason="", client="alice", as_stock=None, as_ours=None):
    """Runs both, and holds exit status and output equal. @as_stock, @as_ours: words that differ for one of the two."""
    form = next((words[i + 1] for i, word in enumerate(words) if word in ("-o", "--output")), "table")
    theirs = both.stock(as_stock or words, client)
    ours = both.ours(as_ours or words, client)
    told = f"{' '.join(words)}\nstock {theirs}\nours  {ours}"
    wanted = re.match(r"EXIT (\d+) (\d+): ", reason)
    assert (theirs[0], ours[0]) == ((int(wanted[1]), int(wanted[2])) if wanted else (theirs[0], theirs[0])), told
    if theirs[0] or ours[0]:
        assert ours[0] == 0 or (ours[2] and not ours[1]), told
        return
    if form in ("json", "yaml"):
        load = json.loads if form == "json" else yaml.safe_load
        a, b = normal(load(theirs[1])), normal(load(ours[1]))
        if reason.startswith("STATUS"):
            assert all(e["status"] is None for e in a["exporters"]) and any(e["status"] for e in b["exporters"]), told
            for exporter in b["exporters"]:
                exporter["status"] = None
        if reason.startswith("MORE"):
            assert all(one in b["leases"] for one in a["leases"]), told
        else:
            assert a == b, f"{told}\n{a}\n{b}"
    elif reason.startswith("WORDS"):
        assert theirs[1] and ours[1], told
    elif reason.startswith("STATUS"):
        assert fields(swap(theirs[1])) == fields(re.sub("AVAILABLE|LEASE_READY", "UNKNOWN", swap(ours[1]))), told
    elif reason.startswith("MORE"):
        assert all(line in fields(ours[1]) for line in fields(swap(theirs[1])) if line[0] != "No" and line[0] != "NAME"), told
    else:
        assert fields(swap(theirs[1])) == fields(swap(ours[1])), told


def swap(text):
    """Without what differs by who made the object and by the moment."""
    text = re.sub(r"\b(stock|ours)-", "made-", text)
    text = re.sub(r"\b20[2-8]\d-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", text)
    return re.sub(r"\b(\d+d )?(\d+h )?\d+m( \d+s)?\b", "REMAINING", text)


def normal(value):
    if isinstance(value, dict):
        # The context of a lease is newer than the stock 0.9.0, which leaves it out.
        return {k: "now" if v is not None and k in ("seconds", "effective_duration") else normal(v)
                for k, v in value.items() if k != "context"}
    if isinstance(value, list):
        return [normal(v) for v in value]
    if isinstance(value, str) and re.match(r"^\d{4}-\d\d-\d\dT", value):
        return value[:16] if value.startswith("2099") else "now"
    return swap(value) if isinstance(value, str) else value



FORMS = ["", "-o json", "-o yaml", "-o name"]
SELECTORS = ["board=rpi4", "board==rpi4", "board!=rpi4", "board in (rpi4,rpi5)", "board in (rpi4)", "board notin (rpi4,x86)",
             "board", "!rack", "rack=a,board=rpi4", "jumpstarter.dev/kind=lab", "board=none", "board in (rpi5, x86)"]
NEWER = "MORE: a filter also finds leases whose equalities fulfil it, as newer clients have it; 0.9.0 wants the same words"
BAD_SELECTORS = ["board in", "board in (", "=rpi4", "board=a=b", "a b", "board in (a", "!", "board,,rack"]


class TestExporters:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("more", ["", "--with online", "--with status", "--with leases", "--with online,status,leases",
                                      "--with online --with status", "--allow-disabled", "--show-hidden-labels",
                                      "--allow-disabled --with status"])
    def test_all(self, both, more, form):
        compare(both, ["get", "exporters", *more.split(), *form.split()])

    @pytest.mark.parametrize("form", ["", "-o json"])
    @pytest.mark.parametrize("selector", SELECTORS)
    def test_selector(self, both, selector, form):
        compare(both, ["get", "exporters", "-l", selector, *form.split()])

    @pytest.mark.parametrize("selector", BAD_SELECTORS)
    def test_bad_selector(self, both, selector):
        compare(both, ["get", "exporters", "-l", selector])


class TestLeases:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("more", ["", "-a", "--all", "-A", "--all-clients", "-a -A", "--tag-filter team=bsp",
                                      "--tag-filter team=bsp,nr=7", "--tag-filter !team", "--tag-filter none=1"])
    def test_all(self, both, more, form):
        compare(both, ["get", "leases", *more.split(), *form.split()])

    @pytest.mark.parametrize("form", ["", "-o json"])
    @pytest.mark.parametrize("selector", SELECTORS)
    def test_selector(self, both, selector, form):
        compare(both, ["get", "leases", "-l", selector, *form.split()], NEWER if re.search(r"!|in |^board$", selector) else "")

    @pytest.mark.parametrize("words", ["-l a=b=c", "--tag-filter a=b=c", "--tag-filter a/b/c=1", "-o xml", "--none"])
    def test_mistakes(self, both, words):
        compare(both, ["get", "leases", *words.split()])

    @pytest.mark.parametrize("form", ["", "-o json"])
    def test_of_another(self, both, form):
        compare(both, ["get", "leases", *form.split()], client="bob")


class TestChanges:
    """Each makes, changes and deletes a lease of its own, whose name says whose it is."""

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("wish", [
        ["-l", "board=rpi4", "--duration", "10m"], ["-l", "board=rpi4", "--duration", "3600"],
        ["-l", "board=rpi4,rack=a", "--duration", "1d3h40m"], ["-l", "rack=a,board=rpi4", "--duration", "PT1H30M"],
        ["-l", "board==rpi4", "--duration", "01:30:00"], ["-l", "board!=rpi4", "--duration", "2 hours"],
        ["-l", "board in (rpi5,rpi4)", "--duration", "1m"], ["-n", "pi-1", "--duration", "5m"],
        ["-n", "off", "--duration", "5m", "--allow-disabled"], ["-n", "off", "--duration", "5m"],
        ["-n", "gone", "--duration", "5m"], ["-l", "board=none", "--duration", "5m"],
        ["-l", "board=rpi5", "-n", "pi-1", "--duration", "5m"],
        ["-l", "board=rpi4", "--duration", "5m", "--tag", "a=1", "--tag", "b="],
        ["-l", "board=rpi4", "--duration", "5m", "--begin-time", "2099-05-06T07:08:09+00:00"],
        ["-l", "board=rpi4", "--duration", "5m", "--begin-time", "2099-05-06T07:08:09"]],
        ids=lambda wish: " ".join(wish))
    def test_create_and_delete(self, both, wish, form):
        number = next(numbers)
        names = [f"{who}-{number}" for who in ("stock", "ours")]
        words = ["create", "lease", *wish, *form.split(), "--lease-id"]
        compare(both, [*words, "?"], as_stock=[*words, names[0]], as_ours=[*words, names[1]])
        compare(both, ["delete", "leases", "?"], as_stock=["delete", "leases", names[0]],
                as_ours=["delete", "leases", names[1]])

    @pytest.mark.parametrize("words", [
        "create lease --duration 5m", "create lease -l board=rpi4", "create lease -l board=rpi4 --duration 0",
        "create lease -l board=rpi4 --duration never",
        "create lease -l board=rpi4 --duration 5m --tag a", "create lease -l board=rpi4 --duration 5m --tag a/b=1",
        "create lease -l board=rpi4 --duration 5m --tag jumpstarter.dev/x=1",
        "create lease -l board=rpi4 --duration 5m --lease-id Upper", "create lease -l board=rpi4 --duration 5m --lease-id wait-1",
        "create lease -l board=rpi4,board=rpi5 --duration 5m", "create lease -l board>3 --duration 5m",
        "create lease -l board=rpi4 --duration 5m --begin-time soon", "create lease -l board=rpi4 --duration 5m -o xml",
        "create", "create nothing", "update lease", "update lease wait-1", "update lease gone --duration 5m",
        "update lease of-bob --duration 5m", "update lease wait-1 --duration never", "update lease wait-1 --to-client bob",
        "delete leases", "delete leases gone", "delete leases of-bob", "delete leases ended", "delete leases -l board=none-such",
        "get", "get nothing"])
    def test_mistakes(self, both, words):
        compare(both, words.split())

    def test_a_duration_below_zero(self, both):
        compare(both, ["create", "lease", "-l", "board=rpi4", "--duration", "-5m"],
                "EXIT 1 2: a mistake of usage, found without asking the controller")

    @pytest.mark.parametrize("form", FORMS)
    def test_update(self, both, form):
        number = next(numbers)
        for who in ("stock", "ours"):
            both.lease("-l", "board=rpi4", "--duration", "10m", "--lease-id", f"{who}-{number}")
        words = [["update", "lease", f"{who}-{number}", "--duration", "1h", *form.split()] for who in ("stock", "ours")]
        compare(both, ["update", "lease", "?", *form.split()], as_stock=words[0], as_ours=words[1])
        for who, run_it in (("stock", both.stock), ("ours", both.ours)):
            assert run_it(["delete", "leases", f"{who}-{number}", "-o", "name"])[:2] == (0, f"{who}-{number}\n")
            assert run_it(["delete", "leases", f"{who}-{number}"])[0] != 0


# What is typed, the last word being half done, and what may come there: names as the lab has them now.
COMPLETIONS = [
    ("get leases ", "later wait-1 wait-2 wait-3 wait-4"), ("get leases wait", "wait-1 wait-2 wait-3 wait-4"), ("ls l lat", "later"),
    ("delete leases wait-1 wait-2 wait-3", "wait-3"), ("update lease lat", "later"), ("shell --lease later", "later"),
    ("get leases of-bob", ""), ("get exporters pi", "pi-1 pi-2 pi-3"), ("get exporters pi-1 x", "x86"), ("get exporters nosuch", ""),
    ("create lease -n x", "x86"), ("create lease --duration 5m --name pi-", "pi-1 pi-2 pi-3"), ("shell -n pi-3", "pi-3"),
    ("get leases -o j", "json"), ("get exporters --with l", "leases"), ("get leases --pa", "--page-size"), ("get ex", "exporters"),
    ("update le", "leases lease"), ("config client us", "use"), ("auth r", "refresh rotate"), ("completion f", "fish"),
    ("get leases --client al", "alice"), ("config client use b", "bob"), ("config client delete ", "alice bob"),
]


class TestCompletion:
    @pytest.fixture(scope="class")
    def shells(self, both):
        """An environment in which jmpctl and the configurations are found by their names."""
        home = both.place.root / "completing"
        (home / "clients").mkdir(parents=True)
        for name, path in both.clients.items():
            (home / "clients" / f"{name}.yaml").write_bytes(path.read_bytes())
        run([both.jmpctl, "config", "client", "use", "alice"], env={**both.place.env, "JMP_CLIENT_CONFIG_HOME": str(home)}).ok()
        return {**both.place.env, "JMP_CLIENT_CONFIG_HOME": str(home), "HOME": str(home),
                "PATH": f"{both.jmpctl.parent}:{both.place.env['PATH']}"}

    @pytest.mark.parametrize("typed, offered", COMPLETIONS)
    def test_words(self, shells, typed, offered):
        done = run(["jmpctl", "complete", *typed.split(" ")], env=shells, timeout=30).ok()
        assert set(done.out.split()) <= set(offered.split()) and bool(done.out) == bool(offered), str(done)
        assert offered in ("leases lease", "") or set(done.out.split()) == set(offered.split()), str(done)

    def test_who_is_meant_may_be_said_anywhere(self, both, shells):
        for words in (["--client", "bob", "get", "leases", ""], ["get", "leases", "--client", "bob", ""],
                      ["delete", "leases", "--client-config", str(both.clients["bob"]), ""]):
            assert run(["jmpctl", "complete", *words], env=shells, timeout=30).ok().out == "of-bob\n", words

    def test_a_lab_that_is_away_is_not_waited_for(self, shells, both):
        path = both.place.file("away.yaml", both.clients["alice"].read_text().replace(both.labd.endpoint, "127.0.0.1:1"))
        done = run(["jmpctl", "complete", "--client-config", str(path), "get", "leases", ""], env=shells, timeout=20).ok()
        assert done.out == done.err == "", str(done)

    def test_bash(self, shells):
        script = 'source <(jmpctl completion bash); COMP_WORDS=(jmpctl delete lease wait-); COMP_CWORD=3; _jmpctl; echo "${COMPREPLY[@]}"'
        assert run(["bash", "-c", script], env=shells, timeout=30).ok().out == "wait-1 wait-2 wait-3 wait-4\n"

    def test_fish(self, shells):
        if not shutil.which("fish"):
            pytest.skip("apt-get install fish")
        script = 'jmpctl completion fish | source; complete -C "jmpctl get exporters pi-"'
        assert run(["fish", "--no-config", "-c", script], env=shells, timeout=30).ok().out.split() == ["pi-1", "pi-2", "pi-3"]

    def test_zsh(self, shells):
        if not shutil.which("zsh"):
            pytest.skip("apt-get install zsh")
        with Terminal(["zsh", "-f", "-i"], env={**shells, "TERM": "dumb", "PS1": "> "}, timeout=60) as terminal:
            terminal.sendline("autoload -U compinit && compinit -D -u && source <(jmpctl completion zsh) && echo rea''dy")
            terminal.expect_exact("ready")
            terminal.send("echo got jmpctl update lease lat\t")
            terminal.send("\x15jmpctl update lease lat\t")
            terminal.expect_exact("later")


# Other words for the same commands, and what a person gets wrong first.
class TestWords:
    @pytest.mark.parametrize("words", ["g exporters", "get exporter", "get exporters -o name", "g exporter -o json", "get lease", "g lease -o yaml",
                                       "get leases -A -o name", "conf client list", "auth status", "a get nosuch"])
    def test_aliases(self, both, words):
        if words.startswith(("conf", "a ")):      # no controller is asked
            theirs = jmp(*words.split(), env=both.place.env)
            assert theirs.status == run([both.jmpctl, *words.split()], env=both.place.env, timeout=30).status, str(theirs)
        else:
            compare(both, words.split(), "WORDS" if words.startswith("auth") else "")

    @pytest.mark.parametrize("words, same", [("ls exporters", "get exporters"), ("get e -o name", "get exporters -o name"),
                                             ("ls l -o yaml", "get leases -o yaml"), ("list leases", "get leases")])
    def test_words_that_only_we_know(self, both, words, same):
        compare(both, words.split(), "EXIT 2 0: one more way to say it")
        ours, theirs = both.ours(words.split()), both.ours(same.split())
        assert normal(ours[1]) == normal(theirs[1])

    @pytest.mark.parametrize("size", ["3", "1000"])
    @pytest.mark.parametrize("words", ["get exporters -o json", "get leases -a -A -o json", "get exporters --with leases -o name"])
    def test_pages_of_any_size_are_all_shown(self, both, words, size):
        """Stock 0.9.0 has no --page-size; what is shown does not depend on it."""
        compare(both, words.split(), as_ours=[*words.split(), "--page-size", size])

    @pytest.mark.parametrize("size", ["0", "-1", "1001", "x", "1.5"])
    def test_sizes_that_are_none(self, both, size):
        status, out, err = both.ours(["get", "leases", "--page-size", size])
        assert status == 2 and not out and "--page-size" in err

    @pytest.mark.parametrize("words", ["", "nosuch", "--nosuch", "get --nosuch", "get exporters extra words --nosuch", "config", "config client",
                                       "config nosuch", "auth", "auth nosuch", "create lease --nosuch", "delete", "update", "shell --nosuch",
                                       "version extra"])
    def test_mistakes(self, both, words):
        theirs = jmp(*words.split(), env=both.place.env)
        done = run([both.jmpctl, *words.split()], env=both.place.env, timeout=30)
        reason = DIFFERENT.get(words)
        assert (theirs.status, done.status) == (reason or (2, 2)), (str(theirs), str(done))
        assert not done.out and len(done.err.splitlines()) >= 1, str(done)

    @pytest.mark.parametrize("words", ["--help", "get --help", "get exporters --help", "get leases --help", "create --help", "create lease --help",
                                       "update lease --help", "delete leases --help", "config --help", "config client --help",
                                       "config client create --help", "config exporter list --help", "auth --help", "auth status --help",
                                       "auth refresh --help", "auth rotate --help", "shell --help", "completion --help", "version --help",
                                       "admin --help", "admin create client --help", "admin get lease --help", "admin rotate client --help"])
    def test_help(self, both, words):
        """Each option of the stock command is one of ours."""
        theirs = jmp(*words.split(), env=both.place.env)
        done = run([both.jmpctl, *words.split()], env=both.place.env, timeout=30)
        assert theirs.status == done.status == 0 and done.out.startswith("Usage: ") and not done.err, str(done)
        wanted = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]\b(?!-)", str(theirs))) - NOT_OURS
        assert wanted <= set(re.findall(r"--[a-z][a-z-]+", done.out)), (sorted(wanted - set(re.findall(r"--[a-z][a-z-]+", done.out))))

    def test_version(self, both):
        theirs = jmp("version", env=both.place.env)
        done = run([both.jmpctl, "version"], env=both.place.env, timeout=30).ok()
        assert theirs.status == 0 and re.fullmatch(r"jmpctl \d+\.\d+\.\d+\S*\n", done.out)
        for form, load in (("json", json.loads), ("yaml", yaml.safe_load)):
            theirs = load(jmp("version", "-o", form, env=both.place.env).out)
            document = load(run([both.jmpctl, "version", "-o", form], env=both.place.env, timeout=30).ok().out)
            # Of the stock one's two members Python's is none of ours.
            assert set(theirs) - {"pythonVersion"} == set(document) and f"jmpctl {document['gitVersion']}\n" == done.out


# (stock, ours)
DIFFERENT = {
    "nosuch": (2, 1),       # it may be a driver of a board, of which none is at hand
}
# Options that stand for something else here, and why.
NOT_OURS = {
    "--log-level",          # only exporters have a log here
    "--exporter",           # "jmp-agent run" serves one of this machine, "jmpctl --tls-grpc" talks to it
    "--exporter-config",
}


class Busy(Both):
    """Boards that are there: one has a lease, one is free, one was never seen."""

    def __init__(self, place, build):
        super().__init__(place, build, ("carol", "dave"))
        self.agents = []
        for name, labels in (("busy", {"board": "b", "nr": "1"}), ("free", {"board": "b", "nr": "2"}), ("never", {"board": "n"})):
            path = self.labd.create_exporter(name, labels)
            if name == "never":
                continue
            settings = {**yaml.safe_load(path.read_text()), "export": {"power": exporters.driver(exporters.POWER)}}
            full = place.file(f"run-{name}.yaml", yaml.safe_dump(settings, sort_keys=False))
            full.chmod(0o600)
            self.agents.append(exporters.start_controlled("native", place, build, full))
        self.wait(free=2)
        self.wait(busy=2)
        self.lease("-n", "busy", "--duration", "1h", "--lease-id", "held", "--tag", "why=parity", client="carol")
        self.lease("-n", "busy", "--duration", "2h", "--lease-id", "queued", client="dave")
        self.wait(busy=4)

    def stock(self, words, client="carol"):
        return super().stock(words, client)

    def ours(self, words, client="carol"):
        return super().ours(words, client)

    def wait(self, **wanted):
        """The status of a board, as a number: 2 available, 4 in use."""
        def there():
            listed = json.loads(self.ours(["get", "exporters", "--with", "status", "-o", "json"])[1])["exporters"]
            return all(e["status"] == wanted.get(e["name"], e["status"]) for e in listed)

        wait_until(there, 40, lambda: f"not {wanted}")

    def close(self):
        for agent in self.agents:
            agent.stop()
            agent.program.forget()
        self.labd.stop()


@pytest.fixture(scope="module")
def busy(place, build):
    busy = Busy(place, build)
    yield busy
    busy.close()


FORGETS = "STATUS: the stock client forgets the status of exporters when it joins them with leases"


class TestBusy:
    """Exporters that are online, and leases that have one."""

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("more", ["", "--with online", "--with status", "--with online,status", "--with leases",
                                      "--with leases,status", "-l nr=1 --with online,status", "-l nr --with leases"])
    def test_exporters(self, busy, more, form):
        reason = FORGETS if "leases,status" in more and form != "-o name" else ""
        compare(busy, ["get", "exporters", *more.split(), *form.split()], reason, client="carol")

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("more", ["", "-A", "-a", "--tag-filter why=parity", "-l board=b"])
    @pytest.mark.parametrize("client", ["carol", "dave"])
    def test_leases(self, busy, more, form, client):
        compare(busy, ["get", "leases", *more.split(), *form.split()], client=client)

    @pytest.mark.parametrize("form", FORMS)
    def test_a_lease_that_gets_its_board_at_once(self, busy, form):
        outputs = {}
        for who, run_it in (("stock", busy.stock), ("ours", busy.ours)):
            name = f"{who}-{next(numbers)}"
            status, out, err = run_it(["create", "lease", "-l", "nr=2", "--duration", "30m", "--lease-id", name, *form.split()])
            assert status == 0, (out, err)
            changed = run_it(["update", "lease", name, "--duration", "40m", *form.split()])
            assert changed[0] == 0, changed
            busy.wait(free=4)
            assert run_it(["delete", "leases", name, "-o", "name"])[:2] == (0, f"{name}\n")
            busy.wait(free=2)
            outputs[who] = [re.sub(r"(stock|ours)-\d+", "made", text) for text in (out, changed[1])]
        for theirs, ours in zip(outputs["stock"], outputs["ours"]):
            if "json" in form or "yaml" in form:
                load = json.loads if "json" in form else yaml.safe_load
                assert normal(load(theirs)) == normal(load(ours)), (theirs, ours)
            else:
                assert fields(swap(theirs)) == fields(swap(ours))

    @pytest.mark.parametrize("command, codes", [
        (["sh", "-c", 'test "$JMP_EXPORTER" = free && test -S "$JUMPSTARTER_HOST" && echo "$JMP_EXPORTER_LABELS" | grep -q nr=2 && exit 7'], (7, 7)),
        (["/nonexistent/program"], (1, 127))],      # 127 and 126 are what shells say, and later stock clients
        ids=["a command", "none"])
    def test_shell(self, busy, command, codes):
        """A command in a lease of its own; the lease is gone afterwards."""
        found = []
        for who in ("stock", "ours"):
            words = ["shell", "-l", "nr=2", "--duration", "10m"]
            config = ["--client-config", str(busy.clients["carol"])]
            done = run([BIN / "jmp" if who == "stock" else busy.jmpctl, *words, *config, "--", *command], env=busy.place.env, timeout=90)
            found.append(done.status)
            busy.wait(free=2)
            assert json.loads(busy.ours(["get", "leases", "-l", "nr=2", "-o", "json"])[1]) == {"leases": []}, str(done)
        assert found == list(codes)

    @pytest.mark.parametrize("words", ["update lease held --begin-time 2099-01-01T00:00:00 --duration 5m", "update lease held --to-client nobody",
                                       "update lease queued --to-client carol"])
    def test_mistakes(self, busy, words):
        compare(busy, words.split(), client="dave" if "queued" in words else "carol")

    def test_a_lease_is_handed_over_and_back(self, busy):
        assert busy.stock(["update", "lease", "held", "--to-client", "dave"])[0] == 0
        compare(busy, ["get", "leases", "-o", "json"], client="dave")
        assert busy.ours(["update", "lease", "held", "--to-client", "carol"], "dave")[0] == 0
        compare(busy, ["get", "leases", "-o", "json"], client="carol")

    def test_watch(self, busy):
        """The list comes again when it has changed, and only then; also when the lab was away for a while."""
        watch = Program([busy.jmpctl, "get", "leases", "--watch", "-o", "name", "--client-config", busy.clients["carol"]],
                        env=busy.place.env, name="jmpctl get leases --watch")
        watch.wait_line("^held$")
        busy.lease("-l", "board=n", "--duration", "1h", "--lease-id", "seen", client="carol")
        watch.wait_line("^seen$")
        busy.labd.stop()
        watch.wait_line("waiting for it")
        busy.labd.start(busy.labd.endpoint)
        assert busy.ours(["delete", "leases", "seen"])[0] == 0
        busy.lease("-l", "board=n", "--duration", "1h", "--lease-id", "again", client="carol")
        watch.wait_line("^again$")
        assert busy.ours(["delete", "leases", "again"])[0] == 0
        assert watch.stop() == 2
        watch.forget()
