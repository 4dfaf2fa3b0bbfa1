"""Signs a playback token: python3 sign.py KEY_FILE KEY_ID CAMERA_ID VIEWER"""

import sys
import time

import jwt  # PyJWT with cryptography


def sign(key_file: str, key_id: str, camera: str, viewer: str) -> str:
    now = int(time.time())
    claims = {
        "aud": "headworks-edge",
        "sub": viewer,
        "iat": now,
        "exp": now + 300,
        "cams": [camera],
    }
    with open(key_file) as file:
        key = file.read()
    headers = {"kid": key_id, "typ": "hwplay+jwt"}
    return jwt.encode(claims, key, algorithm="EdDSA", headers=headers)


print(sign(*sys.argv[1:5]))
