"""A player: GStreamer's `rtspsrc`. Started by `foreign.rs`.

Plays the URL in argv[1] over the transport in argv[2] and ends well when it has had twenty packets
of each of two tracks.
"""

import os
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

ENOUGH = 20


def main():
    url, transport = sys.argv[1:3]
    Gst.init(None)
    loop = GLib.MainLoop()
    pipeline = Gst.Pipeline.new()
    source = Gst.ElementFactory.make("rtspsrc")
    source.set_property("location", url)
    source.set_property("latency", 0)
    Gst.util_set_object_arg(source, "protocols", transport)
    pipeline.add(source)
    counts = {}

    def take(_sink, _buffer, pad):
        name = pad.get_parent().get_name()
        counts[name] = counts.get(name, 0) + 1
        if len(counts) == 2 and min(counts.values()) >= ENOUGH:
            GLib.idle_add(loop.quit)

    def connect(_source, pad):
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("signal-handoffs", True)
        sink.set_property("sync", False)
        sink.connect("handoff", take)
        pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def fail(_bus, message):
        error, detail = message.parse_error()
        print(error, detail, file=sys.stderr)
        os._exit(1)

    source.connect("pad-added", connect)
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", fail)
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    pipeline.set_state(Gst.State.NULL)


main()
