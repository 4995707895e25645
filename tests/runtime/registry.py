#!/usr/bin/env python3
# run: timeout=180 alone
"""Images from registries: a real one with passwords, one with TLS, mirrors; and one of ours that asks for tokens, redirects,
stalls, lies and never ends. Archives, layouts, a folder of them, descriptors; what is left of what was cut off."""
import base64
import concurrent.futures
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract"))
from daemon import BUILD, Daemon, done, ok, skip_all, until  # noqa: E402
import runtime as rt  # noqa: E402
from ctl import text  # noqa: E402

warnings.simplefilter("ignore")
try:
    import crypt
except ImportError:	# gone with Python 3.13
    skip_all("needs the module crypt")

PULL = 24


def pull(c, name, auth=None):
    req = {"image": {"image": name}}
    if auth:
        req["auth"] = auth
    st, doc, _ = c.cri(PULL, req)
    return st, doc


def have(c, name):
    return c.cri(rt.I_STATUS, {"image": {"image": name}})[1].get("image")


def sha(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


def made_image(files, compress=gzip.compress):
    """config, layer blob, manifest (OCI)"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in files.items():
            i = tarfile.TarInfo(name)
            i.size = len(data)
            t.addfile(i, io.BytesIO(data))
    plain = out.getvalue()
    blob = compress(plain)
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]},
                         "rootfs": {"type": "layers", "diff_ids": [sha(plain)]}}).encode()
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress is gzip.compress else "+zstd")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(config), "size": len(config)},
                           "layers": [{"mediaType": kind, "digest": sha(blob), "size": len(blob)}]}).encode()
    return config, blob, manifest


class Fake:
    """a registry that does what is wanted of it"""

    def __init__(self):
        self.blobs, self.manifests, self.how, self.seen, self.gets = {}, {}, {}, [], 0
        fake = self
        self.stop = threading.Event()

        class H(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def say(self, code, body=b"", kind="application/json", **more):
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for k, v in more.items():
                    self.send_header(k.replace("_", "-"), v)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                try:
                    fake.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.host = "127.0.0.1:%d" % self.port
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def add(self, name, image, tag="1", **how):
        config, blob, manifest = image
        self.blobs.update({sha(config): config, sha(blob): blob})
        self.manifests[name, tag] = self.manifests[name, sha(manifest)] = manifest
        self.how[name] = dict(how, blob=sha(blob))
        return "%s/%s:%s" % (self.host, name, tag)

    def answer(self, h):
        path, _, query = h.path.partition("?")
        auth = h.headers.get("Authorization", "")
        self.seen.append((path, auth))
        if path == "/token":
            good = "Basic " + base64.b64encode(b"me:secret").decode()
            if auth != good:
                return h.say(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}')
            return h.say(200, b'{"token":"t0ken"}')
        if path.startswith("/elsewhere/"):
            return h.say(200, self.blobs[path[11:]], "application/octet-stream")
        parts = path.strip("/").split("/")
        name = "/".join(parts[1:-2])
        how = self.how.get(name, {})
        if path in ("/v2", "/v2/") or (how.get("token") and auth != "Bearer t0ken"):
            if path in ("/v2", "/v2/") and not any(x.get("token") for x in self.how.values()):
                return h.say(200)
            return h.say(401, WWW_Authenticate='Bearer realm="http://%s/token",service="s",scope="repository:%s:pull"' % (self.host, name))
        if how.get("stall") == parts[-2]:
            self.stop.wait(60)
            return None
        if parts[-2] == "manifests":
            m = self.manifests.get((name, parts[-1]))
            if how.get("huge"):
                m = b'{"schemaVersion":2,"x":"' + b"a" * (16 << 20) + b'"}'
            if m is None:
                return h.say(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
            return h.say(200, m, "application/vnd.oci.image.manifest.v1+json", Docker_Content_Digest=sha(m))
        b = self.blobs.get(parts[-1], b"")
        if parts[-1] == how.get("blob"):
            self.gets += h.command == "GET"
            if how.get("redirect"):
                return h.say(307, Location="http://localhost:%d/elsewhere/%s" % (how["redirect"], parts[-1]))
            if how.get("wrong"):
                b = bytes(len(b))
            if how.get("short"):
                b = b[:len(b) // 2]
            if how.get("endless"):
                h.send_response(200)
                h.end_headers()
                while not self.stop.is_set():
                    h.wfile.write(b"x" * 65536)
                return None
        return h.say(200, b, "application/octet-stream")


class Registry:
    """docker-registry, with a password and maybe TLS"""

    def __init__(self, root, name, tls=False):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        self.port = s.getsockname()[1]
        s.close()
        top = "%s/%s" % (root, name)
        os.makedirs(top + "/data")
        with open(top + "/htpasswd", "w", encoding="utf-8") as f:
            f.write("me:%s\n" % crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))
        conf = {"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}}, "storage": {"filesystem": {"rootdirectory": top + "/data"}},
                "auth": {"htpasswd": {"realm": "r", "path": top + "/htpasswd"}}, "http": {"addr": "127.0.0.1:%d" % self.port}}
        if tls:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=r",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", top + "/key", "-out", top + "/crt"], check=True, capture_output=True)
            conf["http"]["tls"] = {"certificate": top + "/crt", "key": top + "/key"}
        self.crt = top + "/crt"
        with open(top + "/conf.yml", "w", encoding="utf-8") as f:
            json.dump(conf, f)
        self.p = subprocess.Popen(["docker-registry", "serve", top + "/conf.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.host = "127.0.0.1:%d" % self.port
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)

    def push(self, archive, name):
        subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", "me:secret",
                        "docker-archive:" + archive, "docker://%s/%s" % (self.host, name)], check=True)

    def end(self):
        self.p.terminate()
        self.p.wait()


def real(d, reg, tls):
    c = d.c
    reg.push(d.root + "/image.tar", "a/b:1")
    name = reg.host + "/a/b:1"
    st, why = pull(c, name)
    ok(st < 0 and "unauthorized" in why.lower() or "authentication required" in str(why), "without a password: %s" % why, why)
    st, why = pull(c, name, {"username": "me", "password": "wrong"})
    ok(st < 0 and name in why, "with a wrong one: %s" % why, why)
    st, doc = pull(c, name, {"username": "me", "password": "secret"})
    ok(st == 0 and "@sha256:" in doc.get("imageRef", ""), "with the right one", doc)
    img = have(c, name)
    ok(img and name in img["repoTags"] and any(x.startswith(reg.host) for x in img["repoDigests"]), "it is there, with tag and digest", img)
    digest = next(x for x in img["repoDigests"] if x.startswith(reg.host))
    ok(have(c, digest)["id"] == img["id"], "known by its digest")
    st, doc = pull(c, digest, {"auth": base64.b64encode(b"me:secret").decode()})
    ok(st == 0 and doc["imageRef"] == digest, "pulled by digest, with docker's form of a password", doc)
    st, why = pull(c, reg.host + "/a/b:none", {"username": "me", "password": "secret"})
    ok(st < 0 and "manifest unknown" in why, "a tag that is not there: %s" % why, why)
    tls.push(d.root + "/image.tar", "sec:1")
    st, doc = pull(c, tls.host + "/sec:1", {"username": "me", "password": "secret"})
    ok(st == 0, "by TLS, its authority in the folder", doc)
    st, doc = pull(c, "mirrored.example/a/b:1", {"username": "me", "password": "secret"})
    ok(st < 0 and "mirrored.example" in doc, "credentials of a registry are not its mirror's: %s" % doc, doc)
    fake.add("a/m", made_image({"m": b"mirror"}))
    st, doc = pull(c, "mirrored.example/a/m:1")
    ok(st == 0 and have(c, "mirrored.example/a/m:1"), "a mirror", doc)


def tokens(d, fake, other):
    c = d.c
    image = made_image({"x": b"secret things"})
    name = fake.add("tok/en", image, token=True, redirect=other.port)
    other.blobs[sha(image[1])] = image[1]
    st, why = pull(c, name)
    ok(st < 0, "a token without a password: %s" % why, why)
    fake.seen.clear()
    st, doc = pull(c, name, {"username": "me", "password": "secret"})
    ok(st == 0, "a token for a password, and a blob from elsewhere", doc)
    ok(any(p.startswith("/elsewhere/") for p, a in other.seen) and not any(a for p, a in other.seen), "where nobody is told the token", other.seen)
    left = subprocess.run("grep -rl c2VjcmV0 %s/oci/tmp; ls %s/oci/tmp" % (d.root, d.root), shell=True, stdout=subprocess.PIPE, text=True, check=False).stdout
    ok(not left, "no credentials and no blobs are left", left)
    fake.how.pop("tok/en")


def lies(d, fake):
    c = d.c
    for key, words in (("wrong", "igest"), ("short", ""), ("huge", ""), ("endless", "may not be larger"), ("stall-manifest", "no progress"),
                       ("stall-blob", "no progress")):
        how = {"stall": key[6:] + "s"} if key.startswith("stall") else {key: True}
        name = fake.add(key, made_image({"x": os.urandom(100000)}), **how)
        t0 = time.monotonic()
        st, why = pull(c, name)
        ok(st < 0 and words in why and name in why and time.monotonic() - t0 < 25, "%s: %s" % (key, why), why)
    bomb = made_image({"z": b"x"}, lambda b: gzip.compress(b))
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as t:
        i = tarfile.TarInfo("../../escaped")
        i.size = 1
        t.addfile(i, io.BytesIO(b"x"))
    plain = evil.getvalue()
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [sha(plain)]}, "config": {}}).encode()
    manifest = json.loads(bomb[2])
    manifest["config"].update(digest=sha(config), size=len(config))
    blob = gzip.compress(plain)
    manifest["layers"][0].update(digest=sha(blob), size=len(blob))
    name = fake.add("evil", (config, blob, json.dumps(manifest).encode()))
    st, why = pull(c, name)
    ok(st < 0 and "failed to unpack" in why, "a path that leads out: %s" % why, why)
    ok(not subprocess.run(["find", d.root, "-name", "escaped"], stdout=subprocess.PIPE, check=False).stdout, "leads nowhere")
    ok(not os.listdir(d.root + "/oci/tmp") and not [x for x in os.listdir(d.root + "/oci/l") if x.startswith("tmp")],
       "nothing is left of any of it", os.listdir(d.root + "/oci/tmp"))


def together(d, fake):
    ctl = [d.control() for _ in range(6)]
    for i in range(5):		# again if one of them asked when the others had been served
        name = fake.add("same%d" % i, made_image({"same": os.urandom(3000000)}))
        fake.gets = 0
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            got = list(pool.map(lambda c, n=name: pull(c, n), ctl))
        if any(st for st, _ in got) or fake.gets == 1:
            break
    ok(all(st == 0 for st, _ in got) and len({str(x) for _, x in got}) == 1, "six want the same", got)
    ok(fake.gets == 1, "fetched once", fake.gets)
    image = made_image({"same": os.urandom(3000000)})
    fake.add("lay/er", image)
    st, doc = pull(d.c, fake.host + "/lay/er:1")
    ok(st == 0, "a layer", doc)
    for i in range(5):		# what is here is told to who fetches when that begins: too late by a daemon that stands still just then
        config = json.dumps(dict(json.loads(image[0]), author="another %d" % i)).encode()
        manifest = json.loads(image[2])
        manifest["config"].update(digest=sha(config), size=len(config))
        name = fake.add("lay/again%d" % i, (config, image[1], json.dumps(manifest).encode()))
        fake.gets = 0
        st, doc = pull(d.c, name)
        if st or not fake.gets:
            break
    ok(st == 0 and fake.gets == 0 and have(d.c, name)["id"] == sha(config), "a layer that is here is not fetched again", (doc, fake.gets))
    if shutil.which("zstd"):
        name = fake.add("zstd", made_image({"z": b"zstd" * 1000}, lambda b: subprocess.run(["zstd", "-q", "-c"], input=b, stdout=subprocess.PIPE, check=True).stdout))
        st, doc = pull(d.c, name)
        ok(st == 0, "layers by zstd", doc)


def archives(d):
    c = d.c
    top = d.root
    subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "docker-archive:" + top + "/image.tar", "oci-archive:" + top + "/o.tar:localhost/oci:1"], check=True)
    subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "docker-archive:" + top + "/image.tar", "oci:" + top + "/layout:localhost/layout:1"], check=True)
    for path, name in (("o.tar", "localhost/oci:1"), ("layout", "localhost/layout:1")):
        st, m = c.forward("runtime", rt.IMPORT, text(13, "%s/%s" % (top, path)))
        ok(st == 0 and have(c, name), "import of %s" % path, m)
    ok(have(c, "localhost/folder:1") and have(c, "localhost/folder:2"), "images of the folder were imported at start")
    ok(have(c, "localhost/folder:1").get("pinned") is True and not have(c, "localhost/oci:1").get("pinned"), "one is pinned")
    log = d.log()
    ok("image_import_failed" in log and "broken.tar" in log, "what is no archive is said", log)
    ok(log.count("event=image_added") or log.count("image_added"), "added", log)
    before = log.count("localhost/folder:")
    d.kill()
    d.start()
    c = d.c
    settle(d, "broken.tar", 2)
    ok(d.log().count("localhost/folder:") == before, "and not again at the next start", d.log())
    return c


def settle(d, word, n):
    """@n lines of the log have the word"""
    until(lambda: sum(word in line for line in d.log().splitlines()) >= n)


def layers(d):
    return sorted(x for x in os.listdir(d.root + "/oci/l") if x[0] != ".")


def gone(d):
    c = d.c
    for i in c.cri(rt.I_LIST, {})[1]["images"]:
        for _ in range(len(i["repoTags"]) + 1):
            ok(c.cri(rt.I_REMOVE, {"image": {"image": i["id"]}})[0] == 0, "removed: %s" % (i["repoTags"] or i["repoDigests"]))
            if not c.cri(rt.I_STATUS, {"image": {"image": i["id"]}})[1].get("image"):
                break
    # an import that is under way keeps layers until it ends
    ok(until(lambda: layers(d) == ["empty"] and not os.listdir(d.root + "/oci/trash")) and not os.listdir(d.root + "/oci/images"),
       "no layer is left", (os.listdir(d.root + "/oci/l"), os.listdir(d.root + "/oci/trash"), os.listdir(d.root + "/oci/images")))
    os.makedirs(d.root + "/oci/l/tmp-1-0123")
    os.makedirs(d.root + "/oci/l/0123456789abcdef01234567")
    d.kill()
    d.start()
    ok(until(lambda: layers(d) == ["empty"]), "layers that no image has go at start")


rt.needs("skopeo", "docker-registry", "openssl")
fake, other = Fake(), Fake()
d = Daemon("runtime/oci", {"root": "@/oci", "unpack": BUILD + "/libexec/oci-unpack", "certs_dir": "@/certs", "pull_timeout": 6,
                           "max_image_mib": 64, "mirrors": "mirrored.example=" + fake.host, "insecure_registries": fake.host,
                           "pinned_images": "localhost/folder:1, busybox", "import_dir": "@/folder"})
regs = []
try:
    rt.image(d.root + "/image.tar")
    os.mkdir(d.root + "/folder")
    for n in "12":
        subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "docker-archive:" + d.root + "/image.tar",
                        "docker-archive:%s/folder/%s.tar:localhost/folder:%s" % (d.root, n, n)], check=True)
    with open(d.root + "/folder/broken.tar", "w", encoding="utf-8") as out:
        out.write("no archive")
    shutil.copy(d.root + "/folder/1.tar", d.root + "/folder/.half.tar")
    regs = [Registry(d.root, "plain"), Registry(d.root, "tls", True)]
    os.makedirs("%s/certs/%s" % (d.root, regs[1].host))
    shutil.copy(regs[1].crt, "%s/certs/%s/ca.crt" % (d.root, regs[1].host))
    d.start()
    settle(d, "broken.tar", 1)
    real(d, *regs)
    tokens(d, fake, other)
    lies(d, fake)
    together(d, fake)
    archives(d)
    gone(d)
    ok(d.stop() == 0, "the daemon ends in order")
finally:
    for x in (fake, other):
        x.stop.set()
        x.http.shutdown()
    for x in regs:
        x.end()
    d.end()
done()
