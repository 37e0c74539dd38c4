"""What the adapters of the peers share: a torrent, a bare tracker, programs in network namespaces, the meter.

Each adapter is called as ADAPTER PATH WORK SEEDERS LEECHERS: PATH, a file or a folder, goes from the seeders to all the
leechers at once. It prints one line RESULT key=value... as tests/bench/transfer.lua does; what was received is compared
with PATH after the clock has stopped. Nothing leaves this machine: loopback, or with BENCH_NET=1 the namespaces of
net.sh, in which the n-th program is in namespace p<n> with address 10.77.1.<n>; discovery is off."""
import filecmp
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

PIECE = 524288
IN_NET = bool(os.environ.get("BENCH_NET"))
DEADLINE = 60  # seconds, for all of it


class Run:
    """One measurement: its arguments, its folders, the programs it started."""

    def __init__(self):
        if len(sys.argv) != 5:
            sys.exit("usage: %s PATH WORK SEEDERS LEECHERS" % sys.argv[0])
        self.path, self.work = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
        self.seeders, self.leechers = int(sys.argv[3]), int(sys.argv[4])
        self.source = os.path.dirname(self.path)
        self.name = os.path.basename(self.path)
        self.programs = []
        signal.signal(signal.SIGALRM, lambda *_: self.fail("not done within %d s" % DEADLINE))
        signal.signal(signal.SIGTERM, lambda *_: self.fail("told to end"))
        signal.alarm(DEADLINE)
        for i in range(self.leechers):
            os.makedirs(self.folder(i), exist_ok=True)

    def folder(self, leecher):
        return os.path.join(self.work, "leecher%d" % leecher)

    def host(self, nth):
        """The address of the n-th program: the seeders come first."""
        return "10.77.1.%d" % (nth + 1) if IN_NET else "127.0.0.1"

    def start(self, nth, argv, **kw):
        if IN_NET:
            argv = ["nsenter", "--net=/run/netns/p%d" % (nth + 1)] + argv
        kw.setdefault("stdout", subprocess.DEVNULL)
        kw.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(argv, **kw)
        self.programs.append(process)
        return process

    def wait(self, true):
        while not true():
            time.sleep(0.005)

    def listening(self, nth, port):
        def answers():
            with socket.socket() as s:
                s.settimeout(1)
                return s.connect_ex((self.host(nth), port)) == 0
        self.wait(answers)

    def meter(self, seeders, leechers):
        words = ["seeder=%d" % p.pid for p in seeders] + ["leecher=%d" % p.pid for p in leechers]
        meter = os.path.join(os.environ["BENCH_BUILD"], "tests/bench/meter")
        self.metered = subprocess.Popen([meter] + words, stdout=subprocess.PIPE, text=True)
        self.programs.append(self.metered)
        self.metered.stdout.readline()

    def measured(self):
        self.metered.terminate()
        return self.metered.communicate()[0].strip()

    def finish(self, seconds, measured):
        """Ends everything, compares, and only then says what came out."""
        self.end()
        for i in range(self.leechers):
            if not same(self.path, os.path.join(self.folder(i), self.name)):
                self.fail("leecher %d has other bytes" % i)
        print("RESULT seconds=%.3f %s" % (seconds, measured))

    def end(self):
        for p in self.programs:
            if p.poll() is None:
                p.kill()
        for p in self.programs:
            p.wait()

    def fail(self, why):
        self.end()
        sys.exit("%s: %s" % (os.path.basename(sys.argv[0]), why))


def same(a, b):
    if os.path.isdir(a):
        names = sorted(os.listdir(a))
        return names == sorted(os.listdir(b)) and all(same(os.path.join(a, n), os.path.join(b, n)) for n in names)
    return os.path.exists(b) and filecmp.cmp(a, b, shallow=False)


def files_of(path):
    return [os.path.join(path, n) for n in sorted(os.listdir(path))] if os.path.isdir(path) else [path]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def bencode(v):
    if isinstance(v, int):
        return b"i%de" % v
    if isinstance(v, str):
        v = v.encode()
    if isinstance(v, bytes):
        return b"%d:%s" % (len(v), v)
    if isinstance(v, list):
        return b"l" + b"".join(bencode(x) for x in v) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(v[k]) for k in sorted(v)) + b"e"


def piece_hashes(paths):
    hashes, piece = [], b""
    for path in paths:
        with open(path, "rb") as f:
            while True:
                more = f.read(PIECE - len(piece))
                if not more:
                    break
                piece += more
                if len(piece) == PIECE:
                    hashes.append(hashlib.sha1(piece).digest())
                    piece = b""
    if piece:
        hashes.append(hashlib.sha1(piece).digest())
    return b"".join(hashes)


def make_torrent(run, announce):
    """A private torrent with the pieces of shoal. Made once per file and run of the bench, it costs a pass over it."""
    keep = run.path + ".hashes"
    paths = files_of(run.path)
    if not os.path.exists(keep):
        with open(keep, "wb") as f:
            f.write(piece_hashes(paths))
    with open(keep, "rb") as f:
        info = {"name": run.name, "piece length": PIECE, "pieces": f.read(), "private": 1}
    if os.path.isdir(run.path):
        info["files"] = [{"length": os.path.getsize(p), "path": [os.path.basename(p)]} for p in paths]
    else:
        info["length"] = os.path.getsize(run.path)
    torrent = os.path.join(run.work, "torrent")
    with open(torrent, "wb") as f:
        f.write(bencode({"announce": announce, "info": info} if announce else {"info": info}))
    return torrent


class Announces(http.server.BaseHTTPRequestHandler):
    """A tracker that remembers who asked and tells all the others: those that have no other way to name a peer need one."""

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        if "port" not in query:  # a scrape
            self.send_error(404)
            return
        me = (self.client_address[0], int(query["port"][0]))
        with self.server.lock:
            others = [p for p in self.server.peers if p != me]
            self.server.peers.add(me)
        compact = b"".join(socket.inet_aton(h) + p.to_bytes(2, "big") for h, p in others)
        body = bencode({"interval": 1, "min interval": 1, "peers": compact})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start_tracker():
    """Its announce URL, and the set of those who have announced themselves."""
    host = "10.77.0.1" if IN_NET else "127.0.0.1"
    server = http.server.ThreadingHTTPServer((host, 0), Announces)
    server.daemon_threads = True
    server.lock, server.peers = threading.Lock(), set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "http://%s:%d/announce" % (host, server.server_address[1]), server.peers
