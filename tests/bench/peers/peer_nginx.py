#!/usr/bin/python3
"""nginx and curl: each leecher fetches to its folder, then takes the SHA-256 of what it has, as somebody would who wants
to know that it is right. BENCH_PIPE=1: the hash is taken from a pipe while the bytes arrive (tee)."""
import os
import subprocess
import time

from common import Run, free_port

CONF = """
worker_processes 1; master_process off; daemon off; pid {work}/nginx.pid; error_log {work}/error.log; user root;
events {{ worker_connections 2048; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
    client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work};
    uwsgi_temp_path {work}; scgi_temp_path {work};
    server {{ listen {host}:{port}; root {root}; }}
}}
"""


def fetch(run, leecher, base):
    """The words of a shell: a file, or all files of a folder over a connection that is kept."""
    if not os.path.isdir(run.path):
        if os.environ.get("BENCH_PIPE"):
            return "curl -sfS '%s/%s' | tee '%s' | openssl dgst -sha256" % (base, run.name, run.name)
        return "curl -sfS -o '%s' '%s/%s' && openssl dgst -sha256 '%s'" % (run.name, base, run.name, run.name)
    listed = os.path.join(run.work, "urls%d" % leecher)
    with open(listed, "w") as f:
        for name in sorted(os.listdir(run.path)):
            f.write('url = "%s/%s/%s"\noutput = "%s/%s"\n' % (base, run.name, name, run.name, name))
    return "mkdir '%s' && curl -sfS --parallel --config '%s' && openssl dgst -sha256 '%s'/*" % (run.name, listed, run.name)


def main():
    run = Run()
    port = free_port()
    conf = os.path.join(run.work, "nginx.conf")
    with open(conf, "w") as f:
        f.write(CONF.format(work=run.work, host=run.host(0), port=port, root=run.source))
    seeder = run.start(0, ["nginx", "-c", conf, "-e", os.path.join(run.work, "error.log")])
    run.listening(0, port)
    run.meter([seeder], [])
    base = "http://%s:%d" % (run.host(0), port)
    words = [fetch(run, i, base) for i in range(run.leechers)]
    before = os.times()
    began = time.monotonic()
    leechers = [run.start(run.seeders + i, ["sh", "-c", words[i]], cwd=run.folder(i), stderr=subprocess.PIPE)
                for i in range(run.leechers)]
    for p in leechers:
        if p.wait() != 0:
            run.fail(p.stderr.read().decode().strip())
    seconds = time.monotonic() - began
    after = os.times()  # of all that curl and openssl used: they are waited for
    used = after.children_user + after.children_system - before.children_user - before.children_system
    run.finish(seconds, "%s leecher_cpu=%.2f" % (run.measured(), used))


main()
