# SPDX-License-Identifier: Apache-2.0
"""An identity provider of the tests' own: discovery, and a token endpoint that knows refresh tokens by what a test says."""

import base64
import hashlib
import json
import threading
import time
import urllib.parse

from .kubernetes import ApiServer


def jwt(**claims):
    """Nobody who reads it here checks a signature."""
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                  for part in ({"alg": "none"}, claims))
    return f"{head}.{body}.c2ln"


class Provider:
    """`refresh`: the refresh token that is good now. Each use of it gives an access token, and another refresh token if `rotates`.
    `prescribed` is asked first: path -> what the server answers, (status, body)."""

    def __init__(self, authority=None):
        self.http = ApiServer(authority, "provider")
        self.issuer = f"{self.http.url}/realm"
        self.refresh, self.rotates, self.given = "first-refresh", True, 0
        self.access = None          # a function of the number of the token, or None
        self.token_given = None     # the last
        self.refresh_given = None   # always this one, if it is set
        self.prescribed = {}
        self.codes = {}             # given to browsers: what was asked for
        self.lab = {}               # what its login service says of a lab
        self.forms = []
        self._lock = threading.Lock()
        self.http.rules.append(self._answer)

    def token(self, **claims):
        return jwt(iss=self.issuer, **{"exp": int(time.time()) + 3600, "sub": "person", **claims})

    def _answer(self, request):
        with self._lock:
            if request.path in self.prescribed:
                return self.prescribed[request.path]
            if request.path == "/realm/.well-known/openid-configuration":
                return 200, {"issuer": self.issuer, "token_endpoint": f"{self.http.url}/token",
                             "authorization_endpoint": f"{self.http.url}/authorize"}
            if request.path == "/v1/auth/config":
                return 200, self.lab
            if request.path != "/token" or request.method != "POST":
                return 404, {}
            form = dict(urllib.parse.parse_qsl(request.raw.decode(), keep_blank_values=True, strict_parsing=True))
            self.forms.append(form)
            if not self._is_good(form):
                return 400, {"error": "invalid_grant", "error_description": "Token is not active"}
            self.given += 1
            self.token_given = self.access(self.given) if self.access else self.token(jti=self.given)
            answer = {"access_token": self.token_given,
                      "token_type": "Bearer", "expires_in": 3600}
            if self.refresh_given:
                answer["refresh_token"] = self.refresh_given
            elif self.rotates:
                self.refresh = answer["refresh_token"] = f"refresh-{self.given}~+/="
            return 200, answer

    def _is_good(self, form):
        grant = form.get("grant_type", "")
        if grant == "refresh_token":
            return form.get("refresh_token") == self.refresh
        if grant == "password":
            return (form.get("username"), form.get("password")) == ("person", "s3cret & more")
        if grant == "urn:ietf:params:oauth:grant-type:token-exchange":
            return form.get("subject_token") == "token-of-another"
        asked = self.codes.pop(form.get("code"), None)
        if grant != "authorization_code" or asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return False
        digest = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        return asked["code_challenge_method"] == "S256" and digest == asked["code_challenge"]

    def log_in(self, link):
        """What a browser does after the person has logged in: where it is sent."""
        parts = urllib.parse.urlsplit(link)
        assert link.startswith(f"{self.http.url}/authorize?"), link
        asked = dict(urllib.parse.parse_qsl(parts.query, strict_parsing=True))
        assert asked["response_type"] == "code" and asked["client_id"] and len(asked["state"]) >= 32, asked
        code = f"code {len(self.codes)} +/="
        self.codes[code] = asked
        return asked, f"{asked['redirect_uri']}?{urllib.parse.urlencode({'code': code, 'state': asked['state']})}"

    def close(self):
        self.http.close()
