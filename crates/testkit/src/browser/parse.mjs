// Judges a playlist by hls-parser, which throws where it violates the specification. Started by
// `judge.rs` with {modules, text} in argv[1].

import { createRequire } from "node:module";
import { join } from "node:path";

const { modules, text } = JSON.parse(process.argv[1]);
const HLS = createRequire(join(modules, "package.json"))("hls-parser");
HLS.setOptions({ strictMode: true });
const playlist = HLS.parse(text);
const parts = (playlist.segments ?? []).flatMap((segment) => segment.parts ?? []);
console.log(
  JSON.stringify({
    segments: playlist.segments?.length ?? 0,
    parts: parts.filter((part) => !part.hint).length,
    hints: parts.filter((part) => part.hint).length,
    skipped: playlist.skip ?? 0,
    variants: playlist.variants?.length ?? 0,
  }),
);
