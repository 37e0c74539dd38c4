#!/usr/bin/python3
"""aria2 as a BitTorrent peer, from the start of the leechers (some 20 ms each) to the last one's "complete"."""
import os
import time

from common import Run, free_port, make_torrent, start_tracker


def argv(run, nth, folder):
    return ["aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
            "--enable-peer-exchange=false", "--disable-ipv6", "--listen-port=%d" % free_port(), "--dir=" + folder,
            "--file-allocation=none", "--bt-max-peers=0", "--seed-ratio=0.0", "--bt-tracker-interval=1",
            "--bt-request-peer-speed-limit=0", "--interface=" + run.host(nth)]


def main():
    run = Run()
    announce, known = start_tracker()
    torrent = make_torrent(run, announce)
    hook = os.path.join(run.work, "complete.sh")
    with open(hook, "w") as f:
        f.write('#!/bin/sh\n: >"$BENCH_DONE"\n')
    os.chmod(hook, 0o755)
    seeders, leechers, done = [], [], []
    for nth in range(run.seeders):
        words = argv(run, nth, run.source) + ["--bt-seed-unverified=true", "--check-integrity=false", torrent]
        seeders.append(run.start(nth, words))
    run.wait(lambda: len(known) >= run.seeders)
    began = time.monotonic()
    for i in range(run.leechers):
        nth = run.seeders + i
        done.append(os.path.join(run.work, "done%d" % i))
        words = argv(run, nth, run.folder(i)) + ["--on-bt-download-complete=" + hook, torrent]
        leechers.append(run.start(nth, words, env=dict(os.environ, BENCH_DONE=done[i])))
    run.meter(seeders, leechers)
    run.wait(lambda: all(os.path.exists(d) for d in done))
    seconds = time.monotonic() - began
    run.finish(seconds, run.measured())


main()
