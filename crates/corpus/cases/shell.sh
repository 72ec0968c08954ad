# bash and dash: what scripts do with processes, descriptors and signals.
#% case: pipelines
#% quick
seq 1 1000 | grep 7 | sort -rn | head -5 | tr '\n' ' '; echo
yes | head -3; echo "statuses ${PIPESTATUS[*]}"
set -o pipefail
false | true; echo "pipefail $?"
echo one two three | { read -r a b; echo "$b"; }
seq 5 | while read -r n; do echo $((n * n)); done | paste -sd+ | bc
! true; echo "negated $?"
#% case: substitutions
#% quick
echo "$(echo outer "$(echo inner `echo backquoted`)")"
lines=$(printf 'a\nb\n\n\n'); echo "${#lines}"
diff <(seq 1 5) <(seq 2 6)
cat <(echo first) <(echo second) | tee >(tr a-z A-Z >upper) >/dev/null; sleep 0.3; cat upper
mapfile -t names < <(printf '%s\n' x y z); echo "${names[1]} ${#names[@]}"
echo $(( $(echo 6) * $(echo 7) ))
printf -v padded '%05d' 42; echo "$padded ${padded:2:2} ${padded//0/-}"
#% case: here-documents
#% quick
name=world
cat <<END
hello $name $(echo command) $((1 + 2))
END
cat <<'END'
no $expansion `here`
END
cat <<-END
	tabs are dropped
	END
read -r word <<<"a here string"; echo "$word"
big=$(seq 1 40000); cat <<END | cksum
$big
END
#% case: background-jobs
#% quick
for n in 3 1 2; do (sleep 0.$n; echo "job $n"; exit "$n") & done
wait %1; echo "first $?"
wait; echo "all $?"
(exit 7) & wait $!; echo "status $?"
sleep 100 & kill $!; wait $! 2>/dev/null; echo "killed $?"
for n in 1 2 3 4 5 6 7 8; do echo "$n" >"part$n" & done; wait; cat part*
coproc CAT { cat; }; echo through >&"${CAT[1]}"; read -r answer <&"${CAT[0]}"; echo "coproc $answer"; exec {CAT[1]}>&-
(sleep 0.1; exit 3) & (sleep 0.5; exit 4) & wait -n; echo "first to end $?"; wait
#% case: traps
#% quick
trap 'echo exiting $?' EXIT
trap 'echo got USR1' USR1
trap 'echo error at line $LINENO' ERR
trap '' USR2
kill -USR1 $$; kill -USR2 $$
(kill -USR1 $BASHPID; echo not here) ; echo "subshell died $?"
false
(trap 'echo terminated; exit 9' TERM; kill -TERM $BASHPID; sleep 1); echo "status $?"
trap - USR2
(kill -USR2 $BASHPID); echo "USR2 $?"
trap 'echo interrupted the sleep' ALRM
(sleep 0.2; kill -ALRM $$) & sleep 0.6; wait
trap -p | sort
exit 5
#% case: set-e
#% quick
set -euo pipefail
f() { false; echo "not stopped in a condition"; }
f || echo never
if f; then echo condition; fi
(set +e; false; echo "off here")
x=${unset_one:-default}; echo "$x"
bash -c 'set -e; true | false; echo "last of a pipe fails"; ' || echo "stopped $?"
bash -c 'set -u; echo $nothing' || echo "unset $?"
false
echo "not reached"
#% case: job-control
#% quick
#% filter: s/^\[[0-9]+\] [0-9]+$/[N] PID/
#% filter: /Terminated/d
set -m
sleep 100 & sleep 200 &
jobs
kill -STOP %1; sleep 0.3; jobs
kill -CONT %1; sleep 0.3; jobs
kill %1; wait %1; echo "first $?"; kill %2; wait %2; echo "second $?"
(sleep 0.5; echo done) & fg >/dev/null
echo "fg $?"
#% case: job-control-monitor-groups
set -m
sleep 5 & first=$!
sleep 5 & second=$!
group() { ps -o pgid= -p "$1" | tr -d ' '; }
[ "$(group $first)" = "$first" ] && [ "$(group $second)" = "$second" ] && echo "groups of their own"
for group in $first $second; do kill -- -$group; wait $group; echo "ended $?"; done
#% case: redirections
#% quick
exec 3>out 4<<<"from four"; echo to three >&3; read -r line <&4; echo "$line"; exec 3>&- 4<&-; cat out
echo closed 1>&3
ls /nonexistent 2>&1 >/dev/null | sed 's/^/err: /'
{ echo out; echo err >&2; } 2>both >&2; sort both
echo append >>out; echo append >>out; wc -l <out
set -C; echo no >out; echo "noclobber $?"; echo yes >|out; cat out
exec 5<>rw; echo 12345 >&5; exec 5<rw; read -r -n 3 -u 5 part; echo "$part"
ls -l /proc/self/fd/0 | sed 's/.*-> //'
#% case: variables-and-arithmetic
#% quick
declare -A map=([one]=1 [two]=2); for k in "${!map[@]}"; do echo "$k=${map[$k]}"; done | sort
a=(5 3 9 1); IFS=$'\n' sorted=($(sort -n <<<"${a[*]}")); echo "${sorted[@]}"
fib() { local n=$1; ((n < 2)) && { echo "$n"; return; }; echo $(( $(fib $((n-1))) + $(fib $((n-2))) )); }
fib 8
s=path/to/file.tar.gz; echo "${s##*/} ${s%%.*} ${s%.*} ${s^^} ${s/to/from}"
for ((i = 0, t = 0; i < 5000; i++)); do ((t += i ** 2 % 7)); done; echo $t
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]}-${BASH_REMATCH[2]}"
shopt -s extglob globstar; mkdir -p d/e; touch d/a.c d/e/b.c d/e/c.h; echo **/*.c !(d)
printf '%s|%5.2f|%x|%q\n' text 3.14159 255 "a b"
getopts_test() { while getopts "ab:" o; do echo "$o ${OPTARG-}"; done; }; getopts_test -a -b value
case foo in f*) echo glob ;;& *o) echo also ;; esac
eval 'echo $((16#ff)) $((2#101))'; select_done=1; echo ${!select_*}
#% case: dash
#% shell: dash
#% quick
set -e
i=0; while [ $i -lt 300 ]; do i=$((i + 1)); done; echo $i
f() { echo "args $# $*"; return 3; }; f a b || echo "ret $?"
cat <<END | while IFS=: read -r a b; do echo "$b-$a"; done
x:1
y:2
END
trap 'echo bye' EXIT
dash -c 'trap "echo sub" INT; kill -INT $$; echo after'
for x in *; do echo "glob $x"; done
{ sleep 0.1; echo later; } & echo now; wait
echo "$(echo nested $(echo deep))"
printf '%s %d\n' str 12
case abc in a?c) echo match;; esac
exec 3<<END
three
END
read -r w <&3; echo "$w"
ulimit -n >/dev/null; umask; cd /; pwd
#% case: signals-between-processes
bash -c 'trap "echo parent got HUP" HUP; bash -c "kill -HUP \$PPID"; echo after'
bash -c 'kill -9 $$'; echo "nine $?"
bash -c 'kill -SEGV $$'; echo "segv $?"
bash -c 'ulimit -c 0; kill -ABRT $$'; echo "abrt $?"
timeout 0.2 sleep 5; echo "timeout $?"
timeout -s INT 0.2 bash -c 'trap "echo int; exit 4" INT; while :; do sleep 0.05; done'; echo "int $?"
( exec 2>/dev/null; yes & sleep 0.1; kill $! ) >/dev/null; echo ended
bash -c 'sleep 0.2; exit 6' & while kill -0 $! 2>/dev/null; do sleep 0.05; done; wait $!; echo "polled $?"
nohup bash -c 'trap "" TERM; kill -TERM $$; echo survived' 2>/dev/null
setsid bash -c 'echo session $(( $(ps -o sid= -p $$) == $$ ))'
#% case: many-processes
for i in $(seq 1 200); do /bin/true; done
n=0; for i in $(seq 1 100); do n=$((n + $(echo 1))); done; echo $n
seq 1 100 | xargs -n 1 -P 4 sh -c 'echo $(($0 * 2))' | sort -n | tail -3
descend() { [ "$1" -eq 0 ] && echo bottom || (descend $(($1 - 1))); }; descend 30
#% case: pipe-ring
# Fifty processes in a ring of pipes pass a token round a hundred times.
for n in $(seq 0 49); do mkfifo "p$n"; done
for n in $(seq 1 49); do
    ( exec 3<>"p$n" 4<>"p$(((n + 1) % 50))"; while read -r t <&3; do echo $((t + 1)) >&4; [ "$t" -gt 4850 ] && exit; done ) &
done
exec 3<>p0 4<>p1
t=0; while [ "$t" -le 4850 ]; do echo $((t + 1)) >&4; read -r t <&3; done; echo "token $t"; wait
rm -f p*
#% case: own-world
#% quick
#% filter: s/[0-9]+/N/g
echo $$ $PPID; cd /; [ "$(readlink /proc/self/cwd)" = / ] && echo cwd; cat /proc/self/cmdline | tr '\0' ' '; echo
cat /proc/self/comm; grep -E '^(Name|State|Threads)' /proc/self/status; wc -l </proc/self/maps
