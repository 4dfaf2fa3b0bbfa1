"""A server that records: GStreamer's RTSP server on loopback. Started by `recorder.rs`.

Wants a user name and a password (argv[1], argv[2]) by Digest. Prints its port, then a line for
each packet of sound that it has unpacked.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def main():
    name, password = sys.argv[1:3]
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    factory.set_launch("( rtppcmudepay name=depay0 ! fakesink name=end signal-handoffs=true )")
    factory.add_role_from_structure(
        Gst.Structure.new_from_string(
            "publisher, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        )
    )

    def configure(_factory, media):
        end = media.get_element().get_by_name("end")
        end.connect("handoff", lambda _sink, buffer, _pad: print(buffer.get_size(), flush=True))

    factory.connect("media-configure", configure)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.get_mount_points().add_factory("/into", factory)
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "publisher")
    auth.add_digest(name, password, token)
    server.set_auth(auth)
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
