# CPython: what its modules ask of a kernel.
#% case: language
#% needs: python3
#% quick
python3 - <<'END'
import collections, json, re, hashlib, zlib, decimal, fractions, itertools, struct, random, math, os, tempfile, pathlib
print(sum(i * i for i in range(20000)), 2 ** 200 % 1000007, decimal.Decimal(1) / 7, fractions.Fraction(3, 9))
print(hashlib.sha256(b"x" * 10000).hexdigest()[:16], zlib.crc32(b"hello"), len(zlib.compress(b"ab" * 5000)))
print(json.dumps({"a": [1, None, 2.5], "b": {"c": "\u00e9"}}, sort_keys=True), re.sub(r"(\d+)", lambda m: str(int(m[1]) * 2), "a1b22"))
random.seed(1); print(random.random(), random.sample(range(100), 5)); print(struct.pack("<IHd", 1, 2, 3.0).hex())
p = pathlib.Path("d"); p.mkdir(); (p / "f").write_text("text" * 100); print((p / "f").stat().st_size, sorted(os.listdir(".")))
class A:
    __slots__ = ("x",)
print(collections.Counter("mississippi").most_common(2), math.sin(1), list(itertools.islice(itertools.permutations("abc"), 3)))
try: 1 / 0
except ZeroDivisionError as e: print("caught", e)
d = {i: str(i) for i in range(30000)}; print(len(d), d[777]); print(sorted(d.values())[:3])
END
python3 -c 'import sys; sys.exit(7)'; echo "exit $?"; python3 -c 'raise ValueError("seen on stderr")'; echo "raised $?"
#% case: threads
#% needs: python3
#% quick
python3 - <<'END'
import threading, queue, time, concurrent.futures as cf
lock = threading.Lock(); total = 0
def work(n):
    global total
    for _ in range(300):
        with lock: total += 1
    return n * n
ts = [threading.Thread(target=work, args=(i,)) for i in range(16)]
[t.start() for t in ts]; [t.join() for t in ts]; print(total)
q = queue.Queue(5); out = []
def produce(): [q.put(i) for i in range(200)]; q.put(None)
def consume():
    while (x := q.get()) is not None: out.append(x)
a, b = threading.Thread(target=produce), threading.Thread(target=consume); a.start(); b.start(); a.join(); b.join(); print(sum(out))
with cf.ThreadPoolExecutor(8) as ex: print(sum(ex.map(work, range(50))))
e = threading.Event(); threading.Timer(0.1, e.set).start(); print(e.wait(5)); print(e.wait(0)); c = threading.Condition()
with c: print(c.wait(0.05))
bar = threading.Barrier(4); ts = [threading.Thread(target=bar.wait) for _ in range(3)]; [t.start() for t in ts]; bar.wait(); [t.join() for t in ts]; print("barrier")
s = threading.Semaphore(2); l = threading.local(); print(threading.active_count())
END
#% case: subprocess
#% needs: python3
#% quick
python3 - <<'END'
import subprocess, sys, os, signal
print(subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout, end="")
print(subprocess.run("exit 3", shell=True).returncode, subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE); print(len(p.communicate(b"x" * 300000)[0]))
try: subprocess.run(["sleep", "5"], timeout=0.2)
except subprocess.TimeoutExpired: print("timeout")
try: subprocess.run(["/no/such"])
except FileNotFoundError as e: print(e)
print(subprocess.check_output(["pwd"], cwd="/", text=True), end=""); print(subprocess.run([sys.executable, "-c", "import os; print(os.environ['A'])"], env={"A": "1"}, capture_output=True, text=True).stdout, end="")
p = subprocess.Popen(["sleep", "9"], start_new_session=True, close_fds=True); os.killpg(p.pid, signal.SIGTERM); print(p.wait())
a = subprocess.Popen(["seq", "1000"], stdout=subprocess.PIPE); b = subprocess.Popen(["wc", "-l"], stdin=a.stdout, stdout=subprocess.PIPE); a.stdout.close(); print(b.communicate()[0]); a.wait()
print(os.waitstatus_to_exitcode(os.system("exit 4"))); pid = os.posix_spawn("/bin/true", ["true"], {}); print(os.waitpid(pid, 0)[1]); r, w = os.pipe(); os.set_inheritable(w, True); subprocess.run(f"echo fd >&{w}", shell=True, close_fds=False, executable="/bin/bash"); print(os.read(r, 10))
END
#% case: multiprocessing
#% needs: python3
#% timeout: 120
cat >m.py <<'END'
import multiprocessing as mp, os, sys
def f(x): return x * x
def add(n, v, l):
    for _ in range(50):
        with l: v.value += n
def worker(q, r):
    for x in iter(q.get, None): r.put(x + 1)
if __name__ == "__main__":
    for method in ["fork", "spawn", "forkserver"]:
        c = mp.get_context(method)
        with c.Pool(3) as p: print(method, sum(p.map(f, range(100))), p.apply(f, (9,)))
        v, l = c.Value("i", 0), c.Lock(); ps = [c.Process(target=add, args=(n, v, l)) for n in (1, 2)]; [p.start() for p in ps]; [p.join() for p in ps]; print(v.value, [p.exitcode for p in ps])
        q, r = c.Queue(), c.Queue(); p = c.Process(target=worker, args=(q, r)); p.start(); [q.put(i) for i in range(20)]; q.put(None); print(sum(r.get() for _ in range(20))); p.join()
        a, b = c.Pipe(); a.send({"k": [1, 2]}); print(b.recv())
    from multiprocessing import shared_memory
    s = shared_memory.SharedMemory(create=True, size=100000); s.buf[:5] = b"hello"; t = shared_memory.SharedMemory(s.name); print(bytes(t.buf[:5])); t.close(); s.close(); s.unlink()
    with mp.Manager() as m: d = m.dict(); d["x"] = 1; print(dict(d))
END
python3 m.py; rm -rf __pycache__
#% case: mmap-and-files
#% needs: python3
#% quick
python3 - <<'END'
import mmap, os, fcntl, tempfile, select, socket, ctypes
with open("f", "wb") as f: f.write(b"a" * 10000)
with open("f", "r+b") as f:
    m = mmap.mmap(f.fileno(), 0); m[0:5] = b"HELLO"; print(m.find(b"a"), m.size()); m.flush(); f.seek(0); print(f.read(6)); f.seek(2); f.write(b"xx"); f.flush(); print(m[:6]); m.resize(20000); print(m.size(), os.path.getsize("f")); m.move(100, 0, 5); print(m[100:105]); m.close()
m = mmap.mmap(-1, 8192)
if os.fork() == 0: m[0:5] = b"child"; os._exit(0)
os.wait(); print(m[:5]); p = mmap.mmap(os.open("f", os.O_RDONLY), 4096, prot=mmap.PROT_READ)
try: p[0] = 1
except TypeError as e: print(e)
f = open("l", "w"); fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB); pid = os.fork()
if pid == 0:
    try: fcntl.flock(open("l"), fcntl.LOCK_EX | fcntl.LOCK_NB); os._exit(1)
    except BlockingIOError: os._exit(0)
print("locked", os.waitpid(pid, 0)[1]); fcntl.lockf(f, fcntl.LOCK_EX); a, b = socket.socketpair(); a.send(b"x"); print(select.select([b], [], [], 1)[0] == [b]); ep = select.epoll(); ep.register(b, select.EPOLLIN); print([e for _, e in ep.poll(1)]); os.sendfile(os.open("g", os.O_WRONLY | os.O_CREAT), os.open("f", os.O_RDONLY), 0, 5000); print(os.path.getsize("g")); print(os.pread(os.open("f", os.O_RDONLY), 5, 100)); os.truncate("f", 3); os.symlink("f", "s"); os.rename("g", "h"); print(sorted(os.listdir("."))); fd = os.memfd_create("x"); os.write(fd, b"mem"); print(os.pread(fd, 3, 0)); print(os.getxattr("f", "user.x") if False else "", os.statvfs(".").f_bsize > 0)
END
#% case: signals
#% needs: python3
#% quick
python3 - <<'END'
import signal, os, time, threading
got = []
signal.signal(signal.SIGUSR1, lambda s, f: got.append(s)); os.kill(os.getpid(), signal.SIGUSR1); print(got)
signal.signal(signal.SIGALRM, lambda s, f: got.append("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05); time.sleep(0.5); signal.setitimer(signal.ITIMER_REAL, 0); print(got.count("alarm") >= 5)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2); print(signal.sigpending()); print(signal.sigwait([signal.SIGUSR2])); print(signal.sigtimedwait([signal.SIGUSR2], 0.05))
r, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w); signal.raise_signal(signal.SIGUSR1); print(os.read(r, 1)); signal.set_wakeup_fd(-1)
def stop(s, f): raise KeyboardInterrupt
signal.signal(signal.SIGINT, stop); threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    while True: pass
except KeyboardInterrupt: print("interrupted a tight loop")
pid = os.fork()
if pid == 0: signal.pause(); os._exit(0)
time.sleep(0.1); os.kill(pid, signal.SIGSTOP); print(os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])); os.kill(pid, signal.SIGCONT); print(os.WIFCONTINUED(os.waitpid(pid, os.WCONTINUED)[1])); os.kill(pid, signal.SIGTERM); print(os.WTERMSIG(os.waitpid(pid, 0)[1])); signal.pthread_kill(threading.get_ident(), signal.SIGUSR1); print(got[-1]); print(signal.getsignal(signal.SIGPIPE), signal.siginterrupt(signal.SIGUSR1, False)); import faulthandler; faulthandler.enable(file=open("fault", "w"))
END
python3 -c 'import ctypes; ctypes.string_at(0)'; echo "segv $?"; python3 -c 'import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()'; echo "abort $?"; timeout -s INT 0.5 python3 -c 'import time; time.sleep(9)' 2>/dev/null; echo "int $?"
#% case: ctypes
#% needs: python3
#% quick
python3 - <<'END'
import ctypes as c, ctypes.util as u
libc = c.CDLL(None, use_errno=True); print(libc.strlen(b"hello"), libc.abs(-5)); libm = c.CDLL("libm.so.6"); libm.cos.restype = c.c_double; libm.cos.argtypes = [c.c_double]; print(libm.cos(1.0))
CMP = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_int), c.POINTER(c.c_int)); a = (c.c_int * 6)(5, 1, 9, -3, 7, 0); libc.qsort(a, 6, 4, CMP(lambda x, y: x[0] - y[0])); print(list(a))
class S(c.Structure): _fields_ = [("a", c.c_char), ("b", c.c_double), ("c", c.c_int * 3)]
s = S(b"x", 2.5, (1, 2, 3)); print(c.sizeof(S), s.b, list(s.c)); b = c.create_string_buffer(32); libc.sprintf(b, b"%d-%s", 42, b"str"); print(b.value); print(libc.open(b"/missing", 0), c.get_errno()); p = c.pointer(c.c_int(3)); p[0] = 9; print(p.contents.value, c.cast(b, c.c_char_p).value)
END
#% case: asyncio
#% needs: python3
#% quick
python3 - <<'END'
import asyncio, signal, os
async def tick(n):
    for _ in range(5): await asyncio.sleep(0.01)
    return n
async def serve(r, w): w.write((await r.readline()).upper()); await w.drain(); w.close()
async def main():
    print(sum(await asyncio.gather(*(tick(i) for i in range(50)))))
    s = await asyncio.start_unix_server(serve, "sock"); r, w = await asyncio.open_unix_connection("sock"); w.write(b"hello\n"); print(await r.readline()); w.close(); s.close()
    t = await asyncio.start_server(serve, "127.0.0.1", 0); port = t.sockets[0].getsockname()[1]; r, w = await asyncio.open_connection("127.0.0.1", port); w.write(b"tcp\n"); print(await r.readline()); w.close(); t.close()
    p = await asyncio.create_subprocess_exec("sh", "-c", "cat; exit 3", stdin=-1, stdout=-1); print((await p.communicate(b"in"))[0], p.returncode)
    try: await asyncio.wait_for(asyncio.sleep(9), 0.05)
    except asyncio.TimeoutError: print("timeout")
    e = asyncio.Event(); asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, e.set); os.kill(os.getpid(), signal.SIGUSR1); await e.wait(); print("signal"); print(await asyncio.to_thread(lambda: 42))
asyncio.run(main())
END
rm -f sock
#% case: network
#% needs: python3
#% quick
python3 - <<'END'
import socket, threading, socketserver, http.server, urllib.request, array, os, ssl
class H(socketserver.StreamRequestHandler):
    def handle(self): [self.wfile.write(l[::-1]) for l in self.rfile]
s = socketserver.ThreadingTCPServer(("127.0.0.1", 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()
for _ in range(5):
    c = socket.create_connection(s.server_address); c.sendall(b"abc\n" * 1000); c.shutdown(socket.SHUT_WR); n = 0
    while d := c.recv(65536): n += len(d)
    print(n)
s.shutdown(); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0)); u.sendto(b"udp", u.getsockname()); print(u.recvfrom(10)[0])
a, b = socket.socketpair(); r, w = os.pipe(); socket.send_fds(a, [b"fd"], [w]); m, fds, _, _ = socket.recv_fds(b, 10, 1); os.write(fds[0], b"passed"); print(m, os.read(r, 10)); a.settimeout(0.05)
try: a.recv(1)
except TimeoutError: print("timeout")
open("page", "w").write("x" * 50000); h = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Q", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})); threading.Thread(target=h.serve_forever, daemon=True).start(); print(len(urllib.request.urlopen(f"http://127.0.0.1:{h.server_port}/page").read())); h.shutdown(); print(socket.getaddrinfo("127.0.0.1", 80, proto=socket.IPPROTO_TCP)[0][4]); a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192); print(a.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE))
END
#% case: pty
#% needs: python3
#% timeout: 20
python3 - <<'END'
import pty, os, tty, termios, select, sys
pid, fd = pty.fork()
if pid == 0: os.execlp("bash", "bash", "--norc", "--noprofile", "-i")
def until(mark):
    out = b""
    while mark not in out:
        if not select.select([fd], [], [], 10)[0]: return out + b"<silence>"
        try: out += os.read(fd, 4096)
        except OSError: break
    return out
os.write(fd, b"PS1=; stty -echo; bind 'set enable-bracketed-paste off'\necho re''ady\n"); until(b"ready\r\n")
os.write(fd, b"sleep 100\n"); select.select([], [], [], 0.5); os.write(fd, b"\x1a"); until(b"Stopped"); os.write(fd, b"jobs\necho j1\n"); print(b"sleep 100" in until(b"j1\r\n")); os.write(fd, b"fg\n"); select.select([], [], [], 0.5); os.write(fd, b"\x03"); os.write(fd, b"echo status $?\n"); print(b"status 130" in until(b"status 1")  or "status", end="\n"); os.write(fd, b"cat\n"); select.select([], [], [], 0.3); os.write(fd, b"typed\n"); print(b"typed" in until(b"typed\r\n")); os.write(fd, b"\x04"); os.write(fd, b"tty >/dev/null && echo terminal\n"); print(b"terminal" in until(b"terminal\r\n")); os.write(fd, b"exit 5\n"); until(b"never"); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
