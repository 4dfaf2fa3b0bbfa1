"""An IP camera: a GStreamer RTSP server. Started by `camera.rs`.

Takes its options as one JSON object in argv[1]. Prints one JSON object a line on standard output:
{"port": …} when it is ready, then {"playing": …, "plays": …} whenever a client starts or ends
playing: how many play now, and how many have started since the process began.
"""

import json
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"


def say(what):
    print(json.dumps(what), flush=True)


# The strip of a numbered picture: so many blocks of 16 lines, see `viewer.rs`.
BLOCKS = 20


def video(o):
    raw = f"video/x-raw,width={o['width']},height={o['height']},framerate={o['fps']}/1,format=I420"
    if o["numbered_since"] is None:
        picture = f"videotestsrc is-live=true pattern={o['pattern']} ! {raw}"
    else:
        picture = f"appsrc name=picture is-live=true format=time do-timestamp=true caps={raw}"
    b_frames, gop, kbit = o["b_frames"], o["key_frame_every"], o["bitrate_kbit"]
    if o["video"] == "h264":
        tune = f"bframes={b_frames} b-adapt=false" if b_frames else "tune=zerolatency"
        profile = "main" if b_frames else "constrained-baseline"
        coder = (
            f"x264enc {tune} speed-preset=ultrafast threads=1 key-int-max={gop} bitrate={kbit} "
            f"option-string=scenecut=0 ! video/x-h264,profile={profile} "
            "! rtph264pay name=pay0 pt=96 config-interval=-1"
        )
    elif o["video"] == "h265":
        tune = "" if b_frames else "tune=zerolatency"
        coder = (
            f"x265enc {tune} speed-preset=ultrafast log-level=none key-int-max={gop} "
            f"bitrate={kbit} option-string=bframes={b_frames}:scenecut=0:pools=none:frame-threads=1 "
            "! h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1"
        )
    else:
        coder = "jpegenc ! rtpjpegpay name=pay0 pt=26"
    return f"{picture} ! {coder}"


def audio(o):
    # 64 ms each.
    stop = "num-buffers=48" if o["audio"] == "aac_that_stops" else ""
    coder = {
        "aac": "audio/x-raw,rate=16000,channels=1 ! voaacenc bitrate=32000 ! rtpmp4gpay pt=97",
        "g711a": "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay pt=8",
        "g711u": "audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay pt=0",
    }.get(o["audio"].removesuffix("_that_stops"))
    if coder is None:
        return ""
    return f"audiotestsrc is-live=true volume=0.1 {stop} ! {coder} name=pay1"


class Numbered:
    """Pictures that carry their number: how many the camera has made since the same moment, whoever
    watches and however often it was restarted. Every number is sent, late ones too."""

    def __init__(self, o):
        self.since, self.fps = o["numbered_since"], o["fps"]
        width, height = o["width"], o["height"]
        self.width, self.block = width, width // BLOCKS
        grey = b"".join(bytes([64 + line % 128]) * width for line in range(height))
        self.blank = grey + bytes([128]) * (width * height // 2)

    def picture(self, number):
        number %= 1 << 15
        check = (number ^ number >> 4 ^ number >> 8 ^ number >> 12) & 15
        word = number << 4 | check
        bits = [235 if word >> (18 - at) & 1 else 16 for at in range(19)] + [126]
        row = b"".join(bytes([level]) * self.block for level in bits).ljust(self.width, b"\x10")
        picture = bytearray(self.blank)
        picture[: 16 * self.width] = row * 16
        # Something that moves, below the strip.
        at = number * 4 % (self.width - 16)
        for line in range(48, 80):
            picture[line * self.width + at : line * self.width + at + 16] = bytes([220]) * 16
        return bytes(picture)

    def now(self):
        return int((time.time() - self.since) * self.fps)

    def feed(self, _factory, media):
        source = media.get_element().get_by_name("picture")
        next_one = self.now()

        def tick():
            nonlocal next_one
            while next_one <= self.now():
                buffer = Gst.Buffer.new_wrapped(self.picture(next_one))
                if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                    return False
                next_one += 1
            return True

        GLib.timeout_add(500 // self.fps, tick)


def guard(server, factory, o):
    if o["auth"] is None and o["certificate"] is None:
        return
    auth = GstRtspServer.RTSPAuth()
    if o["certificate"] is not None:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(o["certificate"]))
    if o["auth"] is None:
        admit_everybody(auth, factory)
        server.set_auth(auth)
        return
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    name, password = o["username"], o["password"]
    if o["auth"] == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(name, password, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(name, password), token)
    server.set_auth(auth)
    admit_role(factory)


def admit_everybody(auth, factory):
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    auth.set_default_token(token)
    admit_role(factory)


def admit_role(factory):
    factory.add_role_from_structure(
        Gst.Structure.new_from_string(
            f"{ROLE}, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        )
    )


def count(server):
    playing, plays = set(), 0

    def play(client, _context):
        nonlocal plays
        if client not in playing:
            playing.add(client)
            plays += 1
            say({"playing": len(playing), "plays": plays})

    def closed(client):
        if client in playing:
            playing.discard(client)
            say({"playing": len(playing), "plays": plays})

    def connected(_server, client):
        client.connect("play-request", play)
        client.connect("closed", closed)

    server.connect("client-connected", connected)


def main():
    o = json.loads(sys.argv[1])
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {o['launch'] or video(o) + ' ' + audio(o)} )")
    factory.set_shared(True)
    # Makes the media one that nobody seeks in, as a camera is. A seek in the test picture, while
    # another client plays, can abort the process (rtsp-media.c, `gst_rtsp_media_get_rates`).
    factory.set_publish_clock_mode(GstRtspServer.RTSPPublishClockMode.CLOCK_AND_OFFSET)
    if o["transport"]:
        factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, o["transport"]))
    factory.set_latency(0)
    server = GstRtspServer.RTSPServer()
    if o["numbered_since"] is not None:
        factory.connect("media-configure", Numbered(o).feed)
    server.set_address(o["host"])
    server.set_service(str(o["port"]))
    server.get_mount_points().add_factory(o["path"], factory)
    guard(server, factory, o)
    count(server)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {o['port']}")
    say({"port": server.get_bound_port()})
    GLib.MainLoop().run()


main()
