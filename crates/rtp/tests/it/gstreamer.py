"""Sends a file's track through a GStreamer payloader. Started by `gstreamer_sends.rs`.

argv: the file, the elements between demuxer and file, the file for the packets. Each packet comes
behind its length in two bytes (RFC 4571). Prints the payloader's caps as the lines of an SDP.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
source, elements, sink = sys.argv[1:]
pipeline = Gst.parse_launch(
    f"filesrc location={source} ! qtdemux name=demux {elements} name=pay "
    "! appsink name=sink sync=false"
)
pipeline.set_state(Gst.State.PLAYING)
packets = pipeline.get_by_name("sink")
with open(sink, "wb") as out:
    while (sample := packets.emit("pull-sample")) is not None:
        buffer = sample.get_buffer()
        packet = buffer.extract_dup(0, buffer.get_size())
        out.write(len(packet).to_bytes(2, "big") + packet)
error = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
if error is not None:
    sys.exit(f"failed: {error.parse_error()}")
caps = pipeline.get_by_name("pay").get_static_pad("src").get_current_caps().get_structure(0)
fields = {caps.nth_field_name(i): caps.get_value(caps.nth_field_name(i)) for i in range(caps.n_fields())}
payload, channels = fields["payload"], fields.get("encoding-params")
print(f"m={fields['media']} 0 RTP/AVP {payload}")
print(f"a=rtpmap:{payload} {fields['encoding-name']}/{fields['clock-rate']}" + (f"/{channels}" if channels else ""))
print(f"a=fmtp:{payload} " + ";".join(f"{k}={v}" for k, v in fields.items()))
pipeline.set_state(Gst.State.NULL)
