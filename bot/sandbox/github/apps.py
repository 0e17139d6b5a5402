"""Apps: registered at once, or made of a manifest that a browser brings."""

from __future__ import annotations

import json
import secrets
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.sandbox.github.state import App, World


def register(world: World, slug: str, webhook_url: str | None = None, webhook_secret: str = "") -> App:
    """Register an App with a key of its own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    app = App(world.next_id(), slug, private.decode(), public.decode(), webhook_url, webhook_secret)
    world.apps[app.id] = app
    return app


def register_manifest(world: World, text: str, state: str) -> str:
    """Register what a manifest describes; where the browser goes then, with the code that gives the App's secrets."""
    said: dict[str, Any] = json.loads(text)
    app = register(world, said["name"], said["hook_attributes"]["url"], secrets.token_hex(20))
    app.permissions = dict(said["default_permissions"])
    app.events = list(said["default_events"])
    code = secrets.token_hex(20)
    world.app_codes[code] = app
    return f"{said['redirect_url']}?{urlencode({'code': code, 'state': state})}"
