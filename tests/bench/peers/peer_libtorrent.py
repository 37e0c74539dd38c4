#!/usr/bin/python3
"""libtorrent through its Python binding: one process a peer, told whom to dial. Timed from "go" to the last "done"."""
import subprocess
import sys
import time

import libtorrent as lt

from common import Run, make_torrent

SETTINGS = {
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False, "enable_incoming_utp": False,
    "enable_outgoing_utp": False, "allow_multiple_connections_per_ip": True, "alert_mask": 0,
    "in_enc_policy": 2, "out_enc_policy": 2,  # in the clear
    "connections_limit": 500, "connection_speed": 500, "unchoke_slots_limit": -1, "hashing_threads": 2,
    "send_buffer_watermark": 4 << 20, "tick_interval": 50, "mixed_mode_algorithm": 0,
}


def peer(role, host, torrent, folder):
    session = lt.session(dict(SETTINGS, listen_interfaces=host + ":0"))
    params = lt.add_torrent_params()
    params.ti, params.save_path = lt.torrent_info(torrent), folder
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if role == "seeder":
        params.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(params)
    while not handle.status().is_seeding and str(handle.status().state) != "downloading":
        time.sleep(0.005)
    print(session.listen_port(), flush=True)
    for word in sys.stdin.readline().split():  # whom to dial
        h, port = word.rsplit(":", 1)
        handle.connect_peer((h, int(port)))
    while not handle.status().is_seeding:
        time.sleep(0.002)
    print("done", flush=True)
    sys.stdin.readline()


def start(run, nth, role, torrent, folder):
    p = run.start(nth, [sys.executable, __file__, "--peer", role, run.host(nth), torrent, folder],
                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return p, "%s:%d" % (run.host(nth), int(p.stdout.readline()))


def main():
    run = Run()
    torrent = make_torrent(run, None)
    seeders = [start(run, n, "seeder", torrent, run.source) for n in range(run.seeders)]
    leechers = [start(run, run.seeders + i, "leecher", torrent, run.folder(i)) for i in range(run.leechers)]
    run.meter([p for p, _ in seeders], [p for p, _ in leechers])
    for p, _ in seeders:
        p.stdin.write("\n")
        p.stdin.flush()
    began = time.monotonic()
    for i, (p, _) in enumerate(leechers):
        p.stdin.write(" ".join(a for _, a in seeders + leechers[:i]) + "\n")
        p.stdin.flush()
    for p, _ in leechers:
        if p.stdout.readline() != "done\n":
            run.fail("a leecher ended")
    seconds = time.monotonic() - began
    run.finish(seconds, run.measured())


if sys.argv[1] == "--peer":
    peer(*sys.argv[2:])
else:
    main()
