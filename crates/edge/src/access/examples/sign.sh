#!/bin/sh
# Signs a playback token: sh sign.sh KEY_FILE KEY_ID CAMERA_ID VIEWER
# VIEWER goes into JSON as it is: no quotes or backslashes in it.
set -eu
key_file=$1 key_id=$2 camera=$3 viewer=$4

base64url() {
  openssl base64 -A | tr '+/' '-_' | tr -d '='
}

now=$(date +%s)
header=$(printf '{"alg":"EdDSA","typ":"hwplay+jwt","kid":"%s"}' "$key_id" | base64url)
claims=$(printf '{"aud":"headworks-edge","sub":"%s","iat":%d,"exp":%d,"cams":["%s"]}' \
  "$viewer" "$now" $((now + 300)) "$camera" | base64url)

# Ed25519 signs files only: openssl has to see all of it at once.
text=$(mktemp)
trap 'rm -f "$text"' EXIT
printf '%s.%s' "$header" "$claims" >"$text"
signature=$(openssl pkeyutl -sign -inkey "$key_file" -rawin -in "$text" | base64url)
echo "$header.$claims.$signature"
