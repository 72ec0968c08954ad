# Databases: their locks, journals, shared memory and background saves.
#% case: sqlite3-delete
#% needs: sqlite3
#% quick
#% loose: a.db
sqlite3 a.db "pragma journal_mode=delete; create table t(id integer primary key, v text); with recursive n(i) as (select 1 union all select i+1 from n where i<5000) insert into t select i, hex(i*7919) from n; create index x on t(v); select count(*), sum(length(v)) from t; delete from t where id%3=0; vacuum; pragma integrity_check; select v from t order by v limit 3;"
for n in 1 2 3 4; do sqlite3 -cmd '.timeout 2000000000' a.db "begin immediate; insert into t(v) values('writer $n'); commit;" & done; wait; sqlite3 a.db "select count(*) from t where v like 'writer%'; pragma integrity_check;"; sqlite3 a.db "begin; insert into t(v) values('lost'); rollback; select count(*) from t;"; sqlite3 a.db "selec"; echo "error $?"; sqlite3 a.db "update t set v='writer' where v like 'writer%';" .dump | cksum
#% case: sqlite3-wal
#% needs: sqlite3
#% loose: -shm
#% loose: w.db
sqlite3 w.db "pragma journal_mode=wal; create table t(id integer primary key, n int, k int);"
for n in 1 2 3 4; do ( for k in 1 2 3 4 5 6 7 8 9 10; do sqlite3 -cmd '.timeout 2000000000' w.db "insert into t(n, k) values($n, $k);"; done ) & done
for n in 1 2 3; do sqlite3 -cmd '.timeout 2000000000' w.db "select count(*) >= 0 from t; pragma integrity_check;"; done; wait
sqlite3 w.db "select n, count(*), sum(k) from t group by n order by n; pragma integrity_check; pragma wal_checkpoint(truncate);"; sqlite3 w.db "pragma mmap_size=268435456; select sum(k*n) from t; pragma journal_mode;"
#% case: sqlite3-mmap
#% needs: sqlite3
sqlite3 m.db "pragma mmap_size=100000000; create table t(a, b); with recursive n(i) as (select 1 union all select i+1 from n where i<30000) insert into t select i, printf('%08d', i*31%10007) from n; select count(distinct b) from t; update t set b=b||'x' where a%2; select b, count(*) from t group by b order by 2 desc, 1 limit 3; create virtual table f using fts5(x); insert into f select b from t where a<500; select count(*) from f where f match '00000310'; pragma integrity_check;"
#% case: redis
#% needs: redis-server redis-cli redis-benchmark
#% timeout: 120
#% loose: dump.rdb
#% loose: log
#% filter: s/[0-9]+\.[0-9]+/N/g
redis-server --unixsocket "$PWD/s" --port 0 --save '' --dbfilename dump.rdb --dir . --logfile log --daemonize no --appendonly no & server=$!
for i in $(seq 100); do [ -S s ] && break; sleep 0.1; done; cli() { redis-cli -s s "$@"; }
cli ping; cli set k v; cli get k; cli eval 'local s = 0; for i = 1, 1000 do s = s + i end; return s' 0; cli rpush l 1 2 3; cli lrange l 0 -1; cli debug sleep 0 | head -1
redis-benchmark -s s -q -n 4000 -c 20 -r 1000 -t set,get,incr,lpush,zadd --csv | cut -d, -f1
cli bgsave; for i in $(seq 100); do [ "$(cli info persistence | tr -d '\r' | grep -c rdb_bgsave_in_progress:0)" = 1 ] && break; sleep 0.1; done; cli info persistence | tr -d '\r' | grep rdb_last_bgsave_status
before=$(cli dbsize); cli shutdown save; wait $server; echo "server $?"; redis-server --unixsocket "$PWD/s" --port 0 --dir . --logfile log --save '' & server=$!
for i in $(seq 100); do cli ping 2>/dev/null | grep -q PONG && break; sleep 0.1; done; [ "$(cli dbsize)" = "$before" ] && echo "as before"; cli get k; kill -TERM $server; wait $server; echo "terminated $?"
#% case: postgresql
#% needs: psql pgbench pg_ctlcluster
#% timeout: 120
# Its server refuses to be root's, so root lends it to the user of its package, who may not see this folder.
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
place=$(mktemp -d /tmp/postgresql.XXXXXX)
as() { if [ "$(id -u)" = 0 ]; then su -s /bin/bash postgres -c "cd $place && $*"; else (cd "$place" && bash -c "$*"); fi; }
[ "$(id -u)" = 0 ] && chown postgres "$place"
trap 'rm -rf "$place"' EXIT
query() { as "psql -h $place -p 5544 -At -d postgres" <<<"$1"; }
as "$bin/initdb -D data -A trust -E UTF8 --locale=C" >log 2>&1 || cat log
server() { as "$bin/pg_ctl -D data -o '-k $place -h \"\" -p 5544' -l log -w $*" >>log 2>&1; echo "$1 $?"; }
server start
query 'create table numbers as select n, n * n square from generate_series(1, 20000) n; create index on numbers (square)'
query 'select sum(square), count(*) from numbers; explain (costs off) select n from numbers where square = 144'
as "pgbench -h $place -p 5544 -i -s 1 -q postgres" >>log 2>&1; echo "tables $?"
as "pgbench -h $place -p 5544 -c 4 -j 2 -t 50 postgres" 2>>log | grep -E 'actually processed|failed'
query 'select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts) from pgbench_history'
server stop -m fast
server start
query 'begin; delete from numbers; select count(*) from numbers; rollback; select count(*) from numbers; vacuum numbers'
server stop -m immediate
server start
query "select square from numbers where n = 12; select md5(string_agg(square::text, ',' order by n)) from numbers"
server stop -m smart
rm log
