# SPDX-License-Identifier: Apache-2.0
"""An identity provider of the tests' own: discovery, and a token endpoint that knows refresh tokens by what a test says."""

import base64
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
        self.prescribed = {}
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
                return 200, {"issuer": self.issuer, "token_endpoint": f"{self.http.url}/token"}
            if request.path != "/token" or request.method != "POST":
                return 404, {}
            form = dict(urllib.parse.parse_qsl(request.raw.decode(), keep_blank_values=True, strict_parsing=True))
            self.forms.append(form)
            if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self.refresh:
                return 400, {"error": "invalid_grant", "error_description": "Token is not active"}
            self.given += 1
            self.token_given = self.access(self.given) if self.access else self.token(jti=self.given)
            answer = {"access_token": self.token_given,
                      "token_type": "Bearer", "expires_in": 3600}
            if self.rotates:
                self.refresh = answer["refresh_token"] = f"refresh-{self.given}~+/="
            return 200, answer

    def close(self):
        self.http.close()
