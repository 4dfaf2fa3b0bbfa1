// Signs a playback token: node sign.ts KEY_FILE KEY_ID CAMERA_ID VIEWER
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";

function playbackToken(keyFile: string, keyId: string, camera: string, viewer: string): string {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: "EdDSA", typ: "hwplay+jwt", kid: keyId };
  const claims = {
    aud: "headworks-edge",
    sub: viewer,
    iat: now,
    exp: now + 300,
    cams: [camera],
  };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part(header)}.${part(claims)}`;
  const key = createPrivateKey(readFileSync(keyFile));
  return `${text}.${sign(null, Buffer.from(text), key).toString("base64url")}`;
}

const [keyFile, keyId, camera, viewer] = process.argv.slice(2);
console.log(playbackToken(keyFile, keyId, camera, viewer));
