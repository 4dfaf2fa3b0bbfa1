"""A publisher: GStreamer's `rtspclientsink`. Started by `foreign.rs`.

Sends a picture and a tone to the URL in argv[1] over the transport in argv[2], until it is killed.
"""

import os
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

PIPELINE = """
videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=15/1
    ! x264enc tune=zerolatency speed-preset=ultrafast ! rtspclientsink name=end
audiotestsrc is-live=true ! alawenc ! end.
"""


def main():
    url, transport = sys.argv[1:3]
    Gst.init(None)
    pipeline = Gst.parse_launch(PIPELINE)
    end = pipeline.get_by_name("end")
    end.set_property("location", url)
    Gst.util_set_object_arg(end, "protocols", transport)

    def fail(_bus, message):
        error, detail = message.parse_error()
        print(error, detail, file=sys.stderr)
        os._exit(1)

    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", fail)
    pipeline.set_state(Gst.State.PLAYING)
    GLib.MainLoop().run()


main()
