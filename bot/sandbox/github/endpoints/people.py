"""People, teams and Apps (https://docs.github.com/en/rest/users, /collaborators, /teams, /apps)."""

from __future__ import annotations

import secrets
from datetime import timedelta

from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import stamp
from bot.sandbox.github.state import Token


@route("GET", "/user")
def user(call: Call) -> Answer:
    if call.actor and call.actor.app:
        raise ApiError(403, "Resource not accessible by integration")
    return 200, call.house.shapes.full_user(call.login)


@route("GET", "/app")
def app(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None:
        raise ApiError(401, "A JSON web token could not be decoded")
    return 200, call.house.shapes.app(call.actor.app)


@route("POST", "/app-manifests/{code}/conversions")
def made_of_a_manifest(call: Call) -> Answer:
    made = call.world.app_codes.pop(call.args[0], None)
    if made is None:
        raise ApiError(404, "Not Found")
    secret = {"client_id": f"Iv1.{made.id}", "client_secret": secrets.token_hex(20)}
    return 201, {
        **call.house.shapes.app(made),
        **secret,
        "webhook_secret": made.webhook_secret,
        "pem": made.private_key_pem,
    }


@route("GET", "/repos/{owner}/{repo}/installation")
def installation(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None or call.actor.app not in call.at.apps:
        raise ApiError(404, "Not Found")
    return 200, call.house.shapes.installation(call.at, call.actor.app)


@route("POST", "/app/installations/{id}/access_tokens")
def access_token(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None or call.actor.app.id * 10 != int(call.args[0]):
        raise ApiError(404, "Not Found")
    text = f"ghs_{secrets.token_hex(18)}"
    expires = call.world.clock() + timedelta(hours=1)
    call.world.tokens[text] = Token(call.actor.app.login, call.actor.app, expires)
    return 201, {"token": text, "expires_at": stamp(expires), "permissions": {}, "repository_selection": "selected"}


@route("GET", "/repos/{owner}/{repo}/collaborators/{login}/permission")
def permission(call: Call) -> Answer:
    role = call.at.collaborators.get(call.args[0])
    shown = {"triage": "read", "maintain": "write", None: "none" if call.at.private else "read"}.get(role, role)
    return 200, {
        "permission": shown,
        "role_name": role or shown,
        "user": {**call.house.shapes.user(call.args[0]), "role_name": role or shown},
    }


@route("GET", "/repos/{owner}/{repo}/collaborators/{login}")
def collaborator(call: Call) -> Answer:
    if call.args[0] not in call.at.collaborators:
        raise ApiError(404, "Not Found")
    return 204, None


@route("GET", "/orgs/{org}/teams/{team}/members")
def members(call: Call) -> Answer:
    found = call.world.teams.get((call.args[0], call.args[1]))
    if found is None:
        raise ApiError(404, "Not Found")
    return 200, [call.house.shapes.user(login) for login in found]
