# Guest processes that must not disturb each other.
#% case: eight-at-once
#% needs: sqlite3 flock
#% loose: shared.db
#% timeout: 120
one() {
    n=$1; mkdir "d$n"; cd "d$n" || exit; umask "0$((n % 8))2$((n % 8))"
    for i in 1 2 3 4 5; do
        touch "m$i"; [ "$(basename "$PWD")" = "d$n" ] || echo "elsewhere: $PWD"
        sqlite3 -cmd '.timeout 2000000000' own.db "create table if not exists t(a); insert into t values($i);"
        sqlite3 -cmd '.timeout 2000000000' ../shared.db "insert into t values($n, $i);"
        ( flock 9; c=$(cat ../counter); echo $((c + 1)) >../counter ) 9>../lock
        (cd / && umask 077; pwd >/dev/null)
    done
    stat -c %a m1; umask; sqlite3 own.db 'select sum(a) from t; pragma integrity_check;'
}
sqlite3 shared.db 'create table t(n, i);'; echo 0 >counter; : >lock
for n in 1 2 3 4 5 6 7 8; do (one $n >"out$n" 2>&1) & done; wait; cat out*; cat counter
sqlite3 shared.db 'select n, sum(i) from t group by n order by n; pragma integrity_check;' ; sqlite3 shared.db 'create table u as select * from t order by n, i; drop table t; vacuum;' ; for n in 1 2 3 4 5 6 7 8; do stat -c '%n %a' "d$n"/*; done
