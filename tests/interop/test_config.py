# SPDX-License-Identifier: Apache-2.0
"""Configuration files and tokens on the command line: jmpctl beside the stock jmp, each with a home of its own.

The rows are one story, told to both: what a row says is the exit status where they differ, and why.
"""

import json
import re
import stat
import termios
import urllib.error
import urllib.request

import pytest
import yaml
from click.testing import CliRunner
from harness.certificates import Authority
from harness.controller import ReferenceController
from harness.lab import Labd
from harness.oidc import Provider, jwt
from harness.program import Program, run, wait_until
from harness.stock import environment
from harness.terminal import Terminal
from jumpstarter.config.client import ClientConfigV1Alpha1
from jumpstarter.config.exporter import ExporterConfigV1Alpha1
from jumpstarter.config.user import UserConfigV1Alpha1
from jumpstarter_cli.jmp import jmp
from test_parity import fields

MADE = ["--namespace", "ns", "--name", "n", "--endpoint", "lab:8082", "--token", "tok"]


class Homes:
    """A directory for each of the two, under the same name in what they print."""

    def __init__(self, place, build):
        self.place, self.jmpctl = place, build / "ctl" / "jmpctl"
        self.theirs, self.ours = place.root / "stock-home", place.root / "our-home"
        for home in (self.theirs, self.ours):
            home.mkdir()

    def stock(self, words):
        """The stock client reads where its home is once, when it is imported."""
        with pytest.MonkeyPatch.context() as patch, environment(self.place.env):
            patch.setattr(ClientConfigV1Alpha1, "CLIENT_CONFIGS_PATH", self.theirs / "clients")
            patch.setattr(ExporterConfigV1Alpha1, "BASE_PATH", self.theirs / "exporters")
            patch.setattr(ExporterConfigV1Alpha1, "SYSTEM_CONFIG_PATH", self.theirs / "none")
            patch.setattr(UserConfigV1Alpha1, "BASE_CONFIG_PATH", self.theirs)
            patch.setattr(UserConfigV1Alpha1, "USER_CONFIG_PATH", self.theirs / "config.yaml")
            done = CliRunner().invoke(jmp, words)
        return done.exit_code, done.stdout.replace(str(self.theirs), "HOME"), done.stderr

    def run_ours(self, words, **env):
        done = run([self.jmpctl, *words], env={**self.place.env, "JMP_CLIENT_CONFIG_HOME": str(self.ours), **env}, timeout=30)
        return done.status, done.out.replace(str(self.ours), "HOME"), done.err


@pytest.fixture(scope="module")
def homes(place, build):
    return Homes(place, build)


def ordered(value):
    """Lists as they are told apart by their aliases: the stock client has them as its directory has."""
    if isinstance(value, dict) and isinstance(value.get("items"), list):
        return {**value, "items": sorted(value["items"], key=lambda item: item["alias"])}
    return value


def same(homes, words, statuses=None):
    theirs, ours = homes.stock(words), homes.run_ours(words)
    told = f"{' '.join(words)}\nstock {theirs}\nours  {ours}"
    assert (theirs[0], ours[0]) == (statuses or (theirs[0], theirs[0])), told
    if theirs[0] or ours[0]:
        assert ours[0] == 0 or (ours[2] and not ours[1]), told
        return
    form = words[words.index("-o") + 1] if "-o" in words else "table"
    if form in ("json", "yaml"):
        load = json.loads if form == "json" else yaml.safe_load
        assert ordered(load(theirs[1])) == ordered(load(ours[1])), told
    else:
        assert sorted(fields(theirs[1])) == sorted(fields(ours[1])), told


FORMS = [[], ["-o", "json"], ["-o", "yaml"], ["-o", "name"]]
USAGE = "a mistake of usage, found without asking"
CLIENT_STORY = [
    *((["list", *form], None) for form in FORMS if form),
    (["list"], None),
    (["create", "a", *MADE, "-a", "x.*,y", "-o", "path"], None),
    (["create", "yes", *MADE, "-a", "z", "--unsafe"], None),
    (["create", "a", *MADE, "-a", ""], None),
    (["create", "c", *MADE, "-a", "z", "-k", "--nointeractive"], None),
    (["create", "d", "--namespace", "ns"], (1, 2)),     # USAGE
    (["create"], None),
    (["create", "../up", *MADE, "-a", ""], (0, 1)),     # nothing is written outside of the directory
    *((["list", *form], None) for form in FORMS),
    (["list", "-o", "path"], (2, 0)),                   # one form more
    (["list", "-o", "xml"], None),
    (["use", "yes"], None),
    (["use", "yes", "-o", "path"], None),
    *((["list", *form], None) for form in FORMS),
    (["use", "nobody"], None),
    (["use"], None),
    (["delete", "c", "-o", "path"], None),
    (["delete", "nobody"], None),
    (["delete", "yes"], None),
    *((["list", *form], None) for form in FORMS),
    (["delete", "a"], None),
    (["list"], None),
]
EXPORTER_STORY = [
    *((["list", *form], None) for form in FORMS),
    (["create", *MADE, "-o", "path"], None),
    (["create", "e2", *MADE], None),
    (["create", "e2", *MADE], None),
    (["create", "e3", "--name", "x"], (1, 2)),          # USAGE
    *((["list", *form], None) for form in FORMS),
    (["edit", "e2"], None),
    (["edit", "nobody"], None),
    (["delete", "e2", "-o", "path"], None),
    (["delete", "e2"], None),
    (["delete"], None),
    (["delete"], None),
    (["list"], None),
]


def drop_parent(homes):
    for home in (homes.theirs, homes.ours):
        (home / "up.yaml").unlink(missing_ok=True)


class TestConfig:
    def test_clients(self, homes):
        for words, statuses in CLIENT_STORY:
            same(homes, ["config", "client", *words], statuses)
            drop_parent(homes)
        for home in (homes.theirs, homes.ours):
            assert yaml.safe_load((home / "config.yaml").read_text())["config"] == {"current-client": None}

    def test_exporters(self, homes):
        homes.place.env["EDITOR"] = "true"
        try:
            for words, statuses in EXPORTER_STORY:
                same(homes, ["config", "exporter", *words], statuses)
        finally:
            del homes.place.env["EDITOR"]

    def test_each_reads_what_the_other_wrote(self, homes):
        words = ["config", "client", "create", "mine", *MADE, "-a", "a.*"]
        assert homes.run_ours(words)[0] == 0 and homes.stock(words)[0] == 0
        name = "clients/mine.yaml"
        assert stat.S_IMODE((homes.ours / name).stat().st_mode) == 0o600
        (homes.ours / name).write_bytes((homes.theirs / name).read_bytes())
        homes.theirs, homes.ours = homes.ours, homes.theirs
        try:
            same(homes, ["config", "client", "list", "-o", "json"])
        finally:
            homes.theirs, homes.ours = homes.ours, homes.theirs
            for home in (homes.theirs, homes.ours):
                (home / name).unlink()

    def test_a_file_with_a_mistake_hides_no_other(self, homes):
        assert homes.run_ours(["config", "client", "create", "good", *MADE])[0] == 0
        (homes.ours / "clients" / "bad.yaml").write_text("a: [")
        status, out, err = homes.run_ours(["config", "client", "list"])
        assert status == 1 and "good" in out and "bad.yaml:2:1:" in err, (status, out, err)
        (homes.ours / "clients" / "bad.yaml").unlink()

    def test_an_edited_file_is_looked_at(self, homes):
        assert homes.run_ours(["config", "client", "create", "edited", *MADE])[0] == 0
        status, _, err = homes.run_ours(["config", "client", "edit", "edited"], EDITOR="sed -i s/^endpoint/endpont/")
        assert status == 1 and "endpont" in err and 'did you mean "endpoint"' in err, err
        status, _, err = homes.run_ours(["config", "client", "edit", "edited"], EDITOR="sed -i s/^token:.*/token:[/")
        assert status == 1 and "saved with mistakes" in err, err
        status, _, err = homes.run_ours(["config", "client", "edit", "edited"], EDITOR="false")
        assert status == 1 and "editor" in err, err

    def test_what_is_missing_is_asked_for_and_the_token_not_shown(self, homes):
        env = {**homes.place.env, "JMP_CLIENT_CONFIG_HOME": str(homes.ours)}
        with Terminal([homes.jmpctl, "config", "client", "create", "asked"], env=env) as terminal:
            attributes = termios.tcgetattr(terminal.child_fd)
            attributes[3] |= termios.ECHO
            termios.tcsetattr(terminal.child_fd, termios.TCSANOW, attributes)
            seen = b""
            for question, answer in (("Namespace: ", "ns"), ("Name in the lab: ", "me"), ("HOST:PORT: ", "lab:1"),
                                     ("hidden): ", "s3cret")):
                terminal.expect_exact(question)
                seen += terminal.before
                if answer == "s3cret":      # the question comes before the terminal is told
                    wait_until(lambda: not termios.tcgetattr(terminal.child_fd)[3] & termios.ECHO, 20, "it would be seen")
                terminal.send(answer + "\n")
            assert terminal.wait() == 0
            seen += terminal.before
            assert b"lab:1" in seen and b"s3cret" not in seen, seen
            assert termios.tcgetattr(terminal.child_fd)[3] & termios.ECHO, "the terminal is not as it was"
        made = yaml.safe_load((homes.ours / "clients" / "asked.yaml").read_text())
        assert (made["token"], made["endpoint"], made["metadata"]) == ("s3cret", "lab:1", {"namespace": "ns", "name": "me"})


NAME = {"client": "client.jumpstarter.dev/", "exporter": "exporter.jumpstarter.dev/", "lease": "lease.jumpstarter.dev/"}
# What is typed behind "jmpctl admin lab", the exit status, and what is said of it on either stream.
LAB_STORY = [
    ("get clients", 1, "there is no lab in"),
    ("create exporter first -o name", 0, f"^{NAME['exporter']}first\n$"),
    ("get clients", 0, r"No resources found in default namespace\."),
    ("get clients -o json", 0, r"\[\]"),
    ("delete exporter first", 0, "^$"),
    ("create client a -o name -l team=x --nointeractive", 0, r"client\.jumpstarter\.dev/a\n"),
    ("create client a", 1, r"already a client named a\n.*import client a"),
    ("create client b --out HOME/b.yaml -a p.*,q -a r -k", 0, r"wrote HOME/b\.yaml"),
    ("create client c --save --unsafe -o path", 0, r"HOME/clients/c\.yaml\n"),
    ("create client d --save --out HOME/d.yaml", 1, "exclude each other"),
    ("create client d -o path", 1, "no file whose path"),
    ("create client Bad_Name", 1, "is no name"),
    ("create client d -l novalue", 1, "novalue"),
    ("create client d --oidc-username u", 2, "no identity provider"),
    ("create client", 2, "exactly one name"),
    ("create client x y", 2, "exactly one name"),
    ("c e board -l kind=pi -o yaml", 0, r"name: board\nlabels:\n  kind: pi\nenabled: true"),
    ("create exporter board2 --out HOME/board2.yaml -o json", 0, r'"name": "board2"'),
    ("create lease x -l a=b", 2, "made by the client who wants it"),
    ("get clients", 0, r"NAME +LABELS +CREATED\na +team=x +\d{4}-.*\nb +\d.*\nc +\d"),
    ("get client a", 0, r"\na +team=x"),
    ("ls client a -o json", 0, r'^\{\n  "name": "a"'),
    ("list clients -o name", 0, "".join(f"{NAME['client']}{name}\n" for name in "abc")),
    ("g c b -o yaml", 0, r"^name: b\n"),
    ("get client nobody", 1, "no client named nobody"),
    ("get client a b", 2, "at most one name"),
    ("get client -o path", 2, "path"),
    ("get exporters", 0, r"NAME +STATUS +ENABLED +DEVICES +LAST SEEN +LABELS\nboard +NeverSeen +yes"),
    ("get exporter board -o json", 0, r'"kind": "pi"'),
    ("get e -o name", 0, f"{NAME['exporter']}board\n{NAME['exporter']}board2\n"),
    ("update exporter board --disable -l rack=1 --remove-label kind", 0, ""),
    ("get exporter board -o yaml", 0, r"labels:\n  rack: '1'\nenabled: false"),
    ("update exporter nobody --disable", 1, "no exporter named nobody"),
    ("update client a", 2, "nothing of a client can be changed"),
    ("update lease x", 2, "changed by the client who holds it"),
    ("import client a", 0, r"wrote HOME/clients/a\.yaml"),
    ("import client a", 1, r"HOME/clients/a\.yaml exists already"),
    ("import client a --force -o path", 0, r"HOME/clients/a\.yaml\n"),
    ("import client a --out HOME/a.yaml -o name", 0, f"{NAME['client']}a\n"),
    ("import client nobody", 1, "no client named nobody"),
    ("import exporter board --out HOME/e.yaml", 0, r"wrote HOME/e\.yaml"),
    ("import exporter", 1, "no exporter named default"),
    ("import lease x", 2, "no configuration that could be saved"),
    ("rotate client c -s", 0, r"wrote HOME/clients/c\.yaml"),
    ("rotate client b --out HOME/b.yaml", 1, "exists already"),
    ("rotate client b --out HOME/b.yaml --force -o name", 0, f"{NAME['client']}b\n"),
    ("rotate client b", 0, r"^apiVersion: .*\nkind: ClientConfig"),
    ("rotate client nobody", 1, "no client named nobody"),
    ("rotate exporter board", 0, r"kind: ExporterConfig"),
    ("rotate lease x", 2, "a lease has no token"),
    ("get leases", 0, r"No resources found in default namespace\."),
    ("delete lease x", 1, "no lease named x"),
    ("delete exporter board2 -o name", 0, f"^{NAME['exporter']}board2\n$"),
    ("delete exporter board2", 1, "no exporter named board2"),
    ("rm client a -d -o name", 0, f"{NAME['client']}a\n"),
    ("delete client c -d --nointeractive", 0, ""),
    ("delete client nobody", 1, "no client named nobody"),
    ("delete client b -o json", 2, "json"),
    ("delete client", 2, "exactly one name"),
    ("get", 2, "a client, an exporter or a lease|A client, an exporter or a lease"),
    ("creat client x", 2, "did you mean create client"),
    ("help", 0, "import client"),
    ("get clients --help", 0, "--output"),
]


class TestLab:
    def test_the_verbs_of_admin_on_a_lab_without_kubernetes(self, homes, build):
        """One story, each verb with each kind; what makes no sense says so in a sentence."""
        data = homes.place.root / "admin-lab"
        path = {"PATH": f"{build / 'labd'}:{homes.place.env['PATH']}"}
        home = homes.ours / "admin"
        home.mkdir()
        path["JMP_CLIENT_CONFIG_HOME"] = str(home)
        for words, status, said in LAB_STORY:
            typed = [word.replace("HOME", str(home)) for word in words.split()]
            options = [] if typed[-1] in ("help", "get", "--help") or typed[1:2] == ["lease"] and status == 2 else ["--data-dir", str(data)]
            done = homes.run_ours(["admin", "lab", *typed, *options], **path)
            text = (done[1] + done[2]).replace("HOME/admin", "HOME").replace(str(home), "HOME")
            assert done[0] == status and re.search(said, text), (words, done)
            assert status != 2 or not done[1], (words, done)
        b = yaml.safe_load((home / "b.yaml").read_text())
        assert b["drivers"]["allow"] == ["jumpstarter_driver_*", "jumpstarter.client.*"] and not b["tls"]["insecure"]    # written anew
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in home.rglob("*.yaml"))
        assert not list((home / "clients").iterdir())
        assert yaml.safe_load((home / "config.yaml").read_text())["config"] == {"current-client": None}

    def test_where_there_is_no_lab_it_says_so(self, homes):
        done = run(["env", "PATH=/nonexistent", homes.jmpctl, "admin", "lab", "get", "clients"], env=homes.place.env, timeout=30)
        assert done.status == 1 and not done.out, str(done)
        assert "jmp-labd cannot be started" in done.err and "on which it runs" in done.err, str(done)


class TestAuth:
    @pytest.mark.parametrize("form", [[], ["-v"]])
    @pytest.mark.parametrize("claims, statuses", [
        ({"exp": 1700000000, "sub": "me", "iss": "https://i", "iat": 1600000000, "auth_time": 1600000001}, None),
        ({"exp": 4000000000, "sub": "ä?>~", "iat": 1600000000}, None),
        ({"exp": 4000000000}, None), ({"exp": 0}, None)])
    def test_status(self, homes, claims, statuses, form):
        for home in (homes.theirs, homes.ours):
            (home / "clients").mkdir(exist_ok=True)
            (home / "clients" / "auth.yaml").write_text(yaml.safe_dump({
                "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ClientConfig", "metadata": {"namespace": "n", "name": "n"},
                "endpoint": "lab:1", "token": jwt(**claims), "drivers": {"allow": [], "unsafe": False}}))
            (home / "clients" / "auth.yaml").chmod(0o600)
        theirs = homes.stock(["auth", "status", *form, "--client-config", str(homes.theirs / "clients" / "auth.yaml")])
        ours = homes.run_ours(["auth", "status", *form, "--client", "auth"])
        assert theirs[0] == ours[0] == 0, (theirs, ours)
        # The advice is another. The stock command says nothing at all of a token without an expiry.
        lines = [[re.sub(r"\d+h \d+m", "SPAN", line) for line in out.splitlines()
                  if not line.startswith(("Run 'jmp login'", "Ask for a new one"))] for out in (theirs[1], ours[1])]
        assert lines[0] == lines[1], (theirs, ours)

    @pytest.mark.parametrize("text", ["", "opaque", "a.b", "a.b.c", "a.e30.c.d", "a.W10.c"])
    def test_a_token_that_says_nothing_is_an_error(self, homes, text):
        path = homes.place.file("opaque.yaml", f"metadata: {{namespace: n, name: n}}\nendpoint: lab:1\ntoken: '{text}'\n")
        path.chmod(0o600)
        status, out, err = homes.run_ours(["auth", "status", "--client-config", str(path)])
        assert status == 1 and not out and "token" in err and "opaque'" not in err, (status, out, err)

    def test_rotate(self, homes, build):
        """A new token in the same file, with which both go on; the old one is still good."""
        labd = Labd(homes.place, build)
        try:
            for who, home in (("stock", homes.theirs), ("ours", homes.ours)):
                path = home / "clients" / "rotate.yaml"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(labd.create_client(f"rotate-{who}").read_bytes())
                path.chmod(0o600)
                before = yaml.safe_load(path.read_text())
                words = ["auth", "rotate", "--client", "rotate"]
                status, out, err = homes.stock(words) if who == "stock" else homes.run_ours(words)
                assert status == 0 and re.match(r"Token rotated\. New expiry: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(87\d\dh \d+m remaining\)\n$",
                                                out), (status, out, err)
                after = yaml.safe_load(path.read_text())
                assert after["token"] != before["token"], "the token is the old one"
                assert all(after[key] == value for key, value in before.items() if key != "token"), after
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                old = homes.place.file("old.yaml", yaml.safe_dump(before))
                for config in (path, old):
                    assert homes.run_ours(["get", "leases", "--client-config", str(config)])[0] == 0
            status, out, err = homes.run_ours(["auth", "rotate", "-o", "json", "--client-config", str(path)])
            assert status == 0 and json.loads(out)["status"] == "valid", (out, err)
        finally:
            labd.stop()


@pytest.fixture(scope="module")
def authority(place):
    directory = place.root / "provider-ca"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
def provider(authority):
    provider = Provider(authority)
    yield provider
    provider.close()


TOKEN, DISCOVERY = "/token", "/realm/.well-known/openid-configuration"
# What the provider answers, and what is said of it.
REFUSALS = [
    (DISCOVERY, (404, b"nothing"), "answers with status 404"),
    (DISCOVERY, (200, b"<html>"), "does not answer with a JSON object"),
    (DISCOVERY, (200, []), "does not answer with a JSON object"),
    (DISCOVERY, (200, {}), "is of another issuer"),
    (DISCOVERY, (200, {"issuer": "https://evil.example", "token_endpoint": "https://evil.example"}), "is of another issuer"),
    (DISCOVERY, (200, {"issuer": "ISSUER"}), "names no token endpoint"),
    (DISCOVERY, (200, {"issuer": "ISSUER", "token_endpoint": "http://127.0.0.1:1/"}), "names no token endpoint that can be trusted"),
    (DISCOVERY, (200, {"issuer": "ISSUER/", "token_endpoint": "https://127.0.0.1:1/"}), "https://127.0.0.1:1/: "),
    (DISCOVERY, (302, b"", {"Location": "https://evil.example"}), "answers with status 302"),
    (TOKEN, (400, {"error": "invalid_grant", "error_description": "Token is not active"}), "refuses: invalid_grant: Token is not active"),
    (TOKEN, (401, {"error": "unauthorized_client"}), "refuses: unauthorized_client"),
    (TOKEN, (500, b"<html>"), "answers with status 500"),
    (TOKEN, (200, b"{"), "does not answer with a JSON object"),
    (TOKEN, (200, {}), "gives no token"),
    (TOKEN, (200, {"access_token": ""}), "gives no token"),
    (TOKEN, (200, {"access_token": ["x"]}), "gives no token"),
    (TOKEN, (200, {"access_token": "two\nlines"}), "gives no token"),
    (TOKEN, (200, {"access_token": "x" * 20000}), "gives no token"),
    (TOKEN, (200, {"access_token": "x", "refresh_token": "a b"}), "gives no token"),
    (TOKEN, (200, {"access_token": "x", "more": "y" * 300000}), "does not answer with a JSON object"),
]


class TestRefresh:
    """Tokens of an identity provider: refreshed when it is asked for, and by themselves once they have expired."""

    def write(self, homes, provider, name="oidc", **more):
        for home in (homes.theirs, homes.ours):
            path = home / "clients" / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(yaml.safe_dump({
                "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ClientConfig", "metadata": {"namespace": "n", "name": "n"},
                "endpoint": "lab:1", "token": provider.token(exp=1), "refresh_token": provider.refresh,
                "drivers": {"allow": ["mine"], "unsafe": False}, **more}))
            path.chmod(0o600)
        return path

    def trusting(self, homes, authority):
        return {"SSL_CERT_FILE": str(authority.path)}

    @pytest.mark.parametrize("rotates", [True, False])
    def test_refresh_beside_the_stock_command(self, homes, provider, authority, rotates):
        provider.rotates = rotates
        provider.refresh = "a refresh&token=with+everything~".replace(" ", "_")
        path = self.write(homes, provider)
        before = yaml.safe_load(path.read_text())
        status, out, err = homes.run_ours(["auth", "refresh", "--client", "oidc"], **self.trusting(homes, authority))
        assert status == 0 and re.match(r"Access token refreshed\. New expiry: .* UTC \((59m \d+s|1h 0m) remaining\)\n$", out), (out, err)
        after = yaml.safe_load(path.read_text())
        assert after == {**before, "token": provider.token_given, "refresh_token": provider.refresh}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        theirs = homes.theirs / "clients" / "oidc.yaml"
        theirs.write_text(path.read_text())     # both rotate the same one
        homes.place.env.update(self.trusting(homes, authority))
        try:
            status, out, err = homes.stock(["auth", "refresh", "--client-config", str(theirs)])
        finally:
            del homes.place.env["SSL_CERT_FILE"]
        assert status == 0 and out == "Access token refreshed.\n", (out, err)
        saved = yaml.safe_load(theirs.read_text())
        assert (saved["token"], saved["refresh_token"]) == (provider.token_given, provider.refresh)
        # The stock command names scopes as well; without them they are those of the first time.
        forms = [{key: value for key, value in form.items() if key != "scope"} for form in provider.forms]
        assert [set(form) for form in forms] == [{"grant_type", "refresh_token", "client_id"}] * 2
        assert forms[0]["grant_type"] == forms[1]["grant_type"] == "refresh_token"
        assert forms[0]["client_id"] == forms[1]["client_id"] == "jumpstarter-cli"

    @pytest.mark.parametrize("path, answer, said", REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
    def test_what_a_provider_may_answer(self, homes, provider, authority, path, answer, said):
        config = self.write(homes, provider)
        before = config.read_text()
        if isinstance(answer[1], dict):
            answer = (answer[0], json.loads(json.dumps(answer[1]).replace("ISSUER", provider.issuer)))
        provider.prescribed[path] = answer
        status, out, err = homes.run_ours(["auth", "refresh", "--client", "oidc"], **self.trusting(homes, authority))
        assert status == 1 and not out and said in err, (out, err)
        assert config.read_text() == before
        for secret in (provider.refresh, yaml.safe_load(before)["token"]):
            assert secret not in err

    def test_its_certificate_is_checked(self, homes, provider):
        self.write(homes, provider)
        status, out, err = homes.run_ours(["auth", "refresh", "--client", "oidc"])
        assert status == 1 and "certificate" in err and "SSL_CERT_FILE=FILE" in err and not provider.forms, (out, err)
        status, out, err = homes.run_ours(["auth", "refresh", "--client", "oidc", "-k", "-o", "json"])
        assert status == 0 and json.loads(out)["status"] == "valid", (out, err)

    @pytest.mark.parametrize("change, said", [
        ({"refresh_token": None}, "holds no refresh token"), ({"token": None}, "holds no token"),
        ({"token": "opaque"}, "cannot be refreshed"), ({"token": jwt(sub="x")}, "does not say who gave it"),
        ({"token": jwt(iss="ftp://x")}, "no URL of an identity provider|ftp"), ({"token": jwt(iss="https://127.0.0.1:1")}, "127.0.0.1:1")])
    def test_what_cannot_be_refreshed(self, homes, provider, change, said):
        self.write(homes, provider, **change)
        status, out, err = homes.run_ours(["auth", "refresh", "--client", "oidc"])
        assert status == 1 and not out and re.search(said, err), (out, err)

    def test_an_expired_token_is_renewed_once_and_the_call_made_again(self, homes, place, provider, authority):
        controller = ReferenceController(place)
        try:
            old = provider.token(exp=1)
            controller.expired.add(old)

            def access(number):
                new = provider.token(jti=f"for the lab {number}")
                controller.tokens[new] = ("Client", "alice")
                return new

            provider.access = access
            made = yaml.safe_load(controller.create_client("alice").read_text())
            more = {key: made[key] for key in ("metadata", "endpoint", "tls")}
            path = self.write(homes, provider, token=old, **more)
            trusting = self.trusting(homes, authority)
            status, out, err = homes.run_ours(["get", "exporters", "--with", "leases", "-o", "json", "--client", "oidc"], **trusting)
            assert status == 0 and json.loads(out) == {"exporters": []} and not err, (out, err)
            assert len(provider.forms) == 1
            after = yaml.safe_load(path.read_text())
            assert (after["token"], after["refresh_token"]) == (provider.token_given, provider.refresh)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

            theirs = homes.theirs / "clients" / "oidc.yaml"
            theirs.write_text(yaml.safe_dump({**after, "token": old}))
            homes.place.env.update(trusting)
            try:
                status, out, err = homes.stock(["get", "leases", "--client-config", str(theirs)])
            finally:
                del homes.place.env["SSL_CERT_FILE"]
            # It says that the session was renewed and wants the command once more; ours has done it already.
            assert len(provider.forms) == 2 and yaml.safe_load(theirs.read_text())["token"] == provider.token_given, (status, out, err)

            provider.refresh = "another"
            path.write_text(yaml.safe_dump({**after, "token": old}))
            status, out, err = homes.run_ours(["get", "leases", "--client", "oidc"], **trusting)
            assert status == 1 and not out, (status, out)
            assert "warning: the identity provider refuses: invalid_grant" in err and "token is expired" in err and "jmpctl login" in err, err
            assert after["refresh_token"] not in err and old not in err
        finally:
            controller.stop()


def fetch(url):
    """(status, text), as a browser that comes back."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class TestLogin:
    """jmpctl login beside jmp login: the same questions to the provider, the same files."""

    LAB = ["--namespace", "ns", "--name", "me", "--endpoint", "lab:1", "--allow", "a.*,b"]
    PASSWORD = ["--username", "person", "--password", "s3cret & more"]
    TOKEN = ["--token", "token-of-another", "--connector-id", "ci"]

    def both(self, homes, provider, authority, words, alias):
        trusting = {"SSL_CERT_FILE": str(authority.path)}
        homes.place.env.update(trusting)
        try:
            theirs = homes.stock(["login", *words, "--nointeractive"])
        finally:
            del homes.place.env["SSL_CERT_FILE"]
        forms = provider.forms[:]
        provider.forms.clear()
        ours = homes.run_ours(["login", *words, "--nointeractive"], **trusting)
        assert theirs[0] == ours[0] == 0, (theirs, ours)
        assert forms == provider.forms and len(forms) == 1
        configs = []
        for home in (homes.theirs, homes.ours):
            path = home / "clients" / f"{alias}.yaml"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            config = yaml.safe_load(path.read_text())
            assert config.pop("token") and (config.pop("refresh_token") == "opaque-refresh") == provider.rotates
            # The stock command makes one empty pattern of none.
            config["drivers"]["allow"] = [pattern for pattern in config["drivers"]["allow"] if pattern]
            configs.append({key: config[key] for key in ("apiVersion", "kind", "metadata", "endpoint", "tls", "drivers")})
            assert yaml.safe_load((home / "config.yaml").read_text())["config"]["current-client"] == alias
        assert configs[0] == configs[1]
        return theirs[1], ours[1]

    @pytest.mark.parametrize("grant", [PASSWORD, TOKEN], ids=["password", "token"])
    @pytest.mark.parametrize("more", [[], ["--no-offline-access"], ["--client-id", "another"]], ids=" ".join)
    def test_by_options(self, homes, provider, authority, grant, more):
        provider.refresh_given = "opaque-refresh"
        alias = f"by-{len(grant[1])}-{len(more)}"
        theirs, ours = self.both(homes, provider, authority,
                                 ["--issuer", provider.issuer, *self.LAB, *grant, *more, "--client", alias], alias)
        assert theirs == ours == f"Set '{alias}' as the default client.\n"

    @pytest.mark.parametrize("more", [{}, {"caBundle": "UEVNCg=="}], ids=["plain", "with an authority"])
    def test_what_the_lab_tells(self, homes, provider, authority, more):
        provider.refresh_given = "opaque-refresh"
        provider.lab = {"grpcEndpoint": "grpc.lab:443", "namespace": "told", "oidc": [{"issuer": provider.issuer, "clientId": "told-id"}], **more}
        host = provider.http.url.removeprefix("https://")
        alias = f"told-{len(more)}"
        theirs, ours = self.both(homes, provider, authority, [f"{alias}@{host}", "--unsafe", *self.PASSWORD], alias)
        assert theirs == ours
        assert provider.forms[0]["client_id"] == "told-id"

    @pytest.mark.parametrize("answer, said", [
        ((404, b""), "status 404"), ((200, b"{"), "JSON"), ((200, {}), "tells no grpcEndpoint"), ((200, {"grpcEndpoint": 5}), "tells no grpcEndpoint"),
        ((200, {"grpcEndpoint": "x:1", "oidc": "nonsense"}), "--namespace is missing")])
    def test_a_login_service_that_is_none(self, homes, provider, authority, answer, said):
        provider.prescribed["/v1/auth/config"] = answer
        status, out, err = homes.run_ours(["login", provider.http.url.removeprefix("https://"), "--nointeractive", "--client", "none"],
                                          SSL_CERT_FILE=str(authority.path))
        assert status in (1, 2) and said in err and not (homes.ours / "clients" / "none.yaml").exists(), (out, err)

    @pytest.mark.parametrize("words, said", [
        (["@host"], "is not [CLIENT@]HOST"), (["me@"], "is not [CLIENT@]HOST"), (["http://host"], "--insecure-tls (-k) allows it"),
        (["--client", "new"], "--namespace is missing"), (["--client", "new", *LAB], "--issuer is missing"),
        (["--client", "new", *LAB, "--issuer", "https://i"], "--token, or --username and --password, is missing"),
        (["--client", "new", *LAB, "--issuer", "https://i", "--username", "u"], "--password is missing"),
        (["--client", "a", "--client-config", "b"], "exclude each other"), (["--callback-port", "70000"], "callback-port"),
        (["a", "b"], "one word too many")])
    def test_what_is_missing(self, homes, words, said):
        status, out, err = homes.run_ours(["login", *words, "--nointeractive"])
        assert status == 2 and said in err and not (homes.ours / "clients" / "new.yaml").exists(), (out, err)

    def test_a_wrong_password_is_refused_and_not_repeated(self, homes, provider, authority):
        status, out, err = homes.run_ours(["login", "--client", "new", *self.LAB, "--issuer", provider.issuer, "--nointeractive",
                                           "--username", "person", "--password", "wr0ng"], SSL_CERT_FILE=str(authority.path))
        assert status == 1 and "refuses: invalid_grant" in err and "wr0ng" not in out + err, (out, err)
        assert not (homes.ours / "clients" / "new.yaml").exists()

    def test_a_client_that_is_there_keeps_all_but_its_tokens(self, homes, provider, authority):
        path = TestRefresh().write(homes, provider, "again")
        before = yaml.safe_load(path.read_text())
        status, out, err = homes.run_ours(["login", "--client", "again", "--nointeractive"], SSL_CERT_FILE=str(authority.path))
        assert status == 0 and out.startswith("Refreshed access token using stored refresh token."), (out, err)
        assert yaml.safe_load(path.read_text()) == {**before, "token": provider.token_given, "refresh_token": provider.refresh}

    def browse(self, homes, provider, authority, *more):
        env = {**homes.place.env, "JMP_CLIENT_CONFIG_HOME": str(homes.ours), "SSL_CERT_FILE": str(authority.path)}
        program = Program([homes.jmpctl, "login", "--client", "browsed", "--issuer", provider.issuer, *self.LAB, *more], env=env,
                          name="jmpctl login")
        return program, program.wait_line(r"Please open the URL in browser: +(\S+)$")[1]

    def test_with_a_browser(self, homes, provider, authority):
        program, link = self.browse(homes, provider, authority)
        asked, back = provider.log_in(link)
        assert asked["scope"] == "openid profile offline_access" and asked["client_id"] == "jumpstarter-cli"
        where = asked["redirect_uri"]
        assert fetch(where.replace("/callback", "/favicon.ico"))[0] == 404
        assert fetch(where)[0] == 400                                                   # nothing of it
        assert fetch(back.replace(asked["state"], asked["state"][::-1]))[0] == 400      # not the login that was begun
        assert fetch(f"{where}?state={asked['state']}")[0] == 400                       # no code
        status, text = fetch(back)
        assert status == 200 and "Login successful" in text
        assert program.wait(20) == 0, program.tail()
        program.forget()
        config = yaml.safe_load((homes.ours / "clients" / "browsed.yaml").read_text())
        assert (config["token"], config["refresh_token"]) == (provider.token_given, provider.refresh)
        assert provider.token_given not in program.tail()
        (homes.ours / "clients" / "browsed.yaml").unlink()

    def test_a_browser_that_is_refused(self, homes, provider, authority):
        program, link = self.browse(homes, provider, authority, "--no-offline-access")
        asked, _ = provider.log_in(link)
        assert asked["scope"] == "openid profile"
        assert fetch(f"{asked['redirect_uri']}?error=access_denied&error_description=not+you&state={asked['state']}")[0] == 200
        assert program.wait(20) == 1 and "refuses: access_denied: not you" in program.tail()
        program.forget()
        assert not (homes.ours / "clients" / "browsed.yaml").exists()

    def test_ctrl_c_ends_the_wait_for_a_browser(self, homes, provider, authority):
        program, _ = self.browse(homes, provider, authority)
        program.process.send_signal(2)
        assert program.wait(20) == -2, program.tail()
        program.forget()

    def test_the_password_is_asked_for_and_not_shown(self, homes, provider, authority):
        env = {**homes.place.env, "JMP_CLIENT_CONFIG_HOME": str(homes.ours), "SSL_CERT_FILE": str(authority.path)}
        with Terminal([homes.jmpctl, "login", "--client", "typed", "--issuer", provider.issuer, "--username", "person"], env=env) as terminal:
            for question, answer in (("exporter namespace: ", "ns"), ("exporter name: ", "me"), ("service endpoint: ", "lab:1"),
                                     ("imports? [y/N]: ", "n"), ("(optional) []: ", "x.*"), ("Password (hidden): ", "s3cret & more")):
                terminal.expect_exact(question)
                terminal.sendline(answer)
            terminal.expect_exact("Set 'typed' as the default client.")
            assert terminal.wait() == 0
        config = yaml.safe_load((homes.ours / "clients" / "typed.yaml").read_text())
        assert (config["metadata"], config["drivers"]["allow"]) == ({"namespace": "ns", "name": "me"}, ["x.*"])
