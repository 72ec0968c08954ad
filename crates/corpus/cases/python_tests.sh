# CPython's own tests of what it asks of a kernel: the result of each, by name.
# Results go to a file of their own: tests, and what they start, print whenever they like.
runner='
import sys, unittest
results = open("results", "w")
class Result(unittest.TextTestResult):
    pass
def teller(method, what):
    def told(self, test, *more):
        getattr(unittest.TextTestResult, method)(self, test, *more)
        print(test.id(), what, file=results, flush=True)
    setattr(Result, method, told)
for method, what in [("addSuccess", "ok"), ("addSkip", "skipped"), ("addFailure", "FAIL"), ("addError", "ERROR"),
                     ("addExpectedFailure", "expected failure"), ("addUnexpectedSuccess", "unexpected success")]:
    teller(method, what)
unittest.main(None, argv=["unittest", sys.argv[1]], testRunner=unittest.TextTestRunner(resultclass=Result))
'
report() {
  for module; do
    python3 -c "$before$runner" "test.$module" >log 2>&1 </dev/null
    echo "$module: $?"
    sort results
  done
  rm -f log results
}
#% case: quick
#% needs: python3
#% modules: test.test_mmap test.test_epoll test.test_fcntl test.test_openpty test.test_resource
#% timeout: 120
#% quick
report test_mmap test_epoll test_fcntl test_openpty test_resource
#% case: processes
#% needs: python3
#% modules: test.test_os test.test_posix test.test_fork1 test.test_wait3 test.test_wait4 test.test_popen test.test_pipes test.test_pty
#% timeout: 300
#% filter: /pidfd/d
report test_os test_posix test_fork1 test_wait3 test_wait4 test_popen test_pipes test_pty
#% case: subprocesses
#% needs: python3
#% modules: test.test_subprocess
#% timeout: 300
report test_subprocess
#% case: signals
#% needs: python3
#% modules: test.test_signal test.test_threadsignals test.test_eintr test.test_faulthandler
#% timeout: 300
#% filter: /pidfd/d
report test_signal test_threadsignals test_eintr test_faulthandler
#% case: threads
#% needs: python3
#% modules: test.test_threading test.test_thread test.test_threading_local test.test_queue test.test_interpreters
#% timeout: 300
report test_threading test_thread test_threading_local test_queue test_interpreters
#% case: files
#% needs: python3
#% modules: test.test_file test.test_fileio test.test_tempfile test.test_shutil test.test_ctypes test.test_struct test.test_zlib
#% timeout: 300
report test_file test_fileio test_tempfile test_shutil test_ctypes test_struct test_zlib
#% case: waits
#% needs: python3
#% modules: test.test_select test.test_poll test.test_selectors test.test_socketserver test.test_time
#% timeout: 300
#% filter: /test_monotonic_settime/d
report test_select test_poll test_selectors test_socketserver test_time
#% case: asyncio
#% needs: python3
#% modules: test.test_asyncio.test_unix_events test.test_asyncio.test_events test.test_asyncio.test_streams test.test_asyncio.test_subprocess
#% timeout: 400
#% filter: /[Pp]idfd/d
# The tests' servers give a handshake five seconds; on a tortured machine one takes longer.
before='import test.support; test.support.LOOPBACK_TIMEOUT = 60.0'
report test_asyncio.test_unix_events test_asyncio.test_events test_asyncio.test_streams test_asyncio.test_subprocess
#% case: multiprocessing
#% needs: python3
#% modules: test.test_multiprocessing_fork
#% timeout: 900
#% filter: /test_shared_memory_cleaned_after_process_termination/d
# A socket's name is short, so the folder of its managers' sockets has to be.
export TMPDIR=/tmp
report test_multiprocessing_fork
