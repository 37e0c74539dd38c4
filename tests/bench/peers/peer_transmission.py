#!/usr/bin/python3
"""transmission-daemon: the torrent is given to the leechers by the RPC of each; timed from there to the last "complete"."""
import base64
import json
import os
import time
import urllib.error
import urllib.request

from common import Run, free_port, make_torrent, start_tracker


class Daemon:
    def __init__(self, run, nth, folder):
        self.rpc, port = free_port(), free_port()
        home = os.path.join(run.work, "transmission%d" % nth)
        os.makedirs(home)
        with open(os.path.join(home, "settings.json"), "w") as f:
            json.dump({"dht-enabled": False, "lpd-enabled": False, "pex-enabled": False, "utp-enabled": False,
                       "port-forwarding-enabled": False, "encryption": 0, "peer-port": port, "rpc-port": self.rpc,
                       "rpc-bind-address": run.host(nth), "rpc-whitelist-enabled": False, "bind-address-ipv4": run.host(nth),
                       "rpc-host-whitelist-enabled": False, "download-dir": folder, "ratio-limit-enabled": False,
                       "preallocation": 0, "cache-size-mb": 16, "upload-slots-per-torrent": 100}, f)
        self.url = "http://%s:%d/transmission/rpc" % (run.host(nth), self.rpc)
        self.session = ""
        self.process = run.start(nth, ["transmission-daemon", "--foreground", "--config-dir", home, "--logfile",
                                       os.path.join(home, "log")])
        run.listening(nth, self.rpc)

    def call(self, method, **arguments):
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            try:
                request = urllib.request.Request(self.url, body, {"X-Transmission-Session-Id": self.session})
                with urllib.request.urlopen(request) as answer:
                    return json.load(answer)["arguments"]
            except urllib.error.HTTPError as e:
                if e.code != 409:
                    raise
                self.session = e.headers["X-Transmission-Session-Id"]
        raise RuntimeError("no session at " + self.url)

    def complete(self):
        torrents = self.call("torrent-get", fields=["leftUntilDone", "status"])["torrents"]
        return bool(torrents) and torrents[0]["leftUntilDone"] == 0 and torrents[0]["status"] == 6


def main():
    run = Run()
    announce, known = start_tracker()
    with open(make_torrent(run, announce), "rb") as f:
        metainfo = base64.b64encode(f.read()).decode()
    seeders = [Daemon(run, n, run.source) for n in range(run.seeders)]
    for d in seeders:
        d.call("torrent-add", metainfo=metainfo)  # it hashes what is there before it seeds
    run.wait(lambda: all(d.complete() for d in seeders) and len(known) >= run.seeders)
    leechers = [Daemon(run, run.seeders + i, run.folder(i)) for i in range(run.leechers)]
    run.meter([d.process for d in seeders], [d.process for d in leechers])
    began = time.monotonic()
    for d in leechers:
        d.call("torrent-add", metainfo=metainfo)
    run.wait(lambda: all(d.complete() for d in leechers))
    seconds = time.monotonic() - began
    run.finish(seconds, run.measured())


main()
