// A viewer with a browser. Started by `browser.rs`.
//
// Takes one JSON object in argv[1]: {modules, kind, url, config}. `modules` is where npm has
// installed the players. Serves a page with the player that `kind` names on loopback, opens it in
// Chromium, and prints one JSON object of facts a line on standard output until it is killed.

import { createServer } from "node:http";
import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const options = JSON.parse(process.argv[1]);
const require = createRequire(join(options.modules, "package.json"));
const { chromium } = require("playwright-core");

// Each player: the file that a page loads, and what starts it there. `start` runs in the page. It
// returns a function that tells what only this player knows.
const players = {
  hls: {
    script: "node_modules/hls.js/dist/hls.min.js",
    start: (video, url, config, report) => {
      // It catches up when it has fallen behind, as pages for low latency let it.
      const hls = new Hls({ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.5, ...config });
      let [parts, segments, updates] = [0, 0, 0];
      hls.on(Hls.Events.FRAG_LOADED, (_, { part }) => (part ? parts++ : segments++));
      hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
        updates += details.skippedSegments > 0 && !details.deltaUpdateFailed ? 1 : 0;
      });
      hls.on(Hls.Events.ERROR, (_, { details, fatal, error }) =>
        report(`${details}${fatal ? " (fatal)" : ""}: ${error?.message ?? ""}`),
      );
      hls.on(Hls.Events.MEDIA_ATTACHED, () => hls.loadSource(url));
      hls.attachMedia(video);
      return () => ({ latency: hls.latency, parts, segments, updates });
    },
  },
  // FLV over HTTP, or in a WebSocket: the URL decides.
  mpegts: {
    script: "node_modules/mpegts.js/dist/mpegts.js",
    start: (video, url, config, report) => {
      const source = { type: "flv", isLive: true, url };
      const player = mpegts.createPlayer(source, { enableWorker: false, ...config });
      player.on(mpegts.Events.ERROR, (type, detail, info) =>
        report(`${type}: ${detail}: ${info?.msg ?? ""}`),
      );
      player.attachMediaElement(video);
      player.load();
      player.play();
      return () => ({});
    },
  },
};

const player = players[options.kind];
const page = `<!doctype html><title>viewer</title><video muted autoplay playsinline></video>
<script src="/player.js"></script>
<script>
const video = document.querySelector("video");
const errors = [];
const report = (error) => errors.push(error);
video.addEventListener("error", () => report(video.error.message));
const own = (${player.start})(video, ...${JSON.stringify([options.url, options.config ?? {}])}, report);
const facts = () => {
  const quality = video.getVideoPlaybackQuality();
  return {
    time: video.currentTime,
    width: video.videoWidth,
    height: video.videoHeight,
    pictures: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames,
    // What it has of both tracks, in ranges of time.
    holes: Math.max(0, video.buffered.length - 1),
    sound_bytes: video.webkitAudioDecodedByteCount,
    waiting: video.readyState < 3,
    errors,
    ...own(),
  };
};
</script>`;

const server = createServer((request, response) => {
  const isScript = request.url === "/player.js";
  response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
  response.end(isScript ? readFileSync(join(options.modules, player.script)) : page);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "headworks-")), {
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
  ],
});
const tab = browser.pages()[0] ?? (await browser.newPage());
tab.on("pageerror", (error) => console.error(error.message));
await tab.goto(`http://127.0.0.1:${server.address().port}/`);
for (;;) {
  console.log(JSON.stringify(await tab.evaluate("facts()")));
  await new Promise((resolve) => setTimeout(resolve, 200));
}
