"""A real RTSP server on 127.0.0.1, run by the system's Python: `rtsp_server.py [USER:PASSWORD] NAME=FRAMES...`.

It prints its port. Each name is a stream of so many frames, 25 a second, that begins anew for each client; with a
user, only for clients that say so.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( videotestsrc num-buffers={frames} is-live=true pattern=ball ! "
    "video/x-raw,width=64,height=48,framerate=25/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
streams = [argument for argument in sys.argv[1:] if "=" in argument]
permissions = None
for login in set(sys.argv[1:]) - set(streams):
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "guest")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login.split(":")), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for allowed in (
        GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS,
        GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT,
    ):
        permissions.add_permission_for_role("guest", allowed, True)
for stream in streams:
    name, _, frames = stream.partition("=")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(frames=frames))
    if permissions is not None:
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory(f"/{name}", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
