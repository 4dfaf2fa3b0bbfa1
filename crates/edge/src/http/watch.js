// Plays this page's camera: HLS with fragmented MP4 through Media Source Extensions, or the
// browser's own HLS where it has no such thing (iOS). The token opens a session once; everything
// after that goes to the session's own URLs.
"use strict";

const video = document.querySelector("video");
const query = location.search;
const KEEP_BEHIND = 20; // seconds of played media that stay in the buffer
const MAX_BEHIND_LIVE = 12; // seconds; further behind, the player jumps

class Refusal extends Error {
  constructor(title, detail, retry = false) {
    super(detail);
    this.title = title;
    this.retry = retry;
  }
}

function show(state, title, detail = "") {
  document.body.dataset.state = state;
  document.querySelector("#state").textContent = state === "live" ? "live" : title.toLowerCase();
  document.querySelector("section h1").textContent = title;
  document.querySelector("section p").textContent = detail;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function get(url) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(30000) });
  } catch {
    throw new Refusal("No connection", "The server does not answer. Trying again.", true);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refusal(
    problem.title ?? `Error ${response.status}`,
    problem.detail ?? "",
    response.status >= 500 || response.status === 404,
  );
}

// What a multivariant playlist says of its one variant.
function readMultivariant(text, base) {
  const attributes = text.match(/#EXT-X-STREAM-INF:(.*)/)?.[1] ?? "";
  const uri = text.split("\n").find((line) => line && !line.startsWith("#"));
  return {
    codecs: attributes.match(/CODECS="([^"]*)"/)?.[1] ?? "",
    resolution: attributes.match(/RESOLUTION=(\d+x\d+)/)?.[1] ?? "",
    url: new URL(uri, base),
  };
}

function readMedia(text, base) {
  const media = { segments: [], target: 2 };
  let sequence = 0;
  let map = null;
  let duration = 0;
  for (const line of text.split("\n")) {
    if (line.startsWith("#EXT-X-MEDIA-SEQUENCE:")) sequence = Number(line.slice(22));
    else if (line.startsWith("#EXT-X-TARGETDURATION:")) media.target = Number(line.slice(22));
    else if (line.startsWith("#EXT-X-MAP:")) map = new URL(line.match(/URI="([^"]*)"/)[1], base).href;
    else if (line.startsWith("#EXTINF:")) duration = parseFloat(line.slice(8));
    else if (line && !line.startsWith("#")) {
      media.segments.push({ sequence, map, duration, url: new URL(line, base).href });
      sequence += 1;
    }
  }
  return media;
}

function once(target, event) {
  return new Promise((resolve, reject) => {
    target.addEventListener(event, resolve, { once: true });
    target.addEventListener("error", () => reject(new Refusal("Cannot play", "The browser refused the media.", true)), { once: true });
  });
}

async function append(buffer, data) {
  buffer.appendBuffer(data);
  await once(buffer, "updateend");
}

// Starts where media is, follows the live edge, and forgets what has been seen.
async function tend(buffer) {
  const ranges = video.buffered;
  if (!ranges.length) return;
  const end = ranges.end(ranges.length - 1);
  const start = ranges.start(ranges.length - 1);
  if (video.currentTime < start || end - video.currentTime > MAX_BEHIND_LIVE) {
    video.currentTime = Math.max(start, end - 4);
  }
  if (ranges.start(0) < video.currentTime - 2 * KEEP_BEHIND) {
    buffer.remove(0, video.currentTime - KEEP_BEHIND);
    await once(buffer, "updateend");
  }
}

async function playWithSource(variant, type) {
  const source = new (window.ManagedMediaSource ?? MediaSource)();
  video.disableRemotePlayback = true;
  video.src = URL.createObjectURL(source);
  await once(source, "sourceopen");
  URL.revokeObjectURL(video.src);
  const buffer = source.addSourceBuffer(type);
  let next = null;
  let map = null;
  for (;;) {
    const playlist = readMedia(await (await get(variant.url)).text(), variant.url);
    const known = playlist.segments;
    if (next === null || (known.length && next < known[0].sequence)) {
      next = known.length ? known[Math.max(0, known.length - 3)].sequence : null;
    }
    for (const segment of known.filter((segment) => next !== null && segment.sequence >= next)) {
      if (segment.map !== map) {
        await append(buffer, await (await get(segment.map)).arrayBuffer());
        map = segment.map;
      }
      await append(buffer, await (await get(segment.url)).arrayBuffer());
      next = segment.sequence + 1;
      await tend(buffer);
      show("live", "Live");
    }
    await pause(playlist.target * 250);
  }
}

async function playNatively(variant) {
  video.src = variant.url;
  await once(video, "playing");
  show("live", "Live");
  await once(video, "ended");
}

async function play() {
  const url = new URL(`index.m3u8${query}`, location.href);
  const variant = readMultivariant(await (await get(url)).text(), url);
  document.querySelector("#facts").textContent = [variant.resolution, variant.codecs].filter(Boolean).join(" · ");
  const type = `video/mp4; codecs="${variant.codecs}"`;
  const Source = window.ManagedMediaSource ?? window.MediaSource;
  if (Source?.isTypeSupported(type)) return playWithSource(variant, type);
  if (!Source && video.canPlayType("application/vnd.apple.mpegurl")) return playNatively(variant);
  const name = /hvc1|hev1/.test(variant.codecs) ? "H.265" : "this camera's format";
  throw new Refusal(`This browser cannot play ${name}`, `It has no decoder for ${variant.codecs}. Use the FLV or HLS address in ffplay or VLC instead.`);
}

async function main() {
  for (;;) {
    try {
      await play();
    } catch (error) {
      const known = error instanceof Refusal;
      show("wrong", known ? error.title : "Cannot play", error.message);
      if (known && !error.retry) return;
    }
    await pause(2000);
  }
}

show("connecting", "Connecting");
main();
