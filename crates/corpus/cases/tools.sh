# The tools of every Linux system: search, edit, compare, pack, calculate.
#% case: findutils
#% quick
mkdir -p tree/{a,b,c}/{x,y}; for d in tree/*/*; do seq 1 50 >"$d/file.txt"; ln -s file.txt "$d/link"; done; chmod 600 tree/a/x/file.txt
find tree -type f | sort; find tree -name '*.txt' -size -1k -o -perm 600 -print | sort
find tree -type l -printf '%p -> %l %d\n' | sort; find tree -mindepth 2 -maxdepth 2 -type d | wc -l
find tree -name file.txt -exec grep -c 4 {} + | sort; find tree -name file.txt -print0 | xargs -0 -n 2 wc -l | tail -1
find tree -path '*b*' -prune -o -type f -print | sort; find tree -newer tree/a -type d -empty; find tree -name link -delete; find tree | wc -l
seq 20 | xargs -n 3 echo; echo a b c | xargs -I{} echo "<{}>"; seq 3 | xargs -P 3 -I{} sh -c 'exit 0'; echo "xargs $?"; false | xargs -r echo none
#% case: diffutils
#% quick
seq 1 100 >a; sed -e '10s/.*/ten/' -e '50d' -e '70a new' a >b; sed '20s/.*/twenty/' a >c
diff a b; diff -u --label a --label b a b; diff -y --suppress-common-lines a b; diff -q a c; diff a a; echo "same $?"
diff3 -m b a c | cksum; cmp a b; cmp -l a b | head -3; sdiff -s a b; mkdir d e; cp a d/f; cp b e/f; diff -r d e | wc -l; diff --brief -r d e
#% case: grep
#% quick
seq 1 20000 >n; grep -c 7 n; grep -E '^(1|2)9+$' n; grep -n -m 3 55 n; grep -v '[0-8]' n; grep -o '12[0-9]' n | sort | uniq -c | head -4
grep -P '(?<=1)99(?=8)' n | head -3; grep -w -A 1 -B 1 777 n; printf 'Ünï cödé\nplain\n' | grep -i 'CÖDÉ'; grep -F -x -f <(printf '5\n50\n500\n') n
mkdir d; cp n d/; grep -rl 19999 . | sort; grep -q nothing n; echo "no $?"; grep x missing; echo "missing $?"; grep -z -c 1 n; grep --color=always 1999 n | head -1
#% case: sed
#% quick
seq 1 30 | sed -n '5,7p;10{s/1/one/;p};$='; printf 'a b\nc d\n' | sed -E 's/(\w) (\w)/\2 \1/;y/abcd/ABCD/'
seq 1 6 | sed 'N;N;s/\n/,/g'; seq 1 5 | sed '1!G;h;$!d'; seq 1 5 >f; sed -i.bak 's/3/three/' f; cat f f.bak; seq 3 | sed '2i\inserted' | sed '/ins/a\appended'
echo hello | sed 's/l/L/2;s/h/\U&/'; seq 1 10 | sed '/3/,/6/d'; seq 100000 | sed 's/9/nine/g' | cksum; seq 3 | sed 'w out' >/dev/null; cat out; echo aXb | sed 's/x/-/I'; seq 3 | sed '2q5'; echo "q $?"
sed --debug -n 'p' /dev/null | head -2; printf 'one\0two\0' | sed -z 's/^/>/' | tr '\0' '\n'; sed 'b end;s/a/b/;:end' <<<a; sed '{' <<<a
#% case: gawk
#% needs: gawk
#% quick
seq 1 1000 | gawk '{s+=$1; q+=$1*$1} END {print s, q, sqrt(q)/NR}'; echo 'a:b:c' | gawk -F: -v OFS=- '{$1=$1; print; print NF, $NF}'
gawk 'BEGIN {for (i = 0; i < 5; i++) a[i % 3] += i; n = asorti(a, k); for (i = 1; i <= n; i++) print k[i], a[k[i]]; printf "%5.2f|%-5s|%x\n", 3.14159, "ab", 255}'
gawk 'BEGIN {while (("seq 3" | getline x) > 0) print "got", x; close("seq 3"); print "to sort" | "sort"; print "also" | "sort"; close("sort"); system("echo from system")}'
gawk 'BEGIN {print match("foobar", /o+/, m), m[0], gensub(/(o)(b)/, "\\2\\1", 1, "foobar"), toupper("x"), substr("hello", 2, 3), strftime("%Y", 86400, 1), length("añb")}'
gawk 'function f(n) {return n < 2 ? n : f(n-1) + f(n-2)} BEGIN {print f(20); srand(7); r = rand(); print (r >= 0 && r < 1); print substr("x", 1) > "out"; print ENVIRON["LC_ALL"], ARGC}'; cat out
seq 50000 | gawk '{c[length($1)]++; w[$1 % 997] = w[$1 % 997] + $1} END {for (l = 1; l < 6; l++) print l, c[l]; print w[500]}'; gawk 'BEGIN {exit 3}'; echo "exit $?"; gawk 'BEGIN {print 1/3 > "/dev/stderr"; getline l < "missing"; print (getline l < "missing")}'
gawk -M 'BEGIN {print 2^100}'; gawk 'BEGIN { c = "cat"; print "coprocess" |& c; close(c, "to"); c |& getline line; print line }'
#% case: mawk
#% needs: mawk
seq 1 1000 | mawk '{s+=$1} END {print s}'; mawk 'BEGIN {while (("seq 3" | getline x) > 0) t += x; print t; printf "%.3f\n", atan2(1, 1) * 4}'
#% case: tar
#% quick
mkdir -p src/deep/er; seq 1 5000 >src/a; head -c 100000 /dev/zero >src/b; ln -s a src/link; ln src/a src/hard; touch -d 2020-01-02 src/deep/er/empty; chmod 750 src/deep
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=2020-01-01 -cf t.tar src; tar tvf t.tar; cksum t.tar
for z in gzip bzip2 xz zstd; do command -v $z >/dev/null && tar --$z --sort=name --mtime=2020-01-01 --owner=0 --group=0 -cf "t.$z" src && mkdir "x$z" && tar xf "t.$z" -C "x$z" && diff -r src "x$z/src" && echo "$z round"; done
tar rf t.tar --mtime=2020-01-01 --owner=0 --group=0 -C src a; tar tf t.tar | tail -2; tar xOf t.tar src/a | tail -1; tar -xf t.tar --strip-components=2 src/deep/er; ls er; tar df t.tar >/dev/null 2>&1; echo "d $?"; tar xf missing; echo "missing $?"
head -c 50000 t.tar | tar tf - >/dev/null; echo "cut $?"; mkdir s; truncate -s 5M s/hole; echo end >>s/hole; tar -S --mtime=2020-01-01 --owner=0 --group=0 -cf s.tar s; stat -c %s s.tar
#% case: gzip
#% quick
seq 1 200000 >in; gzip -nk in; gzip -l in.gz; zcat in.gz | cmp - in && echo same; gzip -t in.gz && echo tested; for l in 1 9; do gzip -n -$l <in | wc -c; done; zgrep -c 99999 in.gz; printf garbage | gzip -d; echo "bad $?"; head -c 1000 in.gz | gzip -dc | tail -1; gunzip -f in.gz; zdiff in in && echo zdiff; gzexe /dev/null 2>/dev/null; echo $?
#% case: xz
#% timeout: 120
#% needs: xz
seq 1 200000 >in; xz -k -T2 in; xz -dc in.xz | cmp - in && echo same; xz --robot -l in.xz | cut -f 1-3; for l in 0 6; do xz -$l <in | wc -c; done; xz -t in.xz && echo tested; printf garbage | xz -d; echo "bad $?"; lzma <in | unlzma | cksum; xz --format=raw --lzma2=preset=3 <in | wc -c
#% case: zstd
#% timeout: 200
#% needs: zstd
seq 1 300000 >in; zstd -q -k in; zstd -q -dc in.zst | cmp - in && echo same; for l in 1 9 19; do zstd -q -$l <in | wc -c; done; zstd -q -T2 -5 <in | zstd -q -dc | cksum; zstd -q -t in.zst && echo tested; printf garbage | zstd -q -d; echo "bad $?"; mkdir s; for i in $(seq 200); do seq $i $((i + 50)) >s/$i; done; zstd -q --train s/* -o dict && zstd -q -D dict <s/5 | zstd -q -D dict -d | cmp - s/5 && echo dictionary; zstd -b1 -i0 in >/dev/null 2>&1; echo $?
#% case: bc
#% needs: bc
#% quick
echo '2^1000; scale=50; 4*a(1); sqrt(2); e(1)' | bc -l; echo 'define f(n) { if (n < 2) return n; return f(n-1)+f(n-2); } f(18)' | bc; echo 'obase=16; 255; ibase=2; 1010' | bc; echo '1/0' | bc; echo "zero $?"; echo 'for (i = 0; i < 3; ++i) i^2; "text
"' | bc; printf 'a=1\nwhile (a<5) { a; a+=1 }\n' | bc -q
#% case: perl
#% quick
perl -e 'my %h; $h{length $_}++ for map { $_ x 3 } 1..5000; print "$_ $h{$_}\n" for sort { $a <=> $b } keys %h'
perl -ne 'print if /^(\d)\1+$/' <(seq 1 10000); perl -pe 's/(\w+)/\u$1/g' <<<"hello perl world"; perl -le 'print join ",", map { sprintf "%02x", $_ } unpack "C*", pack "NnC", 1e9, 513, 7'
perl -e '$| = 1; my $pid = fork // die; if (!$pid) { print "child\n"; exit 3 } waitpid $pid, 0; print "status ", $? >> 8, "\n"; pipe my $r, my $w; if (!fork) { close $r; print $w "through a pipe\n"; exit } close $w; print <$r>; wait'
perl -e 'local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5; }; print "caught $@"; local $SIG{USR1} = sub { print "usr1\n" }; kill USR1 => $$; print "after\n"; my $out = `echo backticks; exit 2`; print $out, $? >> 8, "\n"; system "exit 5"; print $? >> 8, "\n"'
perl -MPOSIX -e 'print floor(-1.5), " ", strftime("%Y-%m-%d", gmtime 0), "\n"; mkfifo "f", 0600; if (!fork) { open my $o, ">", "f"; print $o "fifo\n"; exit } open my $i, "<", "f"; print <$i>; wait' ; perl -MSocket -e 'socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die; if (!fork) { syswrite $a, "socket\n"; exit } sysread $b, my $l, 100; print $l; wait'
perl -MDigest::MD5=md5_hex -MList::Util=sum,shuffle -MData::Dumper -e '$Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1; print md5_hex("x" x 100000), "\n", sum(1..1000), "\n", Dumper({a => [1, {b => undef}], c => \"s"})'; perl -e 'my @a = sort { $a <=> $b } map { ($_ * 7919) % 100003 } 1..60000; print "$a[0] $a[30000] $a[-1]\n"; open my $f, ">", "o"; print $f $_ x 10, "\n" for 1..500; close $f; print -s "o", "\n"; die "dies\n"'; echo "die $?"
#% case: perl-threads
#% needs: perl
perl -Mthreads -Mthreads::shared -e 'my $n :shared = 0; my @t = map { threads->create(sub { for (1..200) { lock $n; $n++ } return $_[0] * 2 }, $_) } 1..8; my $s = 0; $s += $_->join for @t; print "$n $s\n"' 2>&1
#% case: busybox
#% needs: busybox
#% quick
seq 1 3000 | busybox sort -rn | busybox head -3; busybox sha256sum /dev/null; busybox awk 'BEGIN {for (i=0;i<10;i++) s+=i; print s}'; busybox sh -c 'for i in 1 2 3; do echo $i | busybox tr 1-3 a-c; done; (exit 4); echo $?'; busybox vi --help 2>/dev/null; echo a | busybox sed s/a/b/; busybox ls /nonexistent; echo $?; busybox seq 3 | busybox xargs -n1 busybox echo; busybox printf '%d\n' 7; busybox find . -type f
#% case: ps-and-files
#% needs: ps
#% filter: s/[0-9]+/N/g
sleep 30 & ps -o comm= -p $! ; ps -o stat= -p $! | cut -c1; kill $!; wait $! 2>/dev/null; free -b | wc -l; uptime >/dev/null && echo uptime; pgrep -x nothing-of-this-name; echo "pgrep $?"
