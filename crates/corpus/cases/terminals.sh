# Programs that make terminals, and what their keys do to those inside.
#% case: script
#% quick
#% needs: script
script -qec 'tty >/dev/null && stty size && echo in a terminal' /dev/null </dev/null | tr -d '\r'
script -qec 'stty -a | grep -o "intr = ^C"; exit 5' typescript </dev/null | tr -d '\r'; echo "status ${PIPESTATUS[0]}"; grep -c intr typescript; rm typescript
script -qec 'ps -o tty=,stat= -p $$ | grep -c "pts.*+"; [ "$(ps -o sid= -p $$ | tr -d " ")" != "$PPID" ] && ps -o tpgid=,pgid= -p $$ | { read a b; [ "$a" = "$b" ] && echo in the foreground; }' /dev/null </dev/null | tr -d '\r'
#% case: expect
#% quick
#% needs: expect
#% timeout: 20
expect <<'END'
log_user 0
spawn bash --norc --noprofile
send "PS1='ready> '\r"
expect "ready> "
expect "ready> "
send "echo \$((6*7))\r"
expect "42"
puts "answered"
send "exit 3\r"
expect eof
puts [lindex [wait] 3]
END
#% case: keys
#% quick
#% needs: expect
#% timeout: 30
#% filter: s/\r//
expect <<'END'
log_user 0
set timeout 10
proc seen {what} {
    expect {
        -re $what { puts "seen: $what" }
        timeout { puts "not seen: $what" }
        eof { puts "ended before: $what" }
    }
}
spawn bash --norc --noprofile
send "PS1='re''ady> '\r"
seen "ready> "
send "echo st''arts; sleep 100; echo status \$?\r"
seen "starts"
sleep 0.5
send "\003"
seen "ready> "
send "echo then \$?\r"
seen "then 130"
send "echo st''arts; sleep 200\r"
seen "starts"
sleep 0.5
send "\032"
seen "Stopped"
send "jobs; echo li''sted\r"
seen "Stopped +sleep 200"
seen "listed"
send "bg\r"
seen "sleep 200 &"
send "fg\r"
seen "sleep 200"
sleep 0.5
send "\003"
seen "ready> "
send "echo st''arts; cat; echo cat was \$?\r"
seen "starts"
send "a line\r"
seen "a line.*a line"
send "\004"
seen "cat was 0"
send "cat &\r"
seen "\\\[1\\\]"
send "sleep 0.5; jobs\r"
seen "Stopped +cat"
send "kill %1; sleep 0.5; jobs\r"
seen "Terminated +cat"
send "stty -echo; echo st''arts; read -r word; echo \"<\$word>\"; stty echo\r"
seen "starts"
send "quietly\r"
seen "<quietly>.*ready> "
send "\004"
expect eof
puts [lindex [wait] 3]
END
#% case: tmux
#% quick
#% needs: tmux
#% timeout: 20
tmux -S s -f /dev/null new-session -d -x 80 -y 24 'bash --norc --noprofile'; tmux -S s send-keys 'echo in tmux $((40+2))' Enter; for i in $(seq 50); do tmux -S s capture-pane -p | grep -q 'in tmux 42' && break; sleep 0.1; done; tmux -S s capture-pane -p | grep '^in tmux'; tmux -S s list-windows -F '#{window_index}'; tmux -S s kill-server; sleep 0.3; echo "ended $?"; rm -f s
#% case: tmux-panes
#% quick
#% needs: tmux
#% timeout: 30
export HISTFILE=
until_seen() { for i in $(seq 100); do tmux -S s capture-pane -p -t "$1" | grep -q "$2" && { echo "seen in $1: $2"; return; }; sleep 0.1; done; echo "not seen in $1: $2"; }
tmux -S s -f /dev/null new-session -d -x 80 -y 24 'bash --norc --noprofile'
tmux -S s split-window -h -d 'bash --norc --noprofile'
tmux -S s send-keys -t 0.1 'trap "echo size \$(stty size)" WINCH; echo waits' Enter; until_seen 0.1 '^waits'
tmux -S s resize-pane -t 0.0 -x 20; tmux -S s send-keys -t 0.1 '' Enter; until_seen 0.1 'size 24 59'
tmux -S s send-keys -t 0.0 'sleep 100' Enter; sleep 0.5; tmux -S s send-keys -t 0.0 C-c; tmux -S s send-keys -t 0.0 'echo was $?' Enter; until_seen 0.0 '^was 130'
tmux -S s new-window -d 'echo short; exec sleep 100'; tmux -S s list-windows -F '#{window_index} #{window_panes}'
tmux -S s send-keys -t 0.1 'exit' Enter; for i in $(seq 50); do [ "$(tmux -S s list-panes -t 0 | wc -l)" = 1 ] && break; sleep 0.1; done; tmux -S s list-panes -t 0 -F '#{pane_index} #{pane_width}'
script -qec 'stty rows 30 cols 100; tmux -S s attach' /dev/null </dev/null >/dev/null & for i in $(seq 50); do [ -n "$(tmux -S s list-clients)" ] && break; sleep 0.1; done; tmux -S s list-clients -F '#{client_width}x#{client_height}'; tmux -S s detach-client -a 2>/dev/null; tmux -S s kill-server; wait; rm -f s; echo ended
