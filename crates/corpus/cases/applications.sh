# Applications that calculate much or talk much.
#% case: openssl
#% needs: openssl
#% timeout: 120
#% filter: s/^(Certificate will not expire|notBefore|notAfter).*$//
seq 1 50000 >f; for d in md5 sha1 sha256 sha512 sha3-256 blake2b512; do openssl dgst -$d f; done; for c in aes-256-cbc aes-128-ctr chacha20 camellia-128-cbc; do openssl enc -$c -pbkdf2 -S 0102030405060708 -k pw -in f | cksum; openssl enc -$c -pbkdf2 -k pw -in f | openssl enc -d -$c -pbkdf2 -k pw | cmp - f && echo "$c"; done
openssl genrsa -out k 2048 2>/dev/null; openssl rsa -in k -pubout -out p 2>/dev/null; openssl dgst -sha256 -sign k -out s f; openssl dgst -sha256 -verify p -signature s f; openssl req -x509 -new -key k -subj /CN=x -days 10 -out c; openssl verify -CAfile c c; openssl ecparam -name prime256v1 -genkey -noout -out e; openssl pkey -in e -noout && echo ec; openssl genpkey -algorithm ed25519 -out d && openssl pkey -in d -noout && echo ed; openssl rand -hex 8 | wc -c; openssl prime 1000003; openssl base64 -in f | cksum; openssl verify missing 2>/dev/null; echo "bad $?"; rm -f k p s c e d
openssl version -v | cut -d' ' -f1; openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt pass:x -kdfopt salt:y -kdfopt iter:1000 PBKDF2
#% case: openssl-server
#% needs: openssl
#% timeout: 60
openssl req -x509 -newkey rsa:2048 -nodes -keyout k -subj /CN=x -days 10 -out c 2>/dev/null; openssl s_server -quiet -unix s -key k -cert c -rev -naccept 1 2>/dev/null & server=$!; for i in $(seq 50); do [ -S s ] && break; sleep 0.1; done; printf 'hello\nCLOSE\n' | openssl s_client -quiet -unix s 2>/dev/null; wait $server; echo "server $?"; rm -f k c s
#% case: ffmpeg
#% needs: ffmpeg
#% timeout: 300
ffmpeg -v error -f lavfi -i testsrc=duration=1:size=160x120:rate=10 -f lavfi -i sine=frequency=440:duration=1 -threads 2 -c:v mpeg4 -c:a pcm_s16le -bitexact -flags +bitexact out.avi </dev/null; echo "encode $?"; ffmpeg -v error -i out.avi -f md5 - </dev/null; ffmpeg -v error -i out.avi -vf scale=80:60,hflip -frames:v 3 -bitexact f%d.png </dev/null; cksum f*.png; ffprobe -v error -show_entries stream=codec_name,width,nb_frames -of csv out.avi
#% case: imagemagick
#% needs: convert identify
#% timeout: 120
convert -version >/dev/null || exit; convert -size 120x90 gradient:red-blue -rotate 30 -blur 0x2 g.ppm; echo "convert $?"; cksum g.ppm; convert g.ppm -resize 50% -colorspace Gray h.pgm; cksum h.pgm
#% case: man-and-less
#% needs: less
seq 1 100 | less | tail -1; seq 10 | more | tail -1
#% case: cpio-zip-file
#% needs: cpio
seq 100 >f; echo f | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null
#% case: file-and-strings
#% needs: file strings
file -b /bin/true | cut -d, -f1; seq 10 >n; file -b n; strings -n 12 /bin/true | head -3
#% case: curl
#% needs: curl python3
python3 -c '
import http.server, threading, subprocess
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b"y" * 100000)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()
print(len(subprocess.check_output(["curl", "-s", f"http://127.0.0.1:{s.server_port}/"]))); print(subprocess.run(["curl", "-s", "http://127.0.0.1:1/"]).returncode)'
