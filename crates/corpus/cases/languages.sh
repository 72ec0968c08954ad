# Compilers and runtimes that make code while they run.
#% case: gcc
#% needs: gcc
#% timeout: 120
#% quick
cat >a.c <<'END'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static _Thread_local int mine; static long total; static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *run(void *p) { for (int i = 0; i < 1000; i++) { mine++; pthread_mutex_lock(&lock); total += (long)p; pthread_mutex_unlock(&lock); } return (void *)(long)mine; }
int main(int c, char **v) { pthread_t t[8]; long s = 0; for (long i = 0; i < 8; i++) pthread_create(t + i, 0, run, (void *)i); for (int i = 0; i < 8; i++) { void *r; pthread_join(t[i], &r); s += (long)r; }
  double d[1000]; for (int i = 0; i < 1000; i++) d[i] = sqrt(i) * c; double q = 0; for (int i = 0; i < 1000; i++) q += d[i]; printf("%ld %ld %.6f %s\n", s, total, q, v[0]); return 3; }
END
gcc -O2 -Wall -o a a.c -lm -pthread && ./a; echo $?; gcc -g -O0 -static -o s a.c -lm -pthread && ./s; gcc -S -o - a.c | wc -l; gcc -O2 -march=x86-64-v3 -ffast-math -o v a.c -lm -pthread && ./v | cut -d' ' -f1,2; echo 'int main() { return x; }' | gcc -x c - 2>&1 | grep -c error; objdump -d a | grep -c ret >/dev/null && nm a | grep -w main | cut -d' ' -f2
#% case: g++
#% needs: g++
#% timeout: 180
cat >a.cc <<'END'
#include <algorithm>
#include <future>
#include <iostream>
#include <map>
#include <stdexcept>
#include <thread>
#include <vector>
int deep(int n) { if (n == 0) throw std::runtime_error("from the deep"); return deep(n - 1) + 1; }
int main() { std::vector<std::thread> ts; std::atomic<int> n{0}; for (int i = 0; i < 16; i++) ts.emplace_back([&] { for (int k = 0; k < 1000; k++) n++; }); for (auto &t : ts) t.join(); std::cout << n << "\n";
  try { deep(200); } catch (const std::exception &e) { std::cout << e.what() << "\n"; } std::map<std::string, int> m; for (int i = 0; i < 10000; i++) m[std::to_string(i * 7919 % 1000)]++; std::cout << m.size() << " " << m["7"] << "\n";
  auto f = std::async(std::launch::async, [] { return 42; }); std::cout << f.get() << "\n"; std::vector<int> v(100000); for (size_t i = 0; i < v.size(); i++) v[i] = i * 7919 % 100003; std::sort(v.begin(), v.end()); std::cout << v[50000] << "\n"; throw 1; }
END
for o in -O0 '-O2 -march=x86-64-v3'; do g++ $o -std=c++17 -pthread -o a a.cc && ./a; echo $?; done
#% case: sanitizers
#% needs: gcc
#% timeout: 120
#% filter: s/0x[0-9a-f]+/ADDRESS/g
#% filter: s/==[0-9]+==/==PID==/g
#% filter: s/(BuildId: )[0-9a-f]+/\1ID/
echo 'int main(int c, char **v) { int x = 2147483647; return (x + c) > 0; }' >u.c; gcc -fsanitize=undefined -o u u.c && ./u; echo $?
#% case: make
#% needs: make gcc
#% timeout: 120
mkdir p; cd p || exit; for i in 1 2 3 4 5 6; do echo "int f$i(int x) { return x * $i; }" >f$i.c; done; { for i in 1 2 3 4 5 6; do echo "int f$i(int);"; done; echo '#include <stdio.h>'; echo 'int main(void) { printf("%d\n", f1(1)+f2(1)+f3(1)+f4(1)+f5(1)+f6(1)); return 0; }'; } >main.c
cat >Makefile <<'END'
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
prog: $(OBJS)
	@$(CC) -o $@ $^
%.o: %.c
	@$(CC) -O1 -c -o $@ $<
test: prog
	@./prog
fail:
	@exit 3
.PHONY: test fail
END
make -j2 prog; make test; touch f3.c; make -n | wc -l; make -j2 -s; ./prog; make fail; echo "fail $?"; make -k fail test; make nothing; echo $?; ar rcsD lib.a f*.o; ranlib -D lib.a; ar t lib.a; strip prog; ./prog
#% case: gdb-core
#% needs: gdb gcc
#% timeout: 120
#% loose: core
#% filter: /^\[New LWP|^Core was generated|^warning|^\[Thread debugging|^Using host libthread|^Program terminated|debuginfod/d
#% filter: s/0x[0-9a-f]+/ADDRESS/g
cat >c.c <<'END'
struct s { int n; const char *text; };
static int global = 77;
static int fall(struct s *s, int depth) { if (depth == 0) return *(volatile int *)(long)s->n; return fall(s, depth - 1) + 1; }
int main(void) { struct s s = {0, "kept in the core"}; return fall(&s, 3) + global; }
END
gcc -g -O0 -o c c.c; ulimit -c unlimited; (./c); echo "status $?"; core=$(ls core* | head -1)
gdb --batch -nx -ex bt -ex 'print global' -ex 'frame 4' -ex 'print s' -ex 'print $_siginfo.si_signo' -ex 'info registers rip' ./c "$core" 2>/dev/null | tail -14; rm -f core*
#% case: rustc
#% needs: rustc
#% filter: s/thread 'main' \([0-9]+\)/thread 'main' (TID)/
#% timeout: 240
cat >h.rs <<'END'
use std::{collections::HashMap, sync::{mpsc, Arc, Mutex}, thread};
fn main() { let total = Arc::new(Mutex::new(0)); let hs: Vec<_> = (0..8).map(|n| { let total = total.clone(); thread::spawn(move || for _ in 0..100 { *total.lock().unwrap() += n }) }).collect(); for h in hs { h.join().unwrap() } let (s, r) = mpsc::channel(); thread::spawn(move || for i in 0..100 { s.send(i).unwrap() }); let m: HashMap<_, _> = r.iter().map(|i: i32| (i, i * i)).collect(); println!("{} {}", total.lock().unwrap(), m[&9]); let caught = std::panic::catch_unwind(|| panic!("on purpose")); println!("{}", caught.is_err()); std::process::exit(4) }
END
rustc -O -o h h.rs; echo "rustc $?"; ./h; echo $?; rm -f h
#% case: cargo
#% needs: cargo
#% filter: s/finished in [0-9.]+s/finished in N s/
#% timeout: 300
mkdir -p hello/src hello/dep/src; cd hello || exit; printf '[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ndep = { path = "dep" }\n[workspace]\n' >Cargo.toml; printf '[package]\nname = "dep"\nversion = "0.1.0"\nedition = "2021"\n' >dep/Cargo.toml; echo 'pub fn word() -> &'"'static"' str { "dependency" }' >dep/src/lib.rs; printf 'fn main() { println!("hello {}", dep::word()) }\n#[test] fn t() { assert_eq!(1 + 1, 2) }\n' >src/main.rs
cargo run -q --offline; echo "run $?"; cargo test --offline 2>/dev/null | grep -E '^test '; cargo build -q --release --offline; target/release/hello; rm -rf target ~/.cargo
#% case: go
#% needs: go
#% timeout: 300
#% loose: .cache
cat >g.go <<'END'
package main
import ("fmt"; "os"; "os/exec"; "os/signal"; "runtime"; "sync"; "syscall"; "time")
func main() { var wg sync.WaitGroup; var mu sync.Mutex; total := 0; for i := 0; i < 200; i++ { wg.Add(1); go func(n int) { defer wg.Done(); s := make([]int, 1000); for k := range s { s[k] = k * n }; mu.Lock(); total += s[999]; mu.Unlock() }(i) }; wg.Wait(); fmt.Println(total)
 c := make(chan int); go func() { for i := 0; i < 1000; i++ { c <- i }; close(c) }(); s := 0; for v := range c { s += v }; fmt.Println(s)
 sig := make(chan os.Signal, 1); signal.Notify(sig, syscall.SIGUSR1); syscall.Kill(os.Getpid(), syscall.SIGUSR1); fmt.Println(<-sig); out, err := exec.Command("sh", "-c", "echo child; exit 2").Output(); fmt.Printf("%s%v\n", out, err)
 stop := false; go func() { for !stop { } }(); time.Sleep(30 * time.Millisecond); runtime.GC(); stop = true; func() { defer func() { fmt.Println("recovered", recover()) }(); var p *int; fmt.Println(*p) }(); select { case <-time.After(20 * time.Millisecond): fmt.Println("timer") }; os.WriteFile("out", []byte("file"), 0644); panic("at the end") }
END
export GOCACHE=$PWD/.cache GOFLAGS=-mod=mod GO111MODULE=off CGO_ENABLED=0 GOPATH=$PWD/.cache/path; go build -o g g.go; echo "build $?"; ./g 2>&1 | sed '/^goroutine/,$d'; chmod -R u+w .cache; rm -rf .cache
#% case: node
#% needs: node
#% timeout: 120
cat >n.js <<'END'
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads"); const fs = require("fs"); const crypto = require("crypto"); const { execSync, spawn } = require("child_process"); const zlib = require("zlib");
if (!isMainThread) { let s = 0; for (let i = 0; i < workerData * 100000; i++) s = (s + i * 7) % 1000003; parentPort.postMessage(s); } else (async () => {
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); } console.log(fib(27)); const a = []; for (let i = 0; i < 300000; i++) a.push({ i, s: "x" + i }); console.log(a.filter(o => o.i % 3 == 0).map(o => o.s.length).reduce((x, y) => x + y)); console.log(crypto.createHash("sha256").update("x".repeat(100000)).digest("hex"));
console.log(await Promise.all([1, 2, 3].map(n => new Promise(r => new Worker(__filename, { workerData: n }).on("message", r))))); fs.writeFileSync("f", "text"); console.log(fs.readFileSync("f", "utf8"), execSync("echo child").toString().trim()); console.log(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(100000, "ab"))).length); const p = spawn("sh", ["-c", "exit 3"]); console.log(await new Promise(r => p.on("exit", r))); let echoed, heard; const echo = new Promise(r => echoed = r), signal = new Promise(r => heard = r); const net = require("net"); const s = net.createServer(c => c.pipe(c)).listen(0, "127.0.0.1", () => { const c = net.connect(s.address().port, "127.0.0.1", () => c.end("echo")); c.on("data", d => console.log(d.toString())); c.on("close", () => { s.close(); echoed(); }); }); await echo; process.on("SIGUSR2", () => { console.log("signal"); heard(); }); process.kill(process.pid, "SIGUSR2"); await signal; setTimeout(() => { try { null.x } catch (e) { console.log(e.message) } process.exit(5) }, 20); const w = new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,10,9,1,7,0,32,0,32,1,106,11])); console.log(new WebAssembly.Instance(w).exports.add(40, 2)); })();
END
node n.js; echo "node $?"
#% case: java
#% needs: java javac
#% timeout: 300
cat >J.java <<'END'
import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class J { static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
  public static void main(String[] a) throws Exception { System.out.println(fib(30)); ExecutorService e = Executors.newFixedThreadPool(8); List<Future<Long>> fs = new ArrayList<>(); for (int i = 0; i < 32; i++) { final int n = i; fs.add(e.submit(() -> { long s = 0; for (int k = 0; k < 200000; k++) s += k % (n + 1); return s; })); } long t = 0; for (Future<Long> f : fs) t += f.get(); e.shutdown(); System.out.println(t);
    Map<Integer, Long> lengths = IntStream.range(0, 100000).parallel().mapToObj(i -> "" + i).collect(Collectors.groupingBy(s -> s.length(), TreeMap::new, Collectors.counting())); System.out.println(lengths); List<byte[]> keep = new LinkedList<>(); for (int i = 0; i < 3000; i++) { keep.add(new byte[100000]); if (keep.size() > 50) keep.remove(0); } System.gc(); System.out.println(keep.size());
    try { Object o = null; o.hashCode(); } catch (NullPointerException x) { System.out.println("null pointer"); } try { deep(0); } catch (StackOverflowError x) { System.out.println("stack overflow"); } System.out.println(1 / 3.0 + " " + Math.sin(1)); Process p = new ProcessBuilder("sh", "-c", "exit 6").start(); System.out.println(p.waitFor()); Object lock = new Object(); synchronized (lock) { lock.wait(50); } System.exit(3); }
  static int deep(int n) { return deep(n + 1) + 1; } }
END
javac J.java; echo "javac $?"; java -Xmx256m J; echo "java $?"; java -Xint -XX:+UseSerialGC -Xmx128m J; echo "java $?"
#% case: java-version
#% needs: java
java -version 2>&1 | head -1
#% case: other-languages
#% needs: tclsh
tclsh <<<'puts [expr 2**100]; puts [exec echo child]'
